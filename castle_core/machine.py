"""What this machine has left: processors, memory, disk and GPUs."""

import math
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU: its name, load in percent, and memory in bytes."""

    name: str
    load_percent: float
    memory_used: int
    memory_total: int


@dataclass(frozen=True)
class Machine:
    """Load and room: percent of all processors, and bytes of memory and of the disk that holds the projects.

    The load is that since the machine was last looked at from this process, a minute at most.
    """

    n_cpus: int
    cpu_percent: float
    memory_free: int
    memory_total: int
    disk_free: int
    disk_total: int
    gpus: tuple[Gpu, ...] = ()


class CpuMeter:
    """The load of all processors between two looks of this process.

    `psutil.cpu_percent` remembers its last call for each thread, and a page runs in a new thread each time: it would
    always answer 0.
    """

    SHORTEST_S, LONGEST_S = 0.1, 60.0

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = self._look()

    @staticmethod
    def _look() -> tuple[float, float, float]:
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # Linux counts them as user too
        return time.monotonic(), sum(times) - guests, idle

    def percent(self) -> float:
        """Return the load in percent since the last call; measured for a moment where that is none or long ago."""
        with self._lock:
            now = self._look()
            if now[0] - self._last[0] > self.LONGEST_S:
                self._last = now
            if now[0] - self._last[0] < self.SHORTEST_S:
                time.sleep(self.SHORTEST_S)
                now = self._look()
            total, idle = now[1] - self._last[1], now[2] - self._last[2]
            self._last = now
        return 100.0 * min(1.0, max(0.0, 1.0 - idle / total)) if total > 0 else 0.0


_CPU = CpuMeter()


def look_at_machine(folder: Path) -> Machine:
    """Measure the machine; the disk is the one that `folder` (or its nearest existing parent) lies on."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    memory, disk = psutil.virtual_memory(), shutil.disk_usage(folder)
    return Machine(
        n_cpus=psutil.cpu_count() or 1,
        cpu_percent=_CPU.percent(),
        memory_free=memory.available,
        memory_total=memory.total,
        disk_free=disk.free,
        disk_total=disk.total,
        gpus=_gpus(),
    )


def _gpus() -> tuple[Gpu, ...]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = "--query-gpu=name,utilization.gpu,memory.used,memory.total"
    try:
        answer = subprocess.run(
            [program, query, "--format=csv,noheader,nounits"], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse_gpus(answer.stdout)


def parse_gpus(text: str) -> tuple[Gpu, ...]:
    """Read nvidia-smi's lines ``name, load in percent, MiB used, MiB in all``; what it cannot measure counts as 0."""
    gpus = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.rsplit(",", 3)]
        if len(parts) == 4:
            load, used, total = (float(part) if part.replace(".", "", 1).isdigit() else 0.0 for part in parts[1:])
            gpus.append(Gpu(parts[0], load, int(used) << 20, int(total) << 20))
    return tuple(gpus)


def readable_size(n_bytes: float) -> str:
    """Write a number of bytes for people: ``1.5 GB``, ``320 MB``."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}" if n_bytes < 10 * size else f"{n_bytes / size:.0f} {unit}"
    return f"{max(0, round(n_bytes / 1e3))} kB"


def readable_time(seconds: float) -> str:
    """Write a duration for people: ``45 s``, ``3 min``, ``2 h 05 min``."""
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def clock(seconds: float) -> str:
    """Write a time in a video as ``hh:mm:ss.mmm``, rounded to the millisecond, as the browser's parts do."""
    whole, ms = divmod(math.floor(max(0.0, seconds) * 1000 + 0.5), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{ms:03d}"
