"""HDF5 files with many data sets, opened so that they take little memory."""

from pathlib import Path
from typing import Any

_CACHE = 2 << 20  # by default HDF5 keeps up to 32 MB of names and places, for each file


def open_hdf5(path: Path) -> Any:
    """Open a file (`h5py.File`) for reading, without a lock: others may be reading it, or the drive may know none.

    Raises
    ------
    OSError
        If it is missing or no HDF5.
    """
    import h5py

    file = h5py.File(path, "r", locking=False)
    keep_little(file)
    return file


def keep_little(file: Any) -> None:
    """Have HDF5 keep at most 2 MB of names and places of an open file."""
    cache = file.id.get_mdc_config()
    cache.set_initial_size, cache.initial_size = True, _CACHE // 2
    cache.min_size, cache.max_size = _CACHE // 4, _CACHE
    file.id.set_mdc_config(cache)
