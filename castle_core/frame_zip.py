"""The written frames of a video as one zip, in the form that the import takes, made while it is sent."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from castle_core.errors import ProjectError
from castle_core.frames import images_by_index
from castle_core.frames.names import SELECTED

_BLOCK = 1 << 20


def frame_files(folder: Path) -> list[Path]:
    """Return the files of a video's folder that belong into its zip: images by frame index, then the list.

    Raises
    ------
    ProjectError
        If there are none.
    """
    files = [folder / name for name in images_by_index(folder).values()]
    if not files:
        raise ProjectError(f"There are no frames in {folder}. Write some first.")
    selected = folder / SELECTED
    return [*files, selected] if selected.is_file() else files


def stream_zip(files: list[Path]) -> Iterator[bytes]:
    """Pack `files` flat into a zip and give it in pieces, with a few megabytes of memory at any time.

    The images are stored as they are: PNG cannot be made smaller.
    """
    pipe = _Pipe()
    # A file that can only be written to: zipfile then leaves sizes and checksums for after each member.
    with zipfile.ZipFile(cast("IO[bytes]", pipe), "w", zipfile.ZIP_STORED) as archive:
        for path in files:
            info = zipfile.ZipInfo.from_file(path, path.name, strict_timestamps=False)
            with open(path, "rb") as source, archive.open(info, "w", force_zip64=False) as target:
                while block := source.read(_BLOCK):
                    target.write(block)
                    yield from pipe.taken()
        yield from pipe.taken()
    yield from pipe.taken()


class _Pipe:
    """A file to write to that keeps nothing: what was written is taken out at once."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def write(self, data: Any, /) -> int:
        block = bytes(data)
        self._blocks.append(block)
        return len(block)

    def flush(self) -> None:
        pass

    def taken(self) -> Iterator[bytes]:
        blocks, self._blocks = self._blocks, []
        yield from blocks
