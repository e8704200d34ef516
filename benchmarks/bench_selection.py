"""Diverse selection: whole-process CPU and memory beside the peer's recipe, and coverage of true poses."""

import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.poses import coverage, read_poses, stride
from benchmarks.videos import animal_video, folder
from castle_core.selection import SelectionConfig, select_frames
from castle_core.video import open_video

CASTLE = str(Path(sys.executable).parent / "castle")
N_PICKS = 20
SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


def run(command: list[str]) -> tuple[float, float, dict]:
    """Run a command as a whole process; return CPU seconds, peak memory (MB) and its JSON."""
    with tempfile.TemporaryDirectory() as temporary:
        peak, output = Path(temporary) / "peak", Path(temporary) / "output"
        environment = {**os.environ, "CASTLE_STATE": temporary}
        with open(output, "wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.own_peak", str(peak), *command], stdout=stream, env=environment
            )
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{' '.join(command)} failed")
        return usage.ru_utime + usage.ru_stime, float(peak.read_text()), json.loads(output.read_text())


def ours(video: Path, *options: str) -> tuple[float, float, dict]:
    return run([CASTLE, "select", str(video), "-n", str(N_PICKS), "--json", *options])


def speed() -> None:
    n_frames = int(os.environ.get("CASTLE_BENCH_FRAMES", "6000"))
    video, poses = animal_video(n_frames)
    longer, _ = animal_video(4 * n_frames)
    print(f"\n## Choosing {N_PICKS} of {n_frames} frames, 1280x1024, h264, key frame every 250\n")
    print("| | CPU (s) | of the peer's | peak memory (MB) | coverage of true poses (px) |")
    print("|---|---|---|---|---|")
    peer_cpu, peer_memory, said = run(["benchmarks.peer", str(video), str(N_PICKS)])
    print(
        f"| peer's recipe | {peer_cpu:.1f} | 1 | {peer_memory:.0f} | {coverage(poses, np.array(said['picks'])):.2f} |"
    )
    print(f"| stride | | | | {coverage(poses, stride(n_frames, N_PICKS)):.2f} |")
    for name, options in (("default", ()), ("--exhaustive", ("--exhaustive",))):
        for path, label in ((video, name), (longer, f"{name}, four times as long")):
            cpu, memory, said = ours(path, *options)
            covered = ""
            if path == video:
                covered = f"{coverage(poses, np.array([p['frame_index'] for p in said['picks']])):.2f}"
            print(f"| {label} | {cpu:.2f} | {cpu / peer_cpu:.3f} | {memory:.0f} | {covered} |", flush=True)


def long_videos() -> None:
    print("\n## A video of one hour beside one of 200 s (640x480, 30 frames/s), default\n")
    print("| length | frames looked at | CPU (s) | peak memory (MB) |")
    print("|---|---|---|---|")
    for seconds in (200, int(os.environ.get("CASTLE_BENCH_LONG_S", "3600"))):
        video, _ = animal_video(seconds * 30, width=640, height=480, preset="ultrafast")
        cpu, memory, said = ours(video)
        print(f"| {seconds} s | {said['frames_decoded']} | {cpu:.2f} | {memory:.0f} |", flush=True)
        started = time.process_time()
        with open_video(video) as opened:
            rate = opened.n_frames / (time.process_time() - started)
        print(f"| index of it | {rate:,.0f} frames per CPU-s | | |", flush=True)


def quality() -> None:
    print(f"\n## Coverage of true poses by {N_PICKS} picks (mean over seeds, px; smaller is better)\n")
    print("| video | stride | peer's recipe | default | exhaustive |")
    print("|---|---|---|---|---|")
    n_seeds = int(os.environ.get("CASTLE_BENCH_SEEDS", "20"))
    cases = []
    dance = SHARED / "derived_lp_style" / "dance.csv"
    if dance.is_file():
        cases.append(("dance", SHARED / "sleap" / "videos" / "dance.mp4", read_poses(dance)))
    demo, poses = animal_video(1800, width=640, height=480, preset="ultrafast")
    cases.append(("demo, 60 s", demo, poses))
    for name, path, truth in cases:
        from benchmarks.peer import choose, read_small_frames

        frames = read_small_frames(path)
        peer = [coverage(truth, choose(frames[: len(frames) - 2], N_PICKS, seed)) for seed in range(n_seeds)]
        del frames
        results = {}
        with open_video(path) as video:
            for exhaustive in (False, True):
                results[exhaustive] = [
                    coverage(
                        truth,
                        np.array(
                            [
                                pick.frame_index
                                for pick in select_frames(
                                    video, SelectionConfig(n=N_PICKS, seed=seed, exhaustive=exhaustive)
                                ).picks
                            ]
                        ),
                    )
                    for seed in range(n_seeds)
                ]
        print(
            f"| {name} | {coverage(truth, stride(len(truth), N_PICKS)):.2f} | {np.mean(peer):.2f} | "
            f"{np.mean(results[False]):.2f} | {np.mean(results[True]):.2f} |",
            flush=True,
        )


def bounded_against_exhaustive() -> None:
    n_frames = int(os.environ.get("CASTLE_BENCH_LONG_FRAMES", "60000"))
    n_seeds = int(os.environ.get("CASTLE_BENCH_LONG_SEEDS", "3"))
    video_path, poses = animal_video(n_frames, width=640, height=480, preset="ultrafast")
    print(f"\n## Default against exhaustive on {n_frames} frames of the demo (mean of {n_seeds} seeds, px)\n")
    print("| | coverage of true poses |")
    print("|---|---|")
    some = poses[:: max(1, n_frames // 20_000)]
    with open_video(video_path) as video:
        for exhaustive in (False, True):
            values = []
            for seed in range(n_seeds):
                config = SelectionConfig(n=N_PICKS, seed=seed, exhaustive=exhaustive)
                picks = [pick.frame_index for pick in select_frames(video, config).picks]
                with_picks = np.concatenate([some, poses[picks]])
                values.append(coverage(with_picks, np.arange(len(some), len(with_picks))))
            print(f"| {'exhaustive' if exhaustive else 'default'} | {np.mean(values):.2f} |", flush=True)


def main() -> None:
    print(f"# Selection, {datetime.date.today()}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    print(f"(videos in {folder()})")
    speed()
    quality()
    long_videos()
    bounded_against_exhaustive()


if __name__ == "__main__":
    main()
