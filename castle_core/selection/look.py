"""Look at frames: from a plan to one short vector a frame, in bounded memory."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from castle_core.errors import SelectionError
from castle_core.features import gradient_histograms, pixel_features
from castle_core.selection.candidates import Plan
from castle_core.selection.clustering import nearest
from castle_core.selection.config import Features
from castle_core.selection.projection import Projection, fit_projection

if TYPE_CHECKING:
    from castle_core.video import Video

Matrix = NDArray[np.float32]
Indices = NDArray[np.int64]
Describe = Callable[[NDArray[np.uint8]], Matrix]
# Feature vectors held at once; 20 MB. Beyond it the projection is fitted first and frames are projected as they come.
HELD_FRAMES = 8192
_BATCH = 128


@dataclass(frozen=True)
class Source:
    """Where vectors of frames come from: a video's pictures, or a file of latents.

    Attributes
    ----------
    name : str
        Of the video, for messages.
    see : callable
        Takes frames (ascending) and yields (frame_index (m,), features (m, D)) in blocks, ascending; a frame that
        cannot be had is missing.
    """

    name: str
    see: Callable[[Indices], Iterator[tuple[Indices, Matrix]]]


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
    covered_rows : (c, d) float32
        Features of covered frames.
    n_decoded : int
        Frames that the decoder passed through.
    damaged : (m,) int64
        Frames that could not be decoded.
    """

    frame_index: Indices
    rows: Matrix
    stands_for: Matrix
    covered_rows: Matrix
    n_decoded: int
    damaged: Indices

    def covered_squared(self) -> Matrix:
        """Return the squared distance of each frame to the nearest covered one; infinite where there is none."""
        return nearest(self.rows, self.covered_rows)[1]


@dataclass(frozen=True)
class Glance:
    """Frames of one video with their full-length features, before the projection is known.

    Attributes
    ----------
    plan : Plan
        What was looked at.
    frame_index : (N,) int64
    features : (N, D) float32
    """

    plan: Plan
    frame_index: Indices
    features: Matrix

    def for_projection(self) -> tuple[Matrix, Matrix]:
        """Return the candidates' features and how much each counts; of everything if no candidate was seen."""
        inside = np.isin(self.frame_index, self.plan.frame_index, assume_unique=True)
        if not inside.any():
            return self.features, np.ones(len(self.features), dtype=np.float32)
        place = np.searchsorted(self.plan.frame_index, self.frame_index[inside])
        return self.features[inside], self.plan.stands_for[place]


def pictures_of(video: "Video", kind: Features, on_frame: Callable[[], None]) -> Source:
    """Return the thumbnails of a video as a source of features."""
    describe: Describe = gradient_histograms if kind == "gradients" else pixel_features

    def see(frames: Indices) -> Iterator[tuple[Indices, Matrix]]:
        numbers: list[int] = []
        pictures: list[NDArray[np.uint8]] = []
        for frame_index, picture in video.thumbnails(frames, on_error="skip"):
            numbers.append(frame_index)
            pictures.append(picture)
            on_frame()
            if len(numbers) == _BATCH:
                yield np.array(numbers, dtype=np.int64), describe(np.stack(pictures))
                numbers, pictures = [], []
        if numbers:
            yield np.array(numbers, dtype=np.int64), describe(np.stack(pictures))

    return Source(video.path.name, see)


def glance(source: Source, plan: Plan, covered: Indices) -> Glance:
    """Look at the frames of a plan of bounded size, and at the covered frames on the way.

    Raises
    ------
    SelectionError
        If not one of them can be had.
    """
    frames = np.union1d(plan.frame_index, on_the_way(plan, covered))
    blocks = list(source.see(frames))
    if not blocks:
        raise SelectionError(
            f"Not one of the {len(frames)} frames of {source.name} that were tried can be used. "
            "Copy the file again, or choose another part of it."
        )
    return Glance(plan, np.concatenate([index for index, _ in blocks]), np.concatenate([rows for _, rows in blocks]))


def project_glance(seen: Glance, projection: Projection, covered: Indices) -> Look:
    """Reduce what a glance saw to short vectors."""
    return _assemble(seen.plan, seen.frame_index, projection(seen.features), covered)


def look_through(source: Source, plan: Plan, projection: Projection, covered: Indices) -> Look:
    """Look at all frames of a plan of any size, and reduce them to short vectors as they come."""
    frames = np.union1d(plan.frame_index, on_the_way(plan, covered))
    rows = np.empty((len(frames), projection.axes.shape[1]), dtype=np.float32)
    index = np.empty(len(frames), dtype=np.int64)
    n = 0
    for numbers, features in source.see(frames):
        rows[n : n + len(numbers)] = projection(features)
        index[n : n + len(numbers)] = numbers
        n += len(numbers)
    return _assemble(plan, index[:n], rows[:n], covered)


def look_at(source: Source, plan: Plan, sample: Plan, covered: Indices) -> Look:
    """Look at the frames of `plan` and at the covered ones that lie on the way.

    Parameters
    ----------
    source : Source
    plan : Plan
        Frames that may be picked. If they are more than `HELD_FRAMES`, the main directions of their features are learnt
        from `sample` first.
    sample : Plan
        A plan of bounded size for the same frames.
    covered : (c,) int64
        Frames selected or labelled before, ascending.

    Raises
    ------
    SelectionError
        If not one frame can be had.
    """
    if len(plan.frame_index) <= HELD_FRAMES:
        seen = glance(source, plan, covered)
        return project_glance(seen, fit_projection(*seen.for_projection()), covered)
    projection = fit_projection(*glance(source, sample, covered).for_projection())
    look = look_through(source, plan, projection, covered)
    return replace(look, n_decoded=look.n_decoded + sample.n_decoded)


def on_the_way(plan: Plan, covered: Indices) -> Indices:
    """Return the covered frames that lie between candidates, so that looking at them costs (nearly) nothing."""
    if len(plan.frame_index) == 0 or len(covered) == 0 or plan.is_everything:
        return covered
    place = np.searchsorted(plan.frame_index, covered)
    before = plan.frame_index[np.maximum(place - 1, 0)]
    after = plan.frame_index[np.minimum(place, len(plan.frame_index) - 1)]
    return covered[((place > 0) & (covered - before <= 2)) | ((after >= covered) & (after - covered <= 2))]


def _assemble(plan: Plan, seen: Indices, rows: Matrix, covered: Indices) -> Look:
    is_candidate = np.isin(seen, plan.frame_index, assume_unique=True)
    frame_index, candidates = seen[is_candidate], rows[is_candidate]
    stands_for = plan.stands_for[np.searchsorted(plan.frame_index, frame_index)]
    points = rows[np.isin(seen, covered, assume_unique=True)]
    # A covered frame too far from any run to be looked at cheaply is represented by the candidate next to it in time.
    unseen = np.setdiff1d(covered, seen, assume_unique=True)
    if len(unseen) and len(frame_index):
        points = np.concatenate([points, candidates[np.unique(nearest_frames(frame_index, unseen))]])
    damaged = np.setdiff1d(plan.frame_index, seen, assume_unique=True)
    return Look(frame_index, candidates, stands_for, points, plan.n_decoded, damaged)


def nearest_frames(frames: Indices, wanted: "Indices | Sequence[int]") -> Indices:
    """Return for each wanted frame the row of the nearest of the ascending `frames`."""
    asked = np.asarray(wanted, dtype=np.int64)
    after = np.minimum(np.searchsorted(frames, asked), len(frames) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(np.abs(asked - frames[before]) <= np.abs(frames[after] - asked), before, after)
