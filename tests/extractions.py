"""What tests of whole extractions share: the usual settings, and what the demo of `conftest` must give."""

from pathlib import Path

import numpy as np

from castle_core.latents import ExtractConfig, read_latents
from castle_core.preprocess import NO_MASK, ROI_ABSENT

# As tests/latents/conftest.py makes the demo.
N_FRAMES, NO_MASK_FRAMES, NO_ROI_2_FRAMES = 60, (7, 8), (20, 21, 22)

CONFIG = ExtractConfig(encoder="tiny", roi_ids=(1, 2), batch_size=8, shard_frames=25)


def latent_of(extraction, **wanted):
    path = next(w.path for w in extraction.written if all(getattr(w, k) == v for k, v in wanted.items()))
    return read_latents(Path(path))


def expected_status(roi_id):
    status = np.zeros(N_FRAMES, np.uint8)
    status[list(NO_MASK_FRAMES)] = NO_MASK
    if roi_id == 2:
        status[list(NO_ROI_2_FRAMES)] = ROI_ABSENT
    return status


def write_points(project, name, stem, rows):
    folder = project.path / "points" / name
    folder.mkdir(parents=True)
    (folder / f"{stem}.csv").write_text("frame,x,y\n" + "".join(f"{f},{x},{y}\n" for f, x, y in rows))
