"""Frames of a video as PNG files in the Lightning Pose layout."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from castle_core.errors import ConfigError, FrameDecodeError, FrameIndexError
from castle_core.frames.names import with_context
from castle_core.frames.record import RoundFrame, RoundInfo, new_round
from castle_core.frames.store import Exported, store_frames
from castle_core.progress import QUIET, Task

if TYPE_CHECKING:
    import numpy as np

    from castle_core.projects import Project
    from castle_core.video import Video


class PickedFrame(Protocol):
    """What is told about a frame that was picked: `castle_core.selection.Pick` and `castle_core.boards.Entry` do."""

    @property
    def frame_index(self) -> int: ...  # noqa: D102

    @property
    def reason(self) -> str: ...  # noqa: D102

    @property
    def score(self) -> float | None: ...  # noqa: D102


MAX_CONTEXT = 100
_BATCH_BYTES = 48_000_000


def export_frames(
    project: "Project",
    stem: str,
    frame_indices: Sequence[int],
    *,
    context: int = 2,
    picks: "Sequence[PickedFrame] | None" = None,
    round_info: RoundInfo | None = None,
    task: Task = QUIET,
) -> Exported:
    """Write frames of a video into ``labeled-data/<stem>`` and add them to its selected_frames.csv.

    What is there stays: running again adds. Either everything is written or nothing; see `castle_core.frames.writes`
    for what a crash leaves behind. The pixels are bit-equal to the reader's.

    Parameters
    ----------
    project : Project
    stem : str
        Stem or file name of a video of the project.
    frame_indices : sequence of int
        Frames to select, in any order; duplicates count once.
    context : int
        Neighbours on either side to write as well, clipped to the video; they are not selected.
    picks : sequence of Pick or Entry, optional
        Time, reason and score of the frames, for selection.json.
    round_info : RoundInfo, optional
        The round that they belong to; by default a new one, "by hand".
    task : Task
        Progress counts images.

    Returns
    -------
    Exported

    Raises
    ------
    FrameIndexError
        If an index lies outside the video.
    FrameDecodeError
        If one of the frames cannot be decoded. A context frame that cannot is left out, with a warning.
    ConfigError
        If `context` is negative or above 100.
    ProjectError, LockHeldError, VideoError
        If the folder cannot be written, or the video not opened.
    """
    if not 0 <= context <= MAX_CONTEXT:
        raise ConfigError(f"Context frames must be a number from 0 to {MAX_CONTEXT}, not {context}.")
    project.require_writable()
    entry = project.video(stem)
    info = round_info or new_round("by hand", settings={"context": context})
    told = {pick.frame_index: pick for pick in picks or ()}
    with project.open_video(entry.stem) as video:
        wanted = sorted({int(index) for index in frame_indices})
        check_frame_indices(wanted, video.n_frames, entry.name)
        frames = []
        for index in wanted:
            pick = told.get(index)
            reason = pick.reason if pick else "chosen by index"
            frames.append(RoundFrame(index, "", float(video.times_s[index]), reason, pick.score if pick else None))
        neighbours = {near for index in wanted for near in with_context(index, context, video.n_frames)}
        images = _Decoded(video, frozenset(wanted), entry.name)
        result = store_frames(
            project,
            entry.stem,
            frames,
            images,
            context_indices=neighbours,
            context=context,
            round_info=info,
            video_name=entry.name,
            task=task,
        )
    for warning in images.warnings:
        task.log(warning)
    return replace(result, warnings=tuple(images.warnings))


def check_frame_indices(frame_indices: Sequence[int], n_frames: int, name: str) -> None:
    """Check that frames lie in a video of this name.

    Raises
    ------
    FrameIndexError
        If one does not.
    """
    outside = [index for index in frame_indices if not 0 <= index < n_frames]
    if outside:
        raise FrameIndexError(
            f"Frame {outside[0]} is outside {name}, whose frames are 0 to {n_frames - 1}. Nothing was written."
        )


class _Decoded:
    """Frames of a video as PNG, decoded in batches of bounded memory; undecodable context frames become warnings."""

    def __init__(self, video: "Video", must: frozenset[int], name: str) -> None:
        self._video, self._must, self._name = video, must, name
        self.warnings: list[str] = []

    def __call__(self, frame_indices: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        from castle_core.video import encode_png

        size = max(1, _BATCH_BYTES // max(1, self._video.width * self._video.height * 3))
        for chunk in _chunks(frame_indices, size):
            try:
                batch = self._video.frames_at(chunk)
                decoded = list(zip(chunk, batch.data, strict=True))
            except FrameDecodeError:
                decoded = [(index, frame) for index in chunk if (frame := self._one(index)) is not None]
            for index, frame in decoded:
                yield index, encode_png(frame)

    def _one(self, frame_index: int) -> "np.ndarray | None":
        try:
            return self._video.frame_at(frame_index)
        except FrameDecodeError as error:
            if frame_index in self._must:
                raise FrameDecodeError(
                    f"Frame {frame_index} of {self._name} cannot be decoded: the video is damaged there. Leave it out. "
                    "Nothing was written.",
                    frame_index=frame_index,
                ) from error
            self.warnings.append(
                f"Context frame {frame_index} of {self._name} cannot be decoded and was left out: "
                "the frames beside it are not usable for context models."
            )
            return None


def _chunks(frame_indices: Sequence[int], size: int) -> Iterator[list[int]]:
    """Split ascending indices into lists of at most `size`; neighbouring frames stay together where they fit.

    Each list costs one decoding from its key frames on, so a run of neighbours is cheapest in one.
    """
    chunk: list[int] = []
    runs: list[list[int]] = []
    for index in frame_indices:
        if runs and index == runs[-1][-1] + 1 and len(runs[-1]) < size:
            runs[-1].append(index)
        else:
            runs.append([index])
    for run in runs:
        if chunk and len(chunk) + len(run) > size:
            yield chunk
            chunk = []
        chunk = chunk + run
    if chunk:
        yield chunk
