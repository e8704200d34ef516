"""Run a script or module, and write its own peak memory: ``python -m benchmarks.own_peak FILE PROGRAM ARGUMENTS``.

What the operating system tells the parent (``ru_maxrss``) begins with the memory of the process that started this one.
"""

import atexit
import runpy
import sys
from pathlib import Path


def peak_mb() -> float:
    """Return the most memory (MB) that this process has held since it began to run its own program."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024


def main(file: Path, program: str, arguments: list[str]) -> None:
    atexit.register(lambda: file.write_text(f"{peak_mb():.1f}"))
    sys.argv = [program, *arguments]
    if Path(program).is_file():
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
