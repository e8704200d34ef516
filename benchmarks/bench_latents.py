"""Latents: how much of the model's own speed arrives, what many outputs cost, and the recipe of CASTLE beside ours.

Ratios within one run; the machine's absolute speed is printed for orientation. ``CASTLE_BENCH_FRAMES`` sets the number
of frames of the slow model (256; the quick ones see eight times as many).
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
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

SLOW_FRAMES = int(os.environ.get("CASTLE_BENCH_FRAMES", "256"))
FRAMES = 8 * SLOW_FRAMES
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


def extract_s(project: Project, encoder: Encoder, config: ExtractConfig, n_frames: int) -> float:
    started = time.perf_counter()
    config = replace(config, stop=parse_bound(f"{n_frames}f"))
    extract_video(project, STEM, config, encoder, skip_existing=False)
    return time.perf_counter() - started


def forward_s(encoder: Encoder, n_frames: int, batch: int = 32) -> float:
    import torch

    size = encoder.input_size
    pictures = torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8)
    started = time.perf_counter()
    for _ in range(n_frames // batch):
        encoder.encode(pictures)
    return time.perf_counter() - started


def read_s(project: Project, n_frames: int) -> float:
    with project.open_video(STEM) as video:
        started = time.perf_counter()
        for _ in video.batches(32, 0, n_frames):
            pass
        return time.perf_counter() - started


def row(what: str, goal: str, value: str, note: str = "") -> None:
    print(f"| {what} | {goal} | {value} | {note} |", flush=True)


def peak_mb(n_frames: int, folder: Path) -> float:
    command = [sys.executable, "-m", "benchmarks.latents_memory", str(folder / f"memory{n_frames}"), str(n_frames)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def ratios(project: Project) -> None:
    tiny = load_encoder(str(project.path / "encoders" / "tiny-dinov2"), input_size=56)
    hog, small = load_encoder("hog"), small_dinov2()
    plain = ExtractConfig(encoder="any")
    for encoder in (tiny, hog, small):  # warm: libraries, caches, the video's index
        extract_s(project, encoder, plain, 64)

    n = SLOW_FRAMES
    forward = forward_s(small, n)
    whole = extract_s(project, small, plain, n)
    forward = (forward + forward_s(small, n)) / 2
    row(
        "end to end over forward only, DINOv2-small shape, 224 px",
        ">= 0.9",
        f"{forward / whole:.2f}",
        f"{n / whole:.1f} of {n / forward:.1f} frames/s",
    )
    seven = extract_s(project, small, replace(plain, roi_ids=(1, 2, 3, 4, 5, 6, 7)), n)
    row("7 ROIs over one", "<= 1.15", f"{seven / whole:.2f}")
    turned = extract_s(project, small, plain.with_rotation(7), n // 2)
    row("rotation latent over one pass", "<= 7.3", f"{turned / (whole / 2):.2f}")

    read = read_s(project, FRAMES)
    for name, encoder, goal in (("tiny model, 56 px", tiny, 0.55), ("hog", hog, 0.35)):
        took = extract_s(project, encoder, plain, FRAMES)
        row(
            f"end to end over reading rgb24, {name}",
            f">= {goal}",
            f"{read / took:.2f}",
            f"{FRAMES / took:.0f} of {FRAMES / read:.0f} frames/s",
        )

    centred = replace(plain, roi_ids=(1, 2, 3), preprocess=Preprocess(center_roi=1, tail_roi=2))
    ours = extract_s(project, tiny, centred, FRAMES)
    n_peer = FRAMES // 4
    peer = castle_recipe(project, STEM, tiny, (1, 2, 3), centred.preprocess, n_peer) * FRAMES / n_peer
    row(
        "over CASTLE's recipe, tiny model, 3 ROIs, centred and rotated",
        ">= 5",
        f"{peer / ours:.1f}",
        f"{FRAMES / ours:.0f} against {FRAMES / peer:.0f} frames/s",
    )


def half_precision() -> None:
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    if "avx512_bf16" not in flags and "amx_bf16" not in flags:
        row("bf16 over fp32, 224 px, batch 8", ">= 2", "not measured", "this CPU has neither avx512_bf16 nor amx")
        return
    n = SLOW_FRAMES // 2
    times = [forward_s(small_dinov2(precision), n, 8) for precision in ("fp32", "bf16")]
    row("bf16 over fp32, 224 px, batch 8", ">= 2", f"{times[0] / times[1]:.2f}")


def main() -> None:
    print("\n## Latents\n\n| what | goal | ratio | |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ratios(make_project(folder / "demo"))
        half_precision()
        few, many = peak_mb(2_000, folder), peak_mb(10_000, folder)
        row(
            "peak memory, 10,000 frames over 2,000, four poolings",
            "<= 1.1",
            f"{many / few:.2f}",
            f"{few:.0f} and {many:.0f} MB",
        )


if __name__ == "__main__":
    main()
