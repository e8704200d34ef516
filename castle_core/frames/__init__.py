"""Frames on disk: ``labeled-data/<stem>`` with its images, selected_frames.csv and selection.json."""

from castle_core.frames.export import export_frames
from castle_core.frames.names import frame_name, images_by_index, read_selected, with_context
from castle_core.frames.record import Round, RoundFrame, RoundInfo, SelectionRecord, new_id, new_round, read_record
from castle_core.frames.store import Exported, store_frames
from castle_core.frames.undo import RoundSummary, UndoReport, list_rounds, remove_frame, undo_round
from castle_core.frames.writes import frames_lock

__all__ = [
    "Exported",
    "Round",
    "RoundFrame",
    "RoundInfo",
    "RoundSummary",
    "SelectionRecord",
    "UndoReport",
    "export_frames",
    "frame_name",
    "frames_lock",
    "images_by_index",
    "list_rounds",
    "new_id",
    "new_round",
    "read_record",
    "read_selected",
    "remove_frame",
    "store_frames",
    "undo_round",
    "with_context",
]
