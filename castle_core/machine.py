"""What this machine has left: processors, memory, disk and GPUs."""

import shutil
import subprocess
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
    """Load and room: percent of all processors, and bytes of memory and of the disk that holds the projects."""

    n_cpus: int
    cpu_percent: float
    memory_free: int
    memory_total: int
    disk_free: int
    disk_total: int
    gpus: tuple[Gpu, ...] = ()


def look_at_machine(folder: Path) -> Machine:
    """Measure the machine; the disk is the one that `folder` (or its nearest existing parent) lies on."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    memory, disk = psutil.virtual_memory(), shutil.disk_usage(folder)
    return Machine(
        n_cpus=psutil.cpu_count() or 1,
        cpu_percent=psutil.cpu_percent(interval=None),
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


def clock(seconds: float, *, digits: int = 1) -> str:
    """Write a time in a video as ``hh:mm:ss.d``, cut (not rounded) to `digits`: it never names a later frame."""
    ticks = int(max(0.0, seconds) * 10**digits + 1e-6)
    whole, part = divmod(ticks, 10**digits)
    text = f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{text}.{part:0{digits}d}" if digits else text
