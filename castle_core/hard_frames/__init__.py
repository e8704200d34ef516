"""The frames that a pose model finds hard: spaced, different from each other, each with its reason."""

from castle_core.hard_frames.config import UNKNOWN_FPS, Source, SuggestConfig
from castle_core.hard_frames.result import FILLER, HardPick, HardSelection
from castle_core.hard_frames.suggest import suggest_frames, suggest_from_videos

__all__ = [
    "FILLER",
    "UNKNOWN_FPS",
    "HardPick",
    "HardSelection",
    "Source",
    "SuggestConfig",
    "suggest_frames",
    "suggest_from_videos",
]
