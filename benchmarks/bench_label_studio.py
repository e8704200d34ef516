"""Label Studio: 500 frames of 1280x1024 pushed with pre-labels, labelled, and pulled, each by a process of its own."""

import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
import migrate_label_studio as starting  # noqa: E402

VERSION = "1.23.2"
CASTLE = str(Path(sys.executable).parent / "castle")
NAMES = [f"keypoint {k}" for k in range(17)]
WIDTH, HEIGHT = 1280, 1024
GOALS = {(500, "push with pre-labels"): 60.0, (500, "pull"): 5.0}
"""(frames, step) → seconds of the whole command."""


def make_project(path: Path, n_frames: int) -> int:
    """Write frames with the grain of a camera, and a model's predictions; return the pictures' bytes."""
    from castle_core.projects import Project

    project = Project.create(path, keypoints=NAMES)
    folder = project.path / "labeled-data" / "day1"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    ground = np.linspace(60, 180, WIDTH)[None, :, None] + np.linspace(0, 40, HEIGHT)[:, None, None]
    n_bytes = 0
    for frame in range(n_frames):
        grain = np.random.default_rng(frame).normal(0, 3, (HEIGHT, WIDTH, 1))
        picture = np.clip(ground + grain, 0, 255).astype(np.uint8).repeat(3, axis=2)
        name = folder / f"img{frame:08d}.png"
        cv2.imwrite(str(name), picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        n_bytes += name.stat().st_size
    (folder / "selected_frames.csv").write_text("".join(f"img{frame:08d}.png\n" for frame in range(n_frames)))
    columns = [(name, axis) for name in NAMES for axis in ("x", "y", "likelihood")]
    lines = [",".join(["scorer", *["model"] * len(columns)])]
    lines += [",".join(["bodyparts", *(name for name, _ in columns)]), ",".join(["coords", *(a for _, a in columns)])]
    for frame in range(n_frames):
        points = random.uniform((0, 0), (WIDTH, HEIGHT), (len(NAMES), 2))
        lines.append(",".join([str(frame), *(f"{x:.6f},{y:.6f},0.9" for x, y in points)]))
    model = project.path / "models" / "m1"
    model.mkdir(parents=True)
    (model / "day1.csv").write_text("\n".join(lines) + "\n")
    return n_bytes


def run(*arguments: str, environment: dict[str, str]) -> tuple[float, float, float, dict]:
    """Run castle; return wall seconds, CPU seconds, peak memory (MB) and its JSON."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([CASTLE, *arguments, "--json"], stdout=output, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"castle {' '.join(arguments)} failed")
        output.seek(0)
        seconds = time.monotonic() - started
        return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, json.load(output)


def label_everything(url: str, ls_project: int) -> None:
    """Make an annotation of every pre-label, as if people had accepted them all."""
    from castle_core.label_studio import LabelStudio

    with LabelStudio(url, starting.TOKEN) as server:
        parameters = {"id": "predictions_to_annotations", "project": ls_project}
        chosen = {"selectedItems": {"all": True, "excluded": []}, "ordering": []}
        server.request("POST", "/api/dm/actions", params=parameters, json=chosen)


def measure(folder: Path, server: str, process: psutil.Process, n_frames: int) -> None:
    environment = {
        **os.environ,
        "CASTLE_HOME": str(folder / "home"),
        "CASTLE_STATE": str(folder / "state"),
        "LABEL_STUDIO_TOKEN": starting.TOKEN,
    }
    n_bytes = make_project(folder / "home" / f"p{n_frames}", n_frames)
    where = ["--project", f"p{n_frames}", "--url", server]
    steps = [("push with pre-labels", ["labels", "push", *where, "--predictions", "m1"])]
    steps += [
        ("push again", steps[0][1]),
        ("pull", ["labels", "pull", *where]),
        ("pull again", ["labels", "pull", *where]),
    ]
    said: dict = {}
    for name, arguments in steps:
        if name == "pull":
            label_everything(server, said["ls_project"])
        before = sum(process.cpu_times()[:2])
        seconds, cpu, memory, said = run(*arguments, environment=environment)
        served = sum(process.cpu_times()[:2]) - before
        what = f"{said['created']} new, {said['skipped']} skipped" if "push" in name else f"{said['created']} new"
        size = f"{n_bytes / 2**20:.0f} MiB" if name.startswith("push with") else ""
        goal = GOALS.get((n_frames, name))
        met = "" if goal is None else f"{goal:.0f} s: {'met' if seconds < goal else '**missed**'}"
        print(
            f"| {n_frames} | {name} | {what} | {size} | {seconds:.1f} s | {cpu:.1f} s | {served:.1f} s | {met} | "
            f"{memory:.0f} MB |",
            flush=True,
        )


def main() -> None:
    cache = Path(
        os.environ.get("CASTLE_TEST_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "castle-studio"
    )
    program = cache / f"label-studio-{VERSION}" / "bin" / "label-studio"
    data = cache / f"label-studio-{VERSION}-data"
    if not program.exists() or not data.exists():
        print("# Label Studio: not installed here (scripts/install_label_studio.sh)")
        return
    sizes = [int(n) for n in os.environ.get("CASTLE_BENCH_LABEL_STUDIO", "125 500").split()]
    print(f"# Label Studio {VERSION}, {datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores\n")
    print(
        f"{WIDTH}x{HEIGHT}, {len(NAMES)} keypoints, SQLite, over the loopback; time and memory of the whole command\n"
    )
    print(
        "| frames | step | result | pictures | time | CPU of castle | CPU of Label Studio | goal | "
        "peak memory of castle |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(data, folder / "data")
        port = starting.free_port()
        process = starting.start(str(program), folder / "data", port, folder / "log")
        try:
            starting.wait(process, port, 120)
            for n_frames in sizes:
                measure(folder, f"http://127.0.0.1:{port}", psutil.Process(process.pid), n_frames)
        finally:
            starting.stop(process)


if __name__ == "__main__":
    main()
