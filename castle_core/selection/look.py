"""Look at frames: from a plan to one short vector a frame, in bounded memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from castle_core.errors import SelectionError
from castle_core.features import gradient_histograms, pixel_features
from castle_core.selection.candidates import Plan
from castle_core.selection.clustering import nearest
from castle_core.selection.projection import Projection, fit_projection

if TYPE_CHECKING:
    from castle_core.video import Video

Matrix = NDArray[np.float32]
Indices = NDArray[np.int64]
OnFrame = Callable[[int], None]
# Feature vectors held at once; 20 MB. Beyond it the projection is fitted first and frames are projected as they come.
HELD_FRAMES = 8192
_BATCH = 256


@dataclass(frozen=True)
class Look:
    """Frames of one video as vectors.

    Attributes
    ----------
    frame_index : (N,) int64
        Frames that may be picked, ascending.
    rows : (N, d) float32
        Their features.
    stands_for : (N,) float32
        Usable frames that each represents.
    covered_squared : (N,) float32
        Squared distance to the nearest covered frame; infinite where there is none.
    n_decoded : int
        Frames that the decoder passed through.
    damaged : (m,) int64
        Frames that could not be decoded.
    """

    frame_index: Indices
    rows: Matrix
    stands_for: Matrix
    covered_squared: Matrix
    n_decoded: int
    damaged: Indices


@dataclass
class Seen:
    """Features of frames as they came from the decoder: frame_index (N,), features (N, D)."""

    frame_index: Indices
    features: Matrix


def extract(kind: str) -> Callable[[NDArray[np.uint8]], Matrix]:
    """Return the feature function called `kind`."""
    return gradient_histograms if kind == "gradients" else pixel_features


def see(
    video: "Video",
    frames: Indices,
    describe: Callable[[NDArray[np.uint8]], Matrix],
    on_frame: OnFrame,
) -> Seen:
    """Decode `frames` and describe them; those that cannot be decoded are missing in the result."""
    index: list[int] = []
    parts: list[Matrix] = []
    for numbers, pictures in _batches(video, frames, on_frame):
        index += numbers
        parts.append(describe(pictures))
    features = np.concatenate(parts) if parts else np.zeros((0, 1), dtype=np.float32)
    return Seen(np.array(index, dtype=np.int64), features)


def _batches(video: "Video", frames: Indices, on_frame: OnFrame) -> Iterator[tuple[list[int], NDArray[np.uint8]]]:
    numbers: list[int] = []
    pictures: list[NDArray[np.uint8]] = []
    for frame_index, picture in video.thumbnails(frames, on_error="skip"):
        numbers.append(frame_index)
        pictures.append(picture)
        on_frame(frame_index)
        if len(numbers) == _BATCH:
            yield numbers, np.stack(pictures)
            numbers, pictures = [], []
    if numbers:
        yield numbers, np.stack(pictures)


def look_at(
    video: "Video",
    plan: Plan,
    sample: Plan,
    covered: Sequence[int],
    kind: str,
    on_progress: Callable[[int, int], None],
) -> Look:
    """Look at the frames of `plan`, and at the covered ones that lie on the way.

    Parameters
    ----------
    video : Video
    plan : Plan
        Frames that may be picked. A plan of more than `HELD_FRAMES` is read in two passes: the features' main
        directions are learnt from `sample`, then all frames are reduced to them as they come.
    sample : Plan
        A plan of bounded size for the same frames.
    covered : sequence of int
        Frames selected or labelled before.
    kind : {"gradients", "pixels"}
    on_progress : callable
        Called with frames done and frames in all.

    Raises
    ------
    SelectionError
        If not one frame can be decoded.
    """
    describe = extract(kind)
    before = np.unique(np.asarray(covered, dtype=np.int64)) if len(covered) else np.zeros(0, dtype=np.int64)
    streamed = len(plan.frame_index) > HELD_FRAMES
    reachable = _on_the_way(plan, before)
    first_frames = sample.frame_index if streamed else np.union1d(plan.frame_index, reachable)
    total = len(first_frames) + (len(plan.frame_index) + len(reachable) if streamed else 0)
    done = 0

    def on_frame(_frame_index: int) -> None:
        nonlocal done
        done += 1
        on_progress(done, total)

    seen = see(video, first_frames, describe, on_frame)
    if len(seen.frame_index) == 0:
        raise SelectionError(
            f"Not one of the {len(first_frames)} frames of {video.path.name} that were tried can be decoded. "
            "Copy the video again, or choose another part of it."
        )
    candidates = np.isin(seen.frame_index, plan.frame_index, assume_unique=True)
    projection = fit_projection(seen.features[candidates] if candidates.any() else seen.features)
    if streamed:
        seen = _project_all(video, np.union1d(plan.frame_index, reachable), describe, projection, on_frame)
        rows = seen.features
    else:
        rows = projection(seen.features)
    return _assemble(plan, seen.frame_index, rows, before, plan.n_decoded + (sample.n_decoded if streamed else 0))


def _on_the_way(plan: Plan, covered: Indices) -> Indices:
    """Return the covered frames that lie between candidates, which costs (nearly) nothing to look at."""
    if len(plan.frame_index) == 0 or len(covered) == 0:
        return covered
    if plan.is_everything:
        return covered
    place = np.searchsorted(plan.frame_index, covered)
    before = plan.frame_index[np.maximum(place - 1, 0)]
    after = plan.frame_index[np.minimum(place, len(plan.frame_index) - 1)]
    inside = (place > 0) & (covered - before <= 2) | (after - covered <= 2) & (after >= covered)
    return covered[inside]


def _project_all(
    video: "Video",
    frames: Indices,
    describe: Callable[[NDArray[np.uint8]], Matrix],
    projection: Projection,
    on_frame: OnFrame,
) -> Seen:
    rows = np.empty((len(frames), projection.axes.shape[1]), dtype=np.float32)
    index = np.empty(len(frames), dtype=np.int64)
    n = 0
    for numbers, pictures in _batches(video, frames, on_frame):
        rows[n : n + len(numbers)] = projection(describe(pictures))
        index[n : n + len(numbers)] = numbers
        n += len(numbers)
    return Seen(index[:n], rows[:n])


def _assemble(plan: Plan, seen: Indices, rows: Matrix, covered: Indices, n_decoded: int) -> Look:
    is_candidate = np.isin(seen, plan.frame_index, assume_unique=True)
    frame_index, candidates = seen[is_candidate], rows[is_candidate]
    stands_for = plan.stands_for[np.searchsorted(plan.frame_index, frame_index)]
    points = rows[np.isin(seen, covered, assume_unique=True)]
    # A covered frame too far from any run to be decoded cheaply is represented by the candidate next to it in time.
    unseen = np.setdiff1d(covered, seen, assume_unique=True)
    if len(unseen) and len(frame_index):
        place = np.searchsorted(frame_index, unseen)
        before, after = np.maximum(place - 1, 0), np.minimum(place, len(frame_index) - 1)
        near = np.where(unseen - frame_index[before] <= frame_index[after] - unseen, before, after)
        near = np.where(place == 0, after, np.where(place == len(frame_index), before, near))
        points = np.concatenate([points, candidates[np.unique(near)]])
    covered_squared = nearest(candidates, points)[1]
    damaged = np.setdiff1d(plan.frame_index, seen, assume_unique=True)
    return Look(frame_index, candidates, stands_for, covered_squared, n_decoded, damaged)
