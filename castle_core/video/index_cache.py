"""Keep indexes between runs. A cache is used only if it was made from this very file by this very reader."""

import contextlib
import hashlib
from pathlib import Path

import av  # noqa: TID251
import numpy as np

from castle_core.errors import CastleError
from castle_core.files import atomic_path, make_folder
from castle_core.video.fingerprint import fingerprint
from castle_core.video.index import VideoIndex
from castle_core.video.scan import scan

# Raise it whenever `scan` may answer differently.
_VERSION = 2


def load_or_scan(path: Path, cache_dir: Path | None) -> VideoIndex:
    """Return the index of `path`, from `cache_dir` if it holds one made from the same content.

    Two processes may do this at once: each writes a whole file and renames it, and both files say the same. A cache
    that cannot be read or written is made again or done without; it never makes a video unreadable.

    Raises
    ------
    VideoError
        If the file is not a video.
    """
    if cache_dir is None or not path.is_file() or path.stat().st_size == 0:
        return scan(path)
    key = cache_key(path)
    cached = cache_dir / "index" / f"{key[:32]}.npz"
    with contextlib.suppress(OSError, ValueError, KeyError, EOFError, *_zip_errors()), open(cached, "rb") as file:
        arrays = np.load(file)
        if str(arrays["cache_key"]) == key:
            return VideoIndex.from_arrays(arrays)
    index = scan(path)
    if cache_key(path) == key:  # it did not change meanwhile
        with contextlib.suppress(CastleError, OSError):
            make_folder(cached.parent)
            with atomic_path(cached) as temporary, open(temporary, "wb") as file:
                np.savez(file, cache_key=key, **index.to_arrays())
    return index


def cache_key(path: Path) -> str:
    """Name the content of a video and the reader that reads it: 64 hexadecimal digits."""
    changed = path.stat().st_mtime_ns
    reader = f"{_VERSION} {av.__version__} {av.library_versions['libavcodec']} {av.library_versions['libavformat']}"
    return hashlib.sha256(f"{fingerprint(path)} {changed} {reader}".encode()).hexdigest()


def _zip_errors() -> tuple[type[Exception], ...]:
    import zipfile
    import zlib

    return zipfile.BadZipFile, zlib.error
