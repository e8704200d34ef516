"""Choose the frames of a video that are worth labelling: few, and as different as the animal's poses are."""

from castle_core.selection.config import SelectionConfig
from castle_core.selection.one_video import select_frames
from castle_core.selection.result import Coverage, Pick, Selection

__all__ = ["Coverage", "Pick", "Selection", "SelectionConfig", "select_frames"]
