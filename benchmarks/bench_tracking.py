"""How well and how fast the background tracker is: ``python -m benchmarks.bench_tracking [SECONDS]``.

One box is drawn around the demo animal's trunk and head on frame 0 of a 640 x 480 video whose masks are known exactly.
Prints mean and lowest intersection over union of trunk and head, frames a second of wall clock and of processor time
(everything: background, decoding, tracking, writing), and the process's peak of memory.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from castle_core.demo import ROI_BODY, ROI_HEAD, make_demo
from castle_core.projects import Project
from castle_core.prompts import Prompt
from castle_core.rois import MaskFile
from castle_core.tracking.run import track_video
from castle_core.tracking.settings import TrackSettings


def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "demo"
        make_demo(path, seconds=seconds)
        project = Project.open(path)
        stem = project.videos()[0].stem
        masks = path / "track" / project.videos()[0].name / "mask_list.h5"
        exact = masks.with_name("exact.h5")
        masks.rename(exact)
        with MaskFile(exact) as truth:
            ys, xs = np.nonzero(np.isin(truth.mask_at(0), (ROI_BODY, ROI_HEAD)))
            box = [xs.min() - 4, ys.min() - 4, xs.max() + 5, ys.max() + 5]
            wall, cpu = time.perf_counter(), time.process_time()
            report = track_video(project, stem, [Prompt(0, 1, "box", box)], TrackSettings())
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            overlap = []
            with MaskFile(masks) as found:
                for i in range(report.frames):
                    a, b = found.mask_at(i) == 1, np.isin(truth.mask_at(i), (ROI_BODY, ROI_HEAD))
                    overlap.append(float((a & b).sum() / (a | b).sum()))
        status = Path("/proc/self/status").read_text()
        peak_kb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
        result = {
            "frames": report.frames,
            "mean_iou": round(float(np.mean(overlap)), 4),
            "lowest_iou": round(min(overlap), 4),
            "frames_per_s": round(report.frames / wall, 1),
            "frames_per_cpu_s": round(report.frames / cpu, 1),
            "peak_mb": round(peak_kb / 1024),
        }
        print(json.dumps(result))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 100.0)
