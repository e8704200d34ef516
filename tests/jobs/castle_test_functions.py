"""Tiny job functions for the tests of the jobs; the workers find them by PYTHONPATH."""

import os
import subprocess
import sys
import time
from pathlib import Path

from castle_core.errors import ProjectError


def write_steps(task, *, project, owner, n=10, pause_s=0.05, hold=False):
    """Write n small files in steps; a later attempt keeps the ones that are there.

    With hold, the last one waits for the file "finish", so that a slow test still finds the job at work.
    """
    folder = Path(project)
    for i in range(n):
        task.progress(i, n, f"file {i}")
        final = folder / f"{i:03}.txt"
        if final.exists():
            continue
        temporary = folder / f".{i:03}.part"
        temporary.write_text(f"file {i} of {n}\n" * 50)
        time.sleep(pause_s)
        while hold and i == n - 1 and not (folder / "finish").exists():
            task.progress(i, n, "holding")
            time.sleep(0.02)
        task.publish(temporary, final)
    task.log(f"wrote {n} files")
    task.progress(n, n)
    return {"n": n}


def wait_for_file(task, *, project, owner, name="go", beat=True):
    """Wait until the file is there, with or without telling progress (only that hears of a cancel)."""
    (Path(project) / f"started-{task.job}").touch()
    while not (Path(project) / name).exists():
        if beat:
            task.progress(0, 1)
        time.sleep(0.02)
    return {}


def publish_after_file(task, *, project, owner):
    """Ignore everything until the file "go" is there, then publish."""
    temporary = Path(project) / ".late.part"
    temporary.write_text("late")
    wait_for_file(task, project=project, owner=owner, beat=False)
    task.publish(temporary, Path(project) / "late.txt")
    return {}


def refuse(task, *, project, owner):
    raise ProjectError("mouse.mp4 is not a video. Choose another file.")


def stumble(task, *, project, owner):
    raise ZeroDivisionError("frames over zero")


def leave(task, *, project, owner):
    sys.exit(3)


def die(task, *, project, owner):
    task.log("dying")
    os._exit(7)


def answer_badly(task, *, project, owner):
    return {"value": float("nan")}


def have_child(task, *, project, owner):
    """Start a program that would live for an hour, then wait."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    (Path(project) / "child").write_text(str(child.pid))
    return wait_for_file(task, project=project, owner=owner)


def talk(task, *, project, owner, n=10):
    for i in range(n):
        task.log(f"line {i}")
    return {"environment": {name: os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")}}
