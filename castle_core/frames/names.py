"""File names of frames, and the list of the selected ones."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from castle_core.errors import ProjectError
from castle_core.labelled import frame_index_of

SELECTED = "selected_frames.csv"
_IMAGE = re.compile(r"\.(png|jpe?g)$", re.IGNORECASE)


def frame_name(frame_index: int) -> str:
    """Return the file name of a new frame: Lightning Pose's eight digits."""
    return f"img{frame_index:08d}.png"


def images_by_index(folder: Path) -> dict[int, str]:
    """Return the images in a folder: frame index → file name, whatever their padding, sorted by index.

    Where two images carry one number, the usual name wins, then PNG, then the first name.
    """
    try:
        names = sorted(path.name for path in folder.iterdir() if _IMAGE.search(path.name))
    except OSError:
        return {}
    names = [name for name in names if not name.startswith(".")]
    found: dict[int, str] = {}
    for name in sorted(names, key=lambda name: (not name.lower().endswith(".png"), name)):
        index = frame_index_of(name)
        if index is not None and (index not in found or name == frame_name(index)):
            found[index] = name
    return dict(sorted(found.items()))


def read_selected(folder: Path) -> dict[int, str]:
    """Read selected_frames.csv: frame index → file name, sorted by index; no file means none.

    Names may be given with their path; a byte order mark, Windows line ends and blank lines do not matter.

    Raises
    ------
    ProjectError
        If the file cannot be read or is not UTF-8.
    """
    return read_list(folder)[0]


def read_list(folder: Path) -> tuple[dict[int, str], tuple[str, ...]]:
    """Read selected_frames.csv as `read_selected`, and give its other lines: a list that we rewrite keeps them.

    Those are names without a number, and second names of one frame.
    """
    path = folder / SELECTED
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return {}, ()
    except OSError as error:
        raise ProjectError(f"Cannot read {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ProjectError(f"{path} is not a text file in UTF-8. Restore it, or remove it.") from error
    selected: dict[int, str] = {}
    others: list[str] = []
    for line in text.splitlines():
        name = line.strip().strip('"').replace("\\", "/").rsplit("/", 1)[-1].strip()
        index = frame_index_of(name) if _IMAGE.search(name) else None
        if index is None:
            others += [line.strip()] if line.strip() else []
        elif selected.setdefault(index, name) != name:
            others.append(name)
    return dict(sorted(selected.items())), tuple(others)


def selected_text(selected: Mapping[int, str], others: Sequence[str] = ()) -> str:
    """Return the content of selected_frames.csv: one name a line, sorted by frame, no header; then `others`."""
    return "".join(f"{name}\n" for name in (*(name for _, name in sorted(selected.items())), *others))


def with_context(frame_index: int, context: int, n_frames: int | None = None) -> range:
    """Return a frame and its neighbours up to `context` frames away, clipped to the video."""
    stop = frame_index + context + 1
    return range(max(0, frame_index - context), stop if n_frames is None else min(stop, n_frames))
