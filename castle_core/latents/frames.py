"""From a video to what the model sees, in order and ahead of the model: decode, find the animal, warp.

Decoding and warping run in threads of their own behind bounded queues, so that they overlap with the model and memory
stays flat however long the video is.
"""

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from castle_core.encoders import Encoder
from castle_core.preprocess import (
    DECODE_ERROR,
    NO_MASK,
    OK,
    Affine,
    Poses,
    Preprocess,
    compose,
    crop_affine,
    crop_size,
    resize_affine,
    turned,
)
from castle_core.rendering import render_input, source_box, warp_mask
from castle_core.rois import Mask, MaskSource
from castle_core.video import DecodedFrame, Video

Item = TypeVar("Item")

_END = object()
_DECODED_AHEAD = 16
_TOGETHER = 8  # handed over at once: threads that wake each other for every frame lose a quarter of the time


@dataclass(frozen=True)
class Prepared:
    """One frame as the model sees it.

    Attributes
    ----------
    frame_index : int
        Frame of the video.
    status : int
        OK, or why there is no picture.
    tracked : bool
        Whether the frame has a mask at all.
    images : list of (S, S, 3) uint8 arrays
        One for each (angle, background ROI); empty unless OK.
    masks : list of (S, S) uint8 arrays
        ROI ids, one for each angle.
    affine : (2, 3) float64 array or None
        Source to input pixels, without a turn.
    frame : (H, W, 3) uint8 array or None
        The source frame, where the picture is made on a GPU; `images` is empty then.
    affines : list of (2, 3) float64 arrays
        Source to crop pixels, one for each angle, where the picture is made on a GPU.
    crop_masks : list of (h, w) uint8 arrays
        ROI ids in the crop's geometry, one for each angle, where the background is removed on a GPU.
    """

    frame_index: int
    status: int
    images: list[npt.NDArray[np.uint8]]
    masks: list[Mask]
    affine: Affine | None
    tracked: bool = True
    frame: npt.NDArray[np.uint8] | None = None
    affines: list[Affine] = field(default_factory=list)
    crop_masks: list[Mask] = field(default_factory=list)


@dataclass(frozen=True)
class View:
    """How frames are shown to the model.

    Attributes
    ----------
    preprocess : Preprocess
        Crop, rotation, background.
    background_rois : tuple
        ROIs that are kept one at a time where the background of the others is removed; (None,) otherwise.
    angles_deg : tuple of int
        Extra turns, counter-clockwise; (0,) for the plain latent.
    """

    preprocess: Preprocess
    background_rois: tuple[int | None, ...]
    angles_deg: tuple[int, ...]


def source_affine(preprocess: Preprocess, poses: Poses | None, frame_index: int) -> Affine:
    """Return the (2, 3) map from source to crop pixels of one frame."""
    if preprocess.center_roi is None:
        return np.eye(2, 3)
    assert poses is not None
    return crop_affine(preprocess, poses.center[frame_index], float(poses.angle_deg[frame_index]))


def prepare(
    frame: npt.NDArray[np.uint8],
    mask: Mask | None,
    frame_index: int,
    view: View,
    poses: Poses | None,
    encoder: Encoder,
) -> Prepared:
    """Render one decoded frame for the model.

    Parameters
    ----------
    frame : (H, W, 3) uint8 array
        RGB.
    mask : (H, W) uint8 array or None
        ROI ids, None where the frame was not tracked.
    frame_index : int
        Frame of the video.
    view, poses, encoder
        How it is shown, where the animal is, and for which input.
    """
    status, tracked = _status(mask, frame_index, view, poses), mask is not None
    if status != OK:
        return Prepared(frame_index, status, [], [], None, tracked)
    if mask is None:
        mask = np.zeros(frame.shape[:2], np.uint8)
    affines = _affines(view, poses, frame_index, frame.shape[1], frame.shape[0])
    if encoder.device != "cpu":
        return replace(_for_device(frame, mask, frame_index, view, affines, encoder), tracked=tracked)
    images, masks, plain = [], [], None
    for angled in affines:
        for number, roi in enumerate(view.background_rois):
            seen = render_input(
                frame,
                mask,
                view.preprocess,
                angled,
                encoder.input_size,
                interpolation=encoder.interpolation,
                antialias=encoder.antialias,
                background_roi=roi,
            )
            images.append(seen.image)
            if number == 0:
                masks.append(seen.mask)
        if plain is None:
            plain = seen.affine
    return Prepared(frame_index, OK, images, masks, plain, tracked)


