"""What is tracked, by what, and over which frames."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from castle_core.errors import ConfigError
from castle_core.prompts import Prompt

TrackerName = Literal["background", "sam2"]
Direction = Literal["forward", "backward", "both"]
TRACKERS: tuple[TrackerName, ...] = ("background", "sam2")
DIRECTIONS: tuple[Direction, ...] = ("forward", "backward", "both")


@dataclass(frozen=True)
class TrackSettings:
    """How ROIs are followed from the frames that somebody drew on.

    Attributes
    ----------
    tracker : {"background", "sam2"}
        ``background`` needs a camera that stands still and no download; ``sam2`` needs a model.
    start, stop : int, optional
        Frames that may be tracked, half open; None is the beginning or the end of the video.
    direction : {"forward", "backward", "both"}
        Where to go from the drawn frame: the first one in the range, or the last one if only backward.
    from_frame : int, optional
        Start from the drawing on this frame rather than from the first or last one of the range.
    until_next_prompt : bool
        Stop at the next frame that has a drawing; otherwise each drawn frame is a new start on the way.
    model : str
        For ``sam2``: a folder, or a name on the hub (``name@revision`` fixes it).
    """

    tracker: TrackerName = "background"
    start: int | None = None
    stop: int | None = None
    direction: Direction = "both"
    from_frame: int | None = None
    until_next_prompt: bool = False
    model: str = ""

    def __post_init__(self) -> None:
        """Check the values.

        Raises
        ------
        ConfigError
            If one of them cannot be.
        """
        if self.tracker not in TRACKERS:
            raise ConfigError(f"There is no tracker {self.tracker!r}. There are: {', '.join(TRACKERS)}.")
        if self.direction not in DIRECTIONS:
            raise ConfigError(f"The direction is {', '.join(DIRECTIONS)}, not {self.direction!r}.")
        if self.start is not None and self.stop is not None and self.start >= self.stop:
            raise ConfigError(f"The range of frames {self.start} to {self.stop} is empty.")
        if self.tracker == "sam2" and not self.model:
            raise ConfigError("SAM 2 needs a model: name a folder on this machine, or a model on the hub.")


@dataclass(frozen=True)
class Run:
    """One way through the video: frames in the order in which they are tracked.

    Attributes
    ----------
    frames : range
        Frame indices; the step is 1 or -1.
    """

    frames: range

    def pieces(self, size: int) -> list[range]:
        """Cut the run into pieces of at most `size` frames, in order."""
        return [self.frames[i : i + size] for i in range(0, len(self.frames), size)]


def plan_runs(settings: TrackSettings, prompt_frames: Sequence[int], n_frames: int, video_name: str) -> list[Run]:
    """Return the ways through the video that the settings ask for.

    Parameters
    ----------
    settings : TrackSettings
    prompt_frames : sequence of int
        Frames that have a drawing, in any order; empty where another video's drawings serve this one.
    n_frames : int
        Frames of the video.
    video_name : str
        For messages.

    Raises
    ------
    ConfigError
        If no drawing lies in the range, or `from_frame` has none.
    """
    start = max(settings.start or 0, 0)
    stop = n_frames if settings.stop is None else min(settings.stop, n_frames)
    if start >= stop:
        raise ConfigError(f"Frames {start} to {stop} are not in {video_name}, which has {n_frames} frames.")
    if not prompt_frames:
        return [Run(range(start, stop))]
    drawn = sorted(f for f in prompt_frames if start <= f < stop)
    if not drawn:
        raise ConfigError(
            f"Nothing is drawn on frames {start} to {stop - 1} of {video_name}. Draw the ROIs on one of them."
        )
    anchor = drawn[-1] if settings.direction == "backward" else drawn[0]
    if settings.from_frame is not None:
        if settings.from_frame not in drawn:
            raise ConfigError(f"Nothing is drawn on frame {settings.from_frame} of {video_name}. Draw the ROIs there.")
        anchor = settings.from_frame
    first, last = start, stop
    if settings.until_next_prompt:
        first = max((f + 1 for f in drawn if f < anchor), default=start)
        last = min((f for f in drawn if f > anchor), default=stop)
    runs = []
    if settings.direction != "backward":
        runs.append(Run(range(anchor, last)))
    if settings.direction != "forward" and (anchor > first or not runs):
        runs.append(Run(range(anchor, first - 1, -1)))  # begins at the drawing again: the same mask
    return runs


def settings_key(settings: TrackSettings, prompts: Sequence[Prompt], fingerprint: str, source: str) -> str:
    """Return a hash (hex) of everything that decides about the result; shards of the same work share it."""
    digest = hashlib.sha256(json.dumps([asdict(settings), fingerprint, source], sort_keys=True).encode())
    digest.update(prompts_hash(prompts).encode())
    return digest.hexdigest()[:24]


def prompts_hash(prompts: Sequence[Prompt]) -> str:
    """Return the SHA-256 (hex) of drawings, whatever their order in the file."""
    parts = sorted(
        hashlib.sha256(
            repr((p.frame_index, p.roi, p.kind, p.data.shape, str(p.data.dtype), float(p.radius))).encode()
            + p.data.tobytes()
            + p.positive.tobytes()
        ).hexdigest()
        for p in prompts
    )
    return hashlib.sha256("".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class TrackReport:
    """What came of tracking one video.

    Attributes
    ----------
    video : str
        File name.
    frames : int
        Frames tracked now.
    rois : tuple of int
        Ids that were followed.
    lost : dict of int to int
        For each id, the number of these frames without it.
    undecodable : tuple of int
        Frames that could not be decoded; they have no mask.
    path : str
        The mask file.
    """

    video: str
    frames: int
    rois: tuple[int, ...]
    lost: dict[int, int]
    undecodable: tuple[int, ...] = ()
    path: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the fields with names and types of JSON."""
        values: Mapping[str, Any] = asdict(self)
        return {**values, "rois": list(self.rois), "lost": {str(r): k for r, k in self.lost.items()}}


@dataclass
class TrackedFrame:
    """One frame as a tracker saw it.

    Attributes
    ----------
    mask : numpy.ndarray
        (H, W) uint8, ROI ids; zero everywhere where all were lost.
    confidence : dict of int to float
        Per ROI, 0 (lost) … 1.
    """

    mask: Any
    confidence: dict[int, float] = field(default_factory=dict)
