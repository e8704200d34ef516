"""The warp of `castle_core.rendering` on a GPU: whole frames go over as bytes, the model's input is made there.

It agrees with OpenCV's warp within two grey levels, which interpolates with 5 bits of fraction.
"""

from typing import Any

import numpy as np

from castle_core.encoders import Encoder
from castle_core.latents.frames import Prepared, View
from castle_core.preprocess import OK, crop_size, resize_affine


def warp_batch(frames: Any, affines: Any, width: int, height: int, *, interpolation: str = "bilinear") -> Any:
    """Warp a batch of frames, black outside of them and without a dark fringe at their edges.

    Parameters
    ----------
    frames : torch.Tensor
        (B, H, W, 3) uint8 RGB, on any device.
    affines : (B, 2, 3) float64 array
        Source to target pixels.
    width, height : int
        Size of the result.
    interpolation : {"bilinear", "bicubic"}
        Between pixels.

    Returns
    -------
    torch.Tensor
        (B, 3, height, width) float32 in 0 … 255, on the same device.
    """
    import torch

    source_height, source_width = frames.shape[1:3]
    affines = np.asarray(affines, dtype=np.float64)
    inverse = np.linalg.inv(affines[:, :, :2])
    offset = -(inverse @ affines[:, :, 2:])
    back = torch.from_numpy(np.concatenate([inverse, offset], axis=2)).to(frames.device, torch.float32)
    ys, xs = torch.meshgrid(
        torch.arange(height, device=frames.device, dtype=torch.float32),
        torch.arange(width, device=frames.device, dtype=torch.float32),
        indexing="ij",
    )
    target = torch.stack([xs, ys, torch.ones_like(xs)], dim=-1).reshape(-1, 3)
    source = (target @ back.transpose(1, 2)).reshape(len(frames), height, width, 2)
    size = torch.tensor([source_width, source_height], device=frames.device, dtype=torch.float32)
    grid = (source + 0.5) * 2 / size - 1  # picture edges at -1 and 1
    pixels = frames.permute(0, 3, 1, 2).float()
    warped = torch.nn.functional.grid_sample(
        pixels, grid, mode=interpolation, padding_mode="border", align_corners=False
    )
    slack = 1e-3
    inside = ((source >= -0.5 - slack) & (source <= size - 0.5 + slack)).all(dim=-1)
    return warped.clamp(0, 255).round() * inside[:, None]


def render_batch(batch: list[Prepared], view: View, encoder: Encoder, angle: int, group: int, n_rows: int) -> Any:
    """Make the model's input for a batch on the encoder's device; see `castle_core.rendering.render_input`.

    Parameters
    ----------
    batch : list of Prepared
        With their source frames.
    view : View
        Crop, turns, background.
    encoder : Encoder
        Device, input size, interpolation.
    angle, group : int
        Which turn, and which ROI's background stays.
    n_rows : int
        Rows of the batch, blanks included.

    Returns
    -------
    torch.Tensor
        (n_rows, 3, S, S) float32 in 0 … 255; rows of missing frames are black.
    """
    import torch

    size = encoder.input_size
    result = torch.zeros((n_rows, 3, size, size), device=encoder.device)
    rows = [row for row, prepared in enumerate(batch) if prepared.status == OK]
    if not rows:
        return result
    sources = [batch[row].frame for row in rows]
    frames = torch.from_numpy(np.stack([frame for frame in sources if frame is not None])).to(
        encoder.device, non_blocking=True
    )
    preprocess = view.preprocess
    width, height = crop_size(preprocess, frames.shape[2], frames.shape[1])
    resize = resize_affine(width, height, size, letterbox=preprocess.letterbox)
    crops = warp_batch(
        frames,
        np.stack([batch[row].affines[angle] for row in rows]),
        width,
        height,
        interpolation=encoder.interpolation,
    )
    if preprocess.remove_background is not None:
        keep = np.stack([_kept(batch[row].crop_masks[angle], view, group) for row in rows])
        crops = crops * torch.from_numpy(keep).to(crops.device)[:, None]
    inner_width, inner_height = max(1, round(width * resize[0, 0])), max(1, round(height * resize[1, 1]))
    inner = torch.nn.functional.interpolate(
        crops,
        (inner_height, inner_width),
        mode=encoder.interpolation,
        align_corners=False,
        antialias=encoder.antialias and min(resize[0, 0], resize[1, 1]) < 1,
    )
    left, top = (size - inner_width) // 2, (size - inner_height) // 2
    result[rows, :, top : top + inner_height, left : left + inner_width] = inner.clamp(0, 255)
    return result


def _kept(mask: Any, view: View, group: int) -> Any:
    roi = view.background_rois[group]
    return mask != 0 if roi is None else mask == roi
