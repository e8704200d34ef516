"""Choose the frames of videos that are worth labelling: few, and as different as the animal's poses are."""

from castle_core.selection.config import SelectionConfig
from castle_core.selection.many_videos import select_from_videos
from castle_core.selection.one_video import select_frames
from castle_core.selection.result import Coverage, Pick, Selection

__all__ = ["Coverage", "Pick", "Selection", "SelectionConfig", "select_frames", "select_from_videos"]
