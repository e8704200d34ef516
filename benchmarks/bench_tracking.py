"""Tracking without weights: how well and how fast the background tracker follows what is drawn on one frame.

On the demo, whose masks are known exactly, once a box around trunk and head, once around the trunk alone; on a filmed
mouse, where it is; and the memory that a long video takes. Each line is a process of its own. Everything counts:
learning the background, decoding, tracking, writing. ``CASTLE_BENCH_TRACKING_S`` sets the demo's length (100 s).
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.own_peak import peak_mb
from castle_core.demo import ROI_BODY, ROI_HEAD, make_demo
from castle_core.projects import Project
from castle_core.prompts import Prompt
from castle_core.rois import MaskFile
from castle_core.tracking.run import track_video
from castle_core.tracking.settings import TrackSettings

OPEN_FIELD = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "dlc_openfield" / "m3v1mp4.mp4"
MOUSE_BOX = (62, 80, 180, 192)


def track(project: Project, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """Track the first video; return how long that took and how often ROI 1 was there."""
    stem = project.videos()[0].stem
    wall, cpu = time.perf_counter(), time.process_time()
    report = track_video(project, stem, prompts, TrackSettings())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "frames": report.frames,
        "present": 1 - report.lost[1] / report.frames,
        "frames_per_s": report.frames / wall,
        "frames_per_cpu_s": report.frames / cpu,
        "peak_mb": peak_mb(),
    }


def demo_masks(project: Project) -> tuple[Path, Path]:
    """Return where the masks are written and where the exact ones were put aside."""
    masks = project.path / "track" / project.videos()[0].name / "mask_list.h5"
    exact = masks.with_name("exact.h5")
    if not exact.exists():
        masks.rename(exact)
    return masks, exact


def follow_demo(folder: Path, rois: tuple[int, ...]) -> dict[str, Any]:
    """Draw a box around these of the demo's ROIs on frame 0, track, and compare with the exact masks."""
    project = Project.open(folder)
    masks, exact = demo_masks(project)
    with MaskFile(exact) as truth:
        ys, xs = np.nonzero(np.isin(truth.mask_at(0), rois))  # type: ignore[arg-type]
    box = [xs.min() - 4, ys.min() - 4, xs.max() + 5, ys.max() + 5]
    result = track(project, [Prompt(0, 1, "box", box)])
    overlap = []
    with MaskFile(exact) as truth, MaskFile(masks) as found:
        for i in range(result["frames"]):
            a, b = found.mask_at(i) == 1, np.isin(truth.mask_at(i), rois)  # type: ignore[arg-type]
            overlap.append(float((a & b).sum() / (a | b).sum()))
    masks.unlink()
    return {**result, "mean_iou": float(np.mean(overlap)), "lowest_iou": min(overlap)}


def follow_mouse(folder: Path) -> dict[str, Any]:
    """Track the filmed mouse from one box on its first frame."""
    project = Project.create(folder)
    (folder / "videos").mkdir(exist_ok=True)
    shutil.copy(OPEN_FIELD, folder / "videos")
    return track(project, [Prompt(0, 1, "box", MOUSE_BOX)])


def own_process(what: str, folder: Path) -> dict[str, Any]:
    """Measure in a process of its own, since memory is only ever seen to grow."""
    command = [sys.executable, "-m", "benchmarks.bench_tracking", what, str(folder)]
    return dict(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def row(name: str, result: dict[str, Any]) -> None:
    iou = f"{result['mean_iou']:.3f} | {result['lowest_iou']:.3f}" if "mean_iou" in result else " | "
    print(
        f"| {name} | {result['frames']:,} | {iou} | {result['present']:.1%} | {result['frames_per_s']:.0f} | "
        f"{result['frames_per_cpu_s']:.0f} | {result['peak_mb']:.0f} |",
        flush=True,
    )


def main() -> None:
    seconds = float(os.environ.get("CASTLE_BENCH_TRACKING_S", "100"))
    print("\n## Tracking: background, one box on frame 0\n")
    print("Goals: mean IoU >= 0.9 and 60 frames/s on the demo (640x480); present in >= 98 % on the filmed mouse.\n")
    print("| video | frames | mean IoU | lowest IoU | ROI present | frames/s | frames per CPU-s | peak memory (MB) |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_demo(folder / "demo", seconds=seconds, n_videos=1)
        row("demo, trunk and head", own_process("trunk-and-head", folder / "demo"))
        row("demo, trunk", own_process("trunk", folder / "demo"))
        if OPEN_FIELD.is_file():
            row("black mouse in an open field", own_process("mouse", folder / "mouse"))
        for n_frames in (1_000, 20_000):
            make_demo(folder / str(n_frames), seconds=n_frames / 30, n_videos=1, size=(320, 240))
            row("demo, 320x240, trunk", own_process("trunk", folder / str(n_frames)))
            shutil.rmtree(folder / str(n_frames))


def _measure(what: str, folder: Path) -> dict[str, Any]:
    if what == "mouse":
        return follow_mouse(folder)
    return follow_demo(folder, (ROI_BODY, ROI_HEAD) if what == "trunk-and-head" else (ROI_BODY,))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(_measure(sys.argv[1], Path(sys.argv[2]))))
    else:
        main()
