"""Latents: how much of the model's own speed arrives, what many outputs cost, and the recipe of CASTLE beside ours.

Ratios within one run; the machine's absolute speed is printed for orientation. ``CASTLE_BENCH_FRAMES`` sets the number
of frames of the slow model (128; the quick ones see 2,000, in turn with the reader they are compared to, three times).
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.castle_recipe import castle_recipe
from castle_core.demo import make_demo
from castle_core.encoders import Encoder, load_encoder
from castle_core.encoders.transformer import TransformerEncoder
from castle_core.latents import ExtractConfig
from castle_core.latents.extraction import extract_video
from castle_core.mask_writer import MaskListWriter
from castle_core.preprocess import Preprocess
from castle_core.projects import Project
from castle_core.ranges import parse_bound
from castle_core.rois import MaskFile

SLOW_FRAMES = int(os.environ.get("CASTLE_BENCH_FRAMES", "128"))
FRAMES = 2000
TURNS = 3
STEM = "mouse_day1"


def make_project(folder: Path) -> Project:
    """Make a 640x480 h264 recording whose masks hold seven ROIs."""
    make_demo(folder, seconds=FRAMES / 30, n_videos=1)
    path = folder / "track" / f"{STEM}.mp4" / "mask_list.h5"
    seven = path.with_name("seven.h5")
    stripe = (np.arange(640) // 8 % 3).astype(np.uint8) * 3
    with MaskFile(path) as masks, MaskListWriter(seven, width=640, height=480, n_rois=7) as writer:
        for i in range(FRAMES):
            mask = masks.mask_at(i)
            assert mask is not None
            writer.write(np.where(mask > 0, np.minimum(mask + stripe, 7), 0).astype(np.uint8), (0, 0, 640, 480))
    seven.replace(path)
    return Project.open(folder)


def small_dinov2(precision: str = "fp32") -> Encoder:
    import torch
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=384, num_attention_heads=6, num_hidden_layers=12, image_size=518, patch_size=14)
    return TransformerEncoder(Dinov2Model(config), name="small", input_size=224, precision=precision)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock, and of all cores together; on a busy machine the latter say more."""

    wall_s: float
    cpu_s: float

    def over(self, other: "Cost", frames: float = 1.0) -> tuple[float, float]:
        """Return this cost over another one, by clock and by CPU; `frames` is theirs over ours."""
        return self.wall_s / other.wall_s * frames, self.cpu_s / other.cpu_s * frames


@contextmanager
def measured() -> Iterator[list[Cost]]:
    """Measure a block, with the processes that it started and waited for."""

    def cpu_s() -> float:
        times = os.times()
        return times.user + times.system + times.children_user + times.children_system

    costs: list[Cost] = []
    wall, cpu = time.perf_counter(), cpu_s()
    yield costs
    costs.append(Cost(time.perf_counter() - wall, cpu_s() - cpu))


def extract(project: Project, encoder: Encoder, config: ExtractConfig, n_frames: int) -> Cost:
    config = replace(config, stop=parse_bound(f"{n_frames}f"))
    with measured() as costs:
        extract_video(project, STEM, config, encoder, skip_existing=False)
    return costs[0]


def forward(encoder: Encoder, n_frames: int, batch: int = 32) -> Cost:
    import torch

    size = encoder.input_size
    pictures = torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8)
    encoder.encode(pictures)
    with measured() as costs:
        for _ in range(n_frames // batch):
            encoder.encode(pictures)
    return costs[0]


def read(project: Project, n_frames: int) -> Cost:
    with project.open_video(STEM) as video, measured() as costs:
        for _ in video.batches(32, 0, n_frames):
            pass
    return costs[0]


def row(what: str, goal: str, value: tuple[float, float] | str, note: str = "") -> None:
    shown = value if isinstance(value, str) else f"{value[0]:.2f} | {value[1]:.2f}"
    print(f"| {what} | {goal} | {shown} | {note} |", flush=True)


def rate(cost: Cost, n_frames: int) -> str:
    return f"{n_frames / cost.wall_s:.0f}"


def ratios(project: Project) -> None:
    tiny = load_encoder(str(project.path / "encoders" / "tiny-dinov2"), input_size=56)
    hog, small = load_encoder("hog"), small_dinov2()
    plain = ExtractConfig(encoder="any")
    for encoder in (tiny, hog, small):  # warm: libraries, caches, the video's index
        extract(project, encoder, plain, 32)

    # In turn, since the machine's speed changes within minutes; the turn of median clock time counts.
    quick = (("tiny model, 56 px", tiny, 0.55), ("hog", hog, 0.35))
    turns = [
        (read(project, FRAMES), *(extract(project, encoder, plain, FRAMES) for _, encoder, _ in quick))
        for _ in range(TURNS)
    ]
    reading, *found = (sorted(costs, key=lambda cost: cost.wall_s)[TURNS // 2] for costs in zip(*turns, strict=True))
    for (name, _, goal), took in zip(quick, found, strict=True):
        note = f"{rate(took, FRAMES)} of {rate(reading, FRAMES)} frames/s"
        row(f"end to end over reading rgb24, {name}", f">= {goal}", reading.over(took), note)

    rois = (1, 2, 3)
    centred = replace(plain, roi_ids=rois, preprocess=Preprocess(center_roi=1, tail_roi=2))
    ours = extract(project, tiny, centred, FRAMES)
    n_peer = FRAMES // 4
    with measured() as costs:
        wall_s = castle_recipe(project, STEM, tiny, rois, centred.preprocess, n_peer)
    peer = Cost(wall_s, costs[0].cpu_s)
    note = f"{rate(ours, FRAMES)} against {rate(peer, n_peer)} frames/s; theirs by CPU includes starting the workers"
    row("over CASTLE's recipe, tiny model, 3 ROIs", ">= 5", peer.over(ours, FRAMES / n_peer), note)

    n = SLOW_FRAMES
    model = forward(small, n)
    whole = extract(project, small, plain, n)
    seven = extract(project, small, replace(plain, roi_ids=(1, 2, 3, 4, 5, 6, 7)), n)
    turned = extract(project, small, plain.with_rotation(7), n // 2)
    note = f"{n / whole.wall_s:.1f} of {n / model.wall_s:.1f} frames/s"
    row("end to end over forward only, DINOv2-small shape, 224 px", ">= 0.9", model.over(whole), note)
    row("7 ROIs over one", "<= 1.15", seven.over(whole))
    row("rotation latent over one pass", "<= 7.3", turned.over(whole, 2))


def half_precision() -> None:
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    what = "bf16 over fp32, 224 px, batch 8"
    if "avx512_bf16" not in flags and "amx_bf16" not in flags:
        row(what, ">= 2", "not measured | ", "this CPU has neither avx512_bf16 nor amx")
        return
    costs = [forward(small_dinov2(precision), SLOW_FRAMES // 2, 8) for precision in ("fp32", "bf16")]
    row(what, ">= 2", costs[0].over(costs[1]))


def peak_mb(n_frames: int, folder: Path) -> float:
    command = [sys.executable, "-m", "benchmarks.latents_memory", str(folder / f"memory{n_frames}"), str(n_frames)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    print("\n## Latents\n\n| what | goal | by clock | by CPU | |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ratios(make_project(folder / "demo"))
        half_precision()
        few, many = peak_mb(2_000, folder), peak_mb(10_000, folder)
        row(
            "peak memory, 10,000 frames over 2,000, four poolings",
            "<= 1.1",
            f"{many / few:.2f} | ",
            f"{few:.0f} and {many:.0f} MB",
        )


if __name__ == "__main__":
    main()
