"""Look at latent files: what they hold, which frames are alike, where there are gaps; and hand them on."""

from castle_core.inspection.catalogue import LatentFile, find_latent_file, latent_path, list_latent_files
from castle_core.inspection.clusters import Bout, Clusters, bouts_of, cluster, example_bouts
from castle_core.inspection.exports import export_csv, export_npy, export_nwb
from castle_core.inspection.feature_maps import FeatureMap, read_map_status, read_tokens
from castle_core.inspection.gaps import Gap, count_by_status, find_gaps, status_words
from castle_core.inspection.lasso import inside_polygon, spread_over
from castle_core.inspection.neighbours import Neighbour, nearest_frames
from castle_core.inspection.rows import Rows, open_rows
from castle_core.inspection.sampling import every_words, requested_frames, sampling_words, stand_ins, step_of
from castle_core.inspection.summary import Summary, cache_folder, is_quick, rows_of, summarise, summary_of
from castle_core.inspection.windows import Window, channel_order, heat_map, scores_window, window_of

__all__ = [
    "Bout",
    "Clusters",
    "FeatureMap",
    "Gap",
    "LatentFile",
    "Neighbour",
    "Rows",
    "Summary",
    "Window",
    "bouts_of",
    "cache_folder",
    "channel_order",
    "cluster",
    "count_by_status",
    "every_words",
    "example_bouts",
    "export_csv",
    "export_npy",
    "export_nwb",
    "find_gaps",
    "find_latent_file",
    "heat_map",
    "inside_polygon",
    "is_quick",
    "latent_path",
    "list_latent_files",
    "nearest_frames",
    "open_rows",
    "read_map_status",
    "read_tokens",
    "requested_frames",
    "rows_of",
    "sampling_words",
    "scores_window",
    "spread_over",
    "stand_ins",
    "status_words",
    "step_of",
    "summarise",
    "summary_of",
    "window_of",
]
