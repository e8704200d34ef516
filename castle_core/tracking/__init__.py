"""Follow drawn ROIs through a video: trackers, shards, ``mask_list.h5``, and what is known of it afterwards.

Import from the modules: `run.track_video`, `record.track_summary`, `mending.mend_masks`, `settings.TrackSettings`.
"""
