"""Processes that end with their parent, and telling one process from a later one with the same number.

A child of ours asks the kernel to kill it when its parent dies, and watches the parent besides, since the first does
not reach everything: the kernel forgets the wish when a program changes its user, and looks at the parent's thread.
Leftovers that escape both are ended at the next start of the app, by number and birth.
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
RUN_VARIABLE = "CASTLE_JOBS_RUN"


def birth(pid: int) -> str | None:
    """Return what tells process `pid` from any other that had or will have its number; None if there is none.

    It is the time since the boot at which it started, with the boot's own id, so a changed clock does not alter it.
    A process that has ended and was not collected by its parent yet (a zombie) counts as gone.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the program's name before it may hold spaces and brackets
    if fields[0] in ("Z", "X"):
        return None
    return f"{boot}:{fields[19]}"


def end_with_parent(parent_pid: int, parent_birth: str) -> None:
    """Make this process end (SIGKILL) when the process that started it has ended, however that happens.

    Call it first thing in a child. If the parent is gone already, the process ends at once.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if birth(parent_pid) != parent_birth:
        os._exit(1)
    threading.Thread(
        target=_watch, args=(parent_pid, parent_birth), name="watch the parent process", daemon=True
    ).start()


def _watch(parent_pid: int, parent_birth: str) -> None:
    try:
        with contextlib.suppress(OSError):  # an old kernel: look every second instead
            descriptor = os.pidfd_open(parent_pid)
            if birth(parent_pid) == parent_birth:
                select.select([descriptor], [], [])
        while birth(parent_pid) == parent_birth:
            time.sleep(1.0)
    finally:
        with contextlib.suppress(OSError):
            os.killpg(0, signal.SIGKILL)  # with whatever the job has started; children of ours lead their own group
        os._exit(1)


def kill_group(pid: int) -> None:
    """End the process `pid`, which leads a process group, with its group. Ended ones are no error."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def wait_until(condition: Callable[[], bool], *, timeout_s: float, interval_s: float = 0.02) -> bool:
    """Return whether `condition` became true within `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval_s)
    return True


def end_leftovers(recorded: Iterable[tuple[int, str]], *, run_mark: str, timeout_s: float = 10.0) -> list[int]:
    """End the processes that a former app has started, and what those have started.

    Parameters
    ----------
    recorded : iterable of (pid, birth)
        The processes to end; a number that now belongs to another process is left alone.
    run_mark : str
        Value of the environment variable `RUN_VARIABLE` in everything that the app's children started: processes
        of this user that carry it are ended too.

    Returns
    -------
    list of int
        The processes that were still there.
    """
    found = {pid for pid, born in recorded if birth(pid) == born}
    found |= _marked(run_mark)
    found.discard(os.getpid())
    births = {pid: birth(pid) for pid in found}
    for pid in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: all(birth(pid) != born or born is None for pid, born in births.items()), timeout_s=timeout_s)
    return sorted(found)


def _marked(run_mark: str) -> set[int]:
    needle = f"{RUN_VARIABLE}={run_mark}".encode()
    result = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == os.getuid() and needle in (folder / "environ").read_bytes().split(b"\0"):
                result.add(int(folder.name))
    return result


def describe_exit(code: int) -> str:
    """Say in words how a process ended; `code` is its exit code, or minus the signal that killed it."""
    if code == -9:
        return "the process was killed, as the system does when memory is full"
    if code == -11:
        return "the process crashed with a segmentation fault"
    if code < 0:
        return f"the process was ended by signal {-code}"
    return f"the process ended with code {code}"
