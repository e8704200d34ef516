"""Run a single frame: its picture, token map and pooled rows, for previews and Run Frame."""

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from castle_core.encoders import Encoder
from castle_core.errors import ConfigError
from castle_core.latents.batching import encode
from castle_core.latents.config import ExtractConfig
from castle_core.latents.device_warp import render_batch
from castle_core.latents.frames import Prepared, View, prepare
from castle_core.latents.opening import check_poolings, open_masks
from castle_core.pooling import cell_weights, pool_weighted
from castle_core.preprocess import OK, Affine, Poses, measure_pose
from castle_core.projects import Project


@dataclass(frozen=True)
class FrameResult:
    """What one frame gives.

    Attributes
    ----------
    source : (H, W, 3) uint8 array
        RGB frame of the video.
    mask : (H, W) uint8 array or None
        ROI ids; None where the frame was not tracked.
    status : int
        OK, or why there is nothing more.
    image, seen_mask : (S, S, 3) and (S, S) uint8 arrays, or None
        What the model sees.
    tokens : (h, w, D) float32 array or None
        The feature map.
    cls : (D,) float32 array or None
        The CLS token.
    roi_means : dict of int to (D,) float32 array
        Pooled rows; NaN where the ROI is absent.
    affine : (2, 3) float64 array or None
        Source pixels to input pixels.
    """

    source: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8] | None
    status: int
    image: npt.NDArray[np.uint8] | None
    seen_mask: npt.NDArray[np.uint8] | None
    tokens: npt.NDArray[np.float32] | None
    cls: npt.NDArray[np.float32] | None
    roi_means: dict[int, npt.NDArray[np.float32]]
    affine: Affine | None = None


def run_frame(
    project: Project, name: str, frame_index: int, config: ExtractConfig, encoder: Encoder, *, forward: bool = True
) -> FrameResult:
    """Show one frame to the model.

    Centre and angle are those of this frame alone: smoothing and gap filling look at the whole video and are left out.

    Parameters
    ----------
    project : Project
        Where video and masks live.
    name : str
        The video's name or stem.
    frame_index : int
        The frame.
    config : ExtractConfig
        Crop, rotation, background, ROIs.
    encoder : Encoder
        The loaded model.
    forward : bool
        False renders the picture only.

    Raises
    ------
    FrameIndexError, FrameDecodeError, RoiError
        If the frame or its mask cannot be read.
    """
    import torch

    check_poolings(config, encoder)
    entry = project.video(name)
    with ExitStack() as stack:
        video = stack.enter_context(project.open_video(entry.stem))
        masks = open_masks(project, entry.name, video, config)
        stack.callback(masks.close)
        source = video.frame_at(frame_index)
        mask = masks.mask_at(frame_index)
    seen = render_frame(source, mask, config, encoder)
    if seen.status != OK:
        return FrameResult(source, mask, seen.status, None, None, None, None, {})
    ids = seen.masks[0]
    if seen.images:
        image = seen.images[0]
    else:  # made on the GPU
        picture = render_batch([seen], _view(config), encoder, 0, 0, 1)[0]
        image = picture.permute(1, 2, 0).round().to(torch.uint8).cpu().numpy()
    if not forward:
        return FrameResult(source, mask, OK, image, ids, None, None, {}, seen.affine)
    tokens = encode(encoder, torch.from_numpy(image[None]))
    weights = np.stack([cell_weights(ids, roi_id, encoder.patch_size) for roi_id in config.roi_ids])[None]
    pooled = pool_weighted(tokens.patch_tokens, torch.from_numpy(weights))[0].cpu().numpy()
    return FrameResult(
        source,
        mask,
        OK,
        image,
        ids,
        tokens.patch_tokens[0].float().cpu().numpy(),
        tokens.cls[0].float().cpu().numpy() if tokens.cls is not None else None,
        dict(zip(config.roi_ids, pooled, strict=True)),
        seen.affine,
    )


def render_frame(
    source: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8] | None, config: ExtractConfig, encoder: Encoder
) -> Prepared:
    """Render one decoded frame as the model sees it, with the pose of its own mask.

    Raises
    ------
    ConfigError
        If extra angles are asked for; a preview shows the upright picture.
    """
    if config.angles:
        raise ConfigError("One frame is shown upright; leave the rotation latent's angles out.")
    preprocess = config.preprocess
    poses = None
    if preprocess.center_roi is not None:
        x, y, angle, status = measure_pose(mask, preprocess)
        poses = Poses(np.array([[x, y]]), np.array([angle]), np.array([status], np.uint8))
    return prepare(source, mask, 0, _view(config), poses, encoder)


def _view(config: ExtractConfig) -> View:
    background = config.roi_ids[0] if config.preprocess.remove_background == "roi" else None
    return View(config.preprocess, (background,), (0,))
