"""The work between two saves: a piece of a run, tracked and stored.

A shard is a folder with the masks (``masks.h5``), one row a frame and ROI (``rows.npz``) and the tracker's state after
its last frame. It gets its name only when it is whole, so that a crash costs at most one; the next run goes on from
the last state and computes exactly what an undisturbed one does.
"""

import json
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from castle_core.files import make_folder, write_error
from castle_core.mask_writer import MaskListWriter
from castle_core.progress import Task
from castle_core.tracking.settings import TrackedFrame
from castle_core.video import Video

_REVERSE_BYTES = 96 << 20
Picture = npt.NDArray[np.uint8]


class Tracker(Protocol):
    """Follows ROIs over frames that come one by one, ascending or descending.

    Between two frames one may be missing where the video is damaged.
    """

    def step(self, frame_index: int, picture: Picture) -> TrackedFrame:
        """Find the ROIs in the next frame, (H, W, 3) uint8 RGB."""
        ...

    def state(self) -> dict[str, Any]:
        """Return all that the next frame depends on: JSON values, or tensors among them."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        ...


@dataclass(frozen=True)
class Rows:
    """What is known of each frame of a shard.

    Attributes
    ----------
    frames : (n,) int64
        Frames that could be decoded, in the order of tracking.
    confidence : dict of int to (n,) float32
        Per ROI: 0 … 1, 0 where it is lost, NaN where it was not tracked (not drawn yet).
    area : dict of int to (n,) int64
        Pixels.
    undecodable : (m,) int64
        Frames without a picture.
    """

    frames: npt.NDArray[np.int64]
    confidence: dict[int, npt.NDArray[np.float32]]
    area: dict[int, npt.NDArray[np.int64]]
    undecodable: npt.NDArray[np.int64]


def read_rows(shard: Path) -> Rows:
    """Read the rows of a stored shard."""
    with np.load(shard / "rows.npz", allow_pickle=False) as archive:
        rois = [int(roi) for roi in archive["rois"]]
        return Rows(
            archive["frames"],
            {roi: archive["confidence"][k] for k, roi in enumerate(rois)},
            {roi: archive["area"][k] for k, roi in enumerate(rois)},
            archive["undecodable"],
        )


def run_shards(
    video: Video,
    tracker: Tracker,
    pieces: list[range],
    folder: Path,
    rois: tuple[int, ...],
    *,
    tensors: bool,
    task: Task,
    done: int,
    total: int,
) -> list[Path]:
    """Track the pieces of one run one after the other; stored ones are passed over.

    Parameters
    ----------
    pieces : list of range
        Frames of each shard, in the order of tracking.
    folder : Path
        Where the shards of this run are stored.
    rois : tuple of int
        Ids of the rows, ascending.
    tensors : bool
        Whether the tracker's state holds tensors, rather than JSON values only.
    done, total : int
        Frames that were tracked before this run, and of all runs, for the progress.

    Returns
    -------
    list of Path
        The shards' folders, in order.

    Raises
    ------
    ProjectError
        If the disk is full; whole shards stay.
    JobCancelled, LeaseLostError
        From `task`.
    """
    make_folder(folder)
    folders = [folder / f"{number:06d}" for number in range(len(pieces))]
    n_stored = 0
    while n_stored < len(folders) and (folders[n_stored] / "rows.npz").is_file():
        n_stored += 1
    if n_stored == len(pieces):
        return folders
    if n_stored:
        tracker.restore(_read_state(folders[n_stored - 1], tensors))
        done += sum(len(piece) for piece in pieces[:n_stored])
    rest = range(pieces[n_stored][0], pieces[-1][-1] + pieces[0].step, pieces[0].step)
    with closing(pictures_in_order(video, rest)) as pictures:
        for piece, final in zip(pieces[n_stored:], folders[n_stored:], strict=True):
            _run_shard(video, tracker, pictures, piece, final, rois, tensors, task, (done, total))
            done += len(piece)
    return folders


def _run_shard(
    video: Video,
    tracker: Tracker,
    pictures: Iterator[tuple[int, Picture | None]],
    piece: range,
    final: Path,
    rois: tuple[int, ...],
    tensors: bool,
    task: Task,
    place: tuple[int, int],
) -> None:
    temporary = None
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{final.name}.", suffix=".part", dir=final.parent))
        frames: list[int] = []
        undecodable: list[int] = []
        confidence = np.full((len(rois), len(piece)), np.nan, np.float32)
        area = np.zeros((len(rois), len(piece)), np.int64)
        masks = MaskListWriter(temporary / "masks.h5", width=video.width, height=video.height, n_rois=max(rois))
        with masks:
            for number in range(len(piece)):
                frame_index, picture = next(pictures)
                task.progress(place[0] + number, place[1], "frames")
                if picture is None:
                    undecodable.append(frame_index)
                    continue
                found = tracker.step(frame_index, picture)
                masks.write(found.mask, bounding_box(found.mask), frame_index)
                sizes = np.bincount(found.mask.ravel(), minlength=256)
                for k, roi in enumerate(rois):
                    area[k, len(frames)] = sizes[roi]
                    confidence[k, len(frames)] = found.confidence.get(roi, np.nan)
                frames.append(frame_index)
        n = len(frames)
        np.savez(
            temporary / "rows.npz",
            rois=np.array(rois),
            frames=np.array(frames, np.int64),
            undecodable=np.array(undecodable, np.int64),
            confidence=confidence[:, :n],
            area=area[:, :n],
        )
        _write_state(temporary, tracker, tensors)
        task.publish(temporary, final)
    except OSError as error:
        raise write_error(final, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def bounding_box(mask: Picture) -> tuple[int, int, int, int]:
    """Return the box (x0, y0, x1, y1), half open, around all pixels of a mask that are not 0."""
    import cv2

    left, top, width, height = cv2.boundingRect(mask)
    return int(left), int(top), int(left + width), int(top + height)


def _write_state(folder: Path, tracker: Tracker, tensors: bool) -> None:
    if tensors:
        import torch

        torch.save(tracker.state(), folder / "state.pt")
    else:
        (folder / "state.json").write_text(json.dumps(tracker.state()), encoding="utf-8")


def _read_state(folder: Path, tensors: bool) -> dict[str, Any]:
    if tensors:
        import torch

        state: dict[str, Any] = torch.load(folder / "state.pt", weights_only=True)
        return state
    value: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    return value


def pictures_in_order(video: Video, frames: range) -> Generator[tuple[int, Picture | None], None, None]:
    """Yield frame index and picture in the order of `frames` (step 1 or -1); None where a frame cannot be decoded.

    Backwards, stretches are decoded forwards and turned round; at most 96 MB of pictures are held.

    Yields
    ------
    tuple of int and (H, W, 3) uint8 array or None
        RGB.
    """
    if frames.step > 0:
        yield from video.stream(frames.start, frames.stop)
        return
    size = int(np.clip(_REVERSE_BYTES // (video.height * video.width * 3), 8, 300))
    stop, first = frames.start + 1, frames[-1]
    while stop > first:
        start = max(first, stop - size)
        yield from reversed(list(video.stream(start, stop)))
        stop = start
