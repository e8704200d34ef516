"""Unfinished files and folders that a killed process has left behind."""

import shutil
import time
from pathlib import Path

# Nobody writes for so long without touching the file: whoever began it is gone.
_OLD_S = 3600.0


def clear_leftovers(folder: Path, *, older_than_s: float = _OLD_S) -> int:
    """Remove unfinished files and folders (``.….part``) in `folder` that nobody has touched for an hour.

    Returns
    -------
    int
        How many were removed.
    """
    removed = 0
    limit = time.time() - older_than_s
    for path in folder.glob(".*.part"):
        try:
            inside = path.iterdir() if path.is_dir() else ()
            if max([path.stat().st_mtime, *(p.stat().st_mtime for p in inside)]) > limit:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        except OSError:  # another process was quicker
            continue
        removed += 1
    return removed
