"""What an export consists of, and how it becomes a folder or a zip in one step."""

import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from castle_core.errors import LabelError, ProjectError
from castle_core.files import atomic_path, current_umask, make_folder, write_error
from castle_core.progress import QUIET, Task


@dataclass
class Contents:
    """The files of an export.

    Attributes
    ----------
    files : dict
        Path inside the export, with slashes → a file to copy, the bytes themselves, or a function that makes them.
    notes : list of str
        What the user should know about this export, a line each.
    """

    files: dict[str, Path | bytes | Callable[[], bytes]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, source: Path | bytes | Callable[[], bytes]) -> None:
        """Add one file; a second one of the same name is refused."""
        if name in self.files:
            raise LabelError(f"Two files of the export have the name {name}. Rename one of the images.")
        self.files[name] = source


def write_contents(out: Path, contents: Contents, *, task: Task = QUIET) -> None:
    """Write an export to `out`: a zip where the name ends with ``.zip``, else a folder. In one step, or not at all.

    Raises
    ------
    ProjectError
        If there is something at `out` already, the disk is full, or it may not be written.
    LabelError
        If one of the files cannot be read.
    """
    require_free(out)
    make_folder(out.parent)
    total = len(contents.files)
    if out.suffix.lower() == ".zip":
        with atomic_path(out, publish=task.publish) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for done, (name, source) in enumerate(contents.files.items()):
                _into_zip(archive, name, source)
                task.progress(done + 1, total)
            archive.close()  # before it gets its name
        return
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{out.name[:60]}.", suffix=".part", dir=out.parent))
    except OSError as error:
        raise write_error(out, error) from error
    try:
        for done, (name, source) in enumerate(contents.files.items()):
            target = work / name
            make_folder(target.parent)
            if isinstance(source, Path):
                _copy(source, target)
            else:
                target.write_bytes(source if isinstance(source, bytes) else source())
            task.progress(done + 1, total)
        work.chmod(0o777 & ~current_umask())
        if out.is_dir():
            out.rmdir()
        work.rename(out)
    except OSError as error:
        raise write_error(out, error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def require_free(out: Path) -> None:
    """Raise `ProjectError` if there is already a file, or a folder with something in it, at `out`."""
    if out.is_dir() and out.suffix.lower() != ".zip" and not any(out.iterdir()):
        return
    if os.path.lexists(out):
        raise ProjectError(f"{out} exists already. Choose another name for the export, or remove it.")


def _copy(source: Path, target: Path) -> None:
    try:
        with source.open("rb") as file, target.open("wb") as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
    except FileNotFoundError as error:
        raise LabelError(f"{source} is gone. Restore the image, or remove its row from the label file.") from error


def _into_zip(archive: zipfile.ZipFile, name: str, source: Path | bytes | Callable[[], bytes]) -> None:
    if not isinstance(source, Path):
        packed = zipfile.ZIP_STORED if name.lower().endswith((".png", ".jpg")) else zipfile.ZIP_DEFLATED
        archive.writestr(name, source if isinstance(source, bytes) else source(), packed)
        return
    try:
        info = zipfile.ZipInfo.from_file(source, name, strict_timestamps=False)
        with source.open("rb") as file, archive.open(info, "w") as target:
            shutil.copyfileobj(file, target, 1 << 20)
    except FileNotFoundError as error:
        raise LabelError(f"{source} is gone. Restore the image, or remove its row from the label file.") from error
