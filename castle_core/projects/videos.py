"""The videos of a project: files in ``videos/`` and, for CASTLE projects, ``sources/``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from castle_core.files import nfc

VIDEO_SUFFIXES = frozenset(
    f".{ending}"
    for ending in (
        *("mp4", "m4v", "mov", "avi", "mkv", "webm", "mpg", "mpeg", "vob", "ts", "mts", "m2ts", "wmv", "asf", "flv"),
        *("ogv", "3gp", "mjpeg", "mjpg", "h264", "264", "h265", "265", "hevc", "mxf", "dv", "y4m"),
    )
)
"""File name endings (lower case) that are taken for videos."""

VIDEO_FOLDERS = ("videos", "sources")
_APPLE_DOUBLE = b"\x00\x05\x16\x07"


@dataclass(frozen=True)
class VideoEntry:
    """One video of a project.

    Attributes
    ----------
    stem : str
        File name without its ending, in NFC: what labels and latents are named by. Unique in the project.
    path : Path
        The file or link in ``videos/`` or ``sources/``.
    true_fps : float or None
        The frame rate that the user has set (frames a second), which overrides the container's.
    """

    stem: str
    path: Path
    true_fps: float | None = None

    @property
    def name(self) -> str:
        """The file name, in NFC."""
        return nfc(self.path.name)

    @property
    def is_link(self) -> bool:
        """Whether the file lies elsewhere and is only linked here."""
        return self.path.is_symlink()

    @property
    def missing(self) -> bool:
        """Whether the file that a link points to is gone."""
        return not self.path.exists()


def is_video_name(name: str) -> bool:
    """Say whether a file of this name is taken for a video, by its ending."""
    return Path(name).suffix.lower() in VIDEO_SUFFIXES


def stem_key(stem: str) -> str:
    """Return what two stems must differ in to stay apart on every file system: letter case does not count."""
    return nfc(nfc(stem).casefold())


def list_videos(project: Path, true_fps: Mapping[str, float]) -> tuple[list[VideoEntry], list[Path]]:
    """List a project's videos, one a stem.

    Parameters
    ----------
    project : Path
        The project's folder.
    true_fps : mapping of str to float
        Frame rates that the user has set, by stem.

    Returns
    -------
    entries : list of VideoEntry
        Sorted by stem. ``videos/`` comes before ``sources/`` where both hold a stem.
    clashes : list of Path
        Other files that share a stem with an entry and are another video; they are not in `entries`.
    """
    entries: dict[str, VideoEntry] = {}
    clashes: list[Path] = []
    for folder in VIDEO_FOLDERS:
        for path in _video_files(project / folder):
            stem = nfc(path.stem)
            first = entries.get(stem_key(stem))
            if first is None:
                entries[stem_key(stem)] = VideoEntry(stem, path, true_fps.get(stem))
            elif not _same_file(first.path, path):
                clashes.append(path)
    return sorted(entries.values(), key=lambda entry: (stem_key(entry.stem), entry.stem)), clashes


def files_of(project: Path, entry: VideoEntry) -> list[Path]:
    """Return all files and links of a project that are this one video: itself, and its link in ``sources/``."""
    found = [entry.path]
    for folder in VIDEO_FOLDERS:
        for path in _video_files(project / folder):
            if path == entry.path or stem_key(path.stem) != stem_key(entry.stem):
                continue
            if _same_file(entry.path, path) or (entry.missing and path.is_symlink() and not path.exists()):
                found.append(path)
    return found


def _video_files(folder: Path) -> list[Path]:
    try:
        paths = [path for path in folder.iterdir() if is_video_name(path.name)]
    except OSError:
        return []
    paths = [path for path in paths if (path.is_file() or path.is_symlink()) and not path.is_dir()]
    return sorted((path for path in paths if not _is_apple_double(path)), key=lambda path: (nfc(path.name), path.name))


def _is_apple_double(path: Path) -> bool:
    """Find the file ``._name`` that macOS leaves beside each file on foreign disks: no video."""
    if not path.name.startswith("._"):
        return False
    try:
        with path.open("rb") as file:
            return file.read(4) == _APPLE_DOUBLE
    except OSError:
        return False


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