def _status(mask: Mask | None, frame_index: int, view: View, poses: Poses | None) -> int:
    status = int(poses.status[frame_index]) if poses is not None else OK
    # Without a mask the picture may still be of use: a gap that was filled, a point, or the whole frame.
    return NO_MASK if mask is None and status == OK and view.preprocess.remove_background else status


def _affines(view: View, poses: Poses | None, frame_index: int, width: int, height: int) -> list[Affine]:
    """Return the map from source to crop pixels for each angle."""
    affine = source_affine(view.preprocess, poses, frame_index)
    width, height = crop_size(view.preprocess, width, height)
    return [turned(affine, degrees, width, height) if degrees else affine for degrees in view.angles_deg]


def _for_device(
    frame: npt.NDArray[np.uint8], mask: Mask, frame_index: int, view: View, affines: list[Affine], encoder: Encoder
) -> Prepared:
    """Leave the picture to the GPU: hand over the frame, where it goes, and its masks, which are quick on the CPU."""
    width, height = crop_size(view.preprocess, frame.shape[1], frame.shape[0])
    resize = resize_affine(width, height, encoder.input_size, letterbox=view.preprocess.letterbox)
    size = encoder.input_size
    crop_masks = []
    if view.preprocess.remove_background is not None:
        crop_masks = [warp_mask(mask, one, width, height) for one in affines]
    masks = [warp_mask(mask, compose(resize, one), size, size) for one in affines]
    plain = compose(resize, affines[0])
    return Prepared(frame_index, OK, [], masks, plain, frame=frame, affines=affines, crop_masks=crop_masks)


def prepared_frames(
    video: Video,
    masks: MaskSource,
    wanted: range,
    view: View,
    poses: Poses | None,
    encoder: Encoder,
    *,
    ahead: int = 64,
) -> Generator[Prepared, None, None]:
    """Decode and prepare frames in two threads, at most `ahead` of them before they are asked for.

    Parameters
    ----------
    wanted : range
        Frames of the video.
    ahead : int
        Length of the queue (frames).

    Yields
    ------
    Prepared
        One a frame, in order.
    """

    def read() -> Iterator[tuple[int, DecodedFrame | None, Mask | None]]:
        for frame_index, decoded in video.decoded(wanted.start, wanted.stop, wanted.step):
            yield frame_index, decoded, None if decoded is None else masks.mask_at(frame_index)

    def render() -> Iterator[Prepared]:
        canvas = np.zeros((video.height, video.width, 3), np.uint8)
        with closing(run_ahead(read(), _DECODED_AHEAD)) as frames:
            for frame_index, decoded, mask in frames:
                status = DECODE_ERROR if decoded is None else _status(mask, frame_index, view, poses)
                if decoded is None or status != OK:
                    yield Prepared(frame_index, status, [], [], None, decoded is None or mask is not None)
                    continue
                if encoder.device == "cpu":
                    affines = _affines(view, poses, frame_index, video.width, video.height)
                    frame = decoded.rgb(canvas, source_box(affines, view.preprocess, video.width, video.height))
                else:  # frames wait for the GPU, each in an array of its own
                    frame = decoded.rgb(np.empty_like(canvas))
                yield prepare(frame, mask, frame_index, view, poses, encoder)

    return run_ahead(render(), ahead)


def run_ahead(items: Generator[Item, None, None] | Iterator[Item], n: int) -> Generator[Item, None, None]:
    """Run a generator in a thread of its own, at most `n` items before they are asked for.

    What it raises is raised here. When this generator is closed, the other one is closed as well.
    """
    together = max(1, min(_TOGETHER, n // 2))
    ready: queue.Queue[Any] = queue.Queue(maxsize=max(1, n // together - 1))
    stop = threading.Event()

    def put(item: Any) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            batch: list[Item] = []
            for item in items:
                batch.append(item)
                if len(batch) == together:
                    if not put(batch):
                        return
                    batch = []
            if put(batch):
                put(_END)
        except BaseException as error:  # handed to the consumer, who raises it
            put(_Raised(error))
        finally:
            if isinstance(items, Generator):
                items.close()

    thread = threading.Thread(target=work, name="run-ahead", daemon=True)
    thread.start()
    try:
        while (batch := ready.get()) is not _END:
            if isinstance(batch, _Raised):
                raise batch.error
            yield from batch
    finally:
        stop.set()
        thread.join()


@dataclass(frozen=True)
class _Raised:
    error: BaseException


@contextmanager
def few_threads(encoder: Encoder) -> Iterator[None]:
    """Keep OpenCV, and torch where the model is light, to one thread.

    Frames are decoded and prepared beside the model already; threads that wait for each other in a busy loop would only
    take the time of these.
    """
    import cv2
    import torch

    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    if encoder.device == "cpu" and encoder.is_light:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])
