"""Labels: what people said about frames, read from and written to the files of the field."""

from castle_core.labels.collected_data import read_collected_data, write_collected_data
from castle_core.labels.in_project import label_path, label_views, project_labels, update_project_labels
from castle_core.labels.merge import MergeReport, merge_labels
from castle_core.labels.model import Labels, no_labels

__all__ = [
    "Labels",
    "MergeReport",
    "label_path",
    "label_views",
    "merge_labels",
    "no_labels",
    "project_labels",
    "read_collected_data",
    "update_project_labels",
    "write_collected_data",
]
