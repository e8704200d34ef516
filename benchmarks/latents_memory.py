"""How much memory an extraction takes: ``python -m benchmarks.latents_memory FOLDER N [MODEL]`` prints the peak in MB.

MODEL is ``hog``, or ``tiny``: a DINOv2 of random weights, which has a CLS token as well.
"""

import sys
from pathlib import Path

import numpy as np

from benchmarks.own_peak import peak_mb
from castle_core.demo.encoder import write_tiny_encoder
from castle_core.encoders import load_encoder
from castle_core.latents import ExtractConfig
from castle_core.latents.extraction import extract_video
from castle_core.mask_writer import MaskListWriter
from castle_core.preprocess import Preprocess
from castle_core.projects import Project
from castle_core.video import VideoWriter


def main(folder: Path, n: int, model: str) -> None:
    (folder / "videos").mkdir(parents=True)
    (folder / "track" / "a.mp4").mkdir(parents=True)
    (folder / "points" / "p").mkdir(parents=True)
    picture = np.full((64, 96, 3), 90, np.uint8)
    mask = np.zeros((64, 96), np.uint8)
    mask[20:40, 30:60] = 1
    with VideoWriter(folder / "videos" / "a.mp4", fps=30, width=96, height=64, preset="ultrafast") as writer:
        for i in range(n):
            picture[20:40, 30:60] = i % 200
            writer.write(picture)
    with MaskListWriter(folder / "track" / "a.mp4" / "mask_list.h5", width=96, height=64, n_rois=1) as writer:
        for _ in range(n):
            writer.write(mask, (0, 0, 96, 64))
    (folder / "points" / "p" / "a.csv").write_text("".join(f"{i},40,30\n" for i in range(n)))
    tiny = model == "tiny"
    config = ExtractConfig(
        encoder=model,
        poolings=("roi-mean", *(["cls"] if tiny else []), "global", "point", "none"),
        points=("p",),
        shard_frames=1000,
        preprocess=Preprocess(center_roi=1, crop_width=48, crop_height=48),
    )
    if tiny:
        encoder = load_encoder(str(write_tiny_encoder(folder / "tiny", seed=0)), input_size=28)
    else:
        encoder = load_encoder("hog", input_size=16)
    extract_video(Project.open(folder), "a", config, encoder)
    print(f"{peak_mb():.1f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "hog")
