"""Changing a video's folder in ``labeled-data`` as one step, although it holds many files.

A change is first prepared in a hidden folder beside it: new images, the new selected_frames.csv and selection.json, all
flushed to disk. Then, under the folder's lock, a plan is renamed into place; from there on the change happens, and what
is left to do is renaming and deleting. A process that dies before that leaves nothing but the hidden folder; one that
dies after it leaves a plan, which the next writer of that folder carries out first. At every moment the images that
selected_frames.csv lists are there, and selection.json tells about each pick of ours that it lists.
"""

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from castle_core.errors import ProjectError
from castle_core.files import atomic_write_json, current_umask, fsync_folder, locked, make_folder, write_error
from castle_core.frames.names import SELECTED, selected_text
from castle_core.frames.record import RECORD, SelectionRecord
from castle_core.progress import Task
from castle_core.projects.documents import read_document

if TYPE_CHECKING:
    from castle_core.projects import Project

_PLAN = "plan.json"
_PREPARED_PLAN = "plan.prepared"
_ALIVE = "alive.lock"


@contextlib.contextmanager
def frames_lock(project: "Project", stem: str) -> Iterator[None]:
    """Hold the lock of one video's folder in ``labeled-data``; work that a dead process left is finished first.

    Raises
    ------
    LockHeldError
        If another process holds it for more than ten seconds.
    """
    with locked(make_folder(project.cache_dir / "frames") / stem):
        _recover(project, stem)
        yield


@dataclass(frozen=True)
class Change:
    """What a prepared change does to a folder.

    Attributes
    ----------
    new : tuple of str
        Images in the staging folder that get their final name.
    delete : tuple of str
        Images to delete; those that have labels by then stay.
    selected : dict of int to str
        The frames of selected_frames.csv afterwards; the file goes away when none are left.
    record : SelectionRecord
        selection.json afterwards; the file goes away when it tells nothing any more.
    round_id : str
        The round that this belongs to.
    others : tuple of str
        Lines of selected_frames.csv that are no frames of ours and stay.
    """

    new: tuple[str, ...]
    delete: tuple[str, ...]
    selected: dict[int, str]
    record: SelectionRecord
    round_id: str = ""
    others: tuple[str, ...] = ()


class Staging:
    """The hidden folder in which one process prepares one change (see `staging`)."""

    def __init__(self, project: "Project", stem: str, path: Path) -> None:
        self._project, self._stem, self._path = project, stem, path
        self._planned = False

    def add(self, name: str, data: bytes) -> None:
        """Write one image, flushed to disk.

        Raises
        ------
        ProjectError
            If the disk is full or gone.
        """
        path = self._path / name
        try:
            with path.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise write_error(self._project.frames_folder(self._stem) / name, error) from error

    def commit(self, change: Change, task: Task) -> None:
        """Carry out the change; the caller holds `frames_lock`.

        Raises
        ------
        ProjectError
            If the disk is full or gone. The change is then either not begun, or finished by the next writer.
        LeaseLostError
            If `task` may not write any more; nothing has been changed then.
        """
        folder = self._project.frames_folder(self._stem)
        try:
            if listed := selected_text(change.selected, change.others):
                _write_flushed(self._path / SELECTED, listed.encode("utf-8"))
            if change.record.rounds or change.record.written or change.record.extra:
                atomic_write_json(self._path / RECORD, change.record.to_json())
            plan = {
                "new": list(change.new),
                "delete": list(change.delete),
                "has_selected": bool(listed),
                "has_record": (self._path / RECORD).exists(),
                "round": change.round_id,
            }
            atomic_write_json(self._path / _PREPARED_PLAN, plan)
            fsync_folder(self._path)
            task.publish(self._path / _PREPARED_PLAN, self._path / _PLAN)
        except OSError as error:
            raise write_error(folder / SELECTED, error) from error
        self._planned = True
        _carry_out(self._project, self._stem, self._path)

    @property
    def planned(self) -> bool:
        """Whether the change has begun: then the folder is only removed once it is finished."""
        return self._planned


@contextlib.contextmanager
def staging(project: "Project", stem: str) -> Iterator[Staging]:
    """Make the hidden folder for one change and remove it afterwards, whatever happens."""
    root = _staging_root(project, stem)
    make_folder(root)
    path = root / f"{_staging_prefix(stem)}{secrets.token_hex(6)}"
    with locked(make_folder(project.cache_dir / "frames") / stem):
        try:
            path.mkdir()
            alive = filelock.FileLock(path / _ALIVE, timeout=0, mode=0o666 & ~current_umask())
            alive.acquire()
        except OSError as error:
            raise write_error(path, error) from error
    change = Staging(project, stem, path)
    try:
        yield change
    finally:
        alive.release()
        if not (change.planned and (path / _PLAN).exists()):
            shutil.rmtree(path, ignore_errors=True)


def _staging_root(project: "Project", stem: str) -> Path:
    """Beside the folder, or inside it where it is a link: the same file system, so that renaming is one step."""
    folder = project.frames_folder(stem)
    return folder.resolve() if folder.is_symlink() else folder.parent


def _staging_prefix(stem: str) -> str:
    return f".castle-{hashlib.sha256(os.fsencode(stem)).hexdigest()[:12]}-"


def _recover(project: "Project", stem: str) -> None:
    """Finish planned changes of processes that died, and remove what they had only prepared."""
    try:
        paths = sorted(_staging_root(project, stem).glob(f"{_staging_prefix(stem)}*"))
    except OSError:
        return
    for path in paths:
        if (path / _PLAN).exists():
            _carry_out(project, stem, path)
            shutil.rmtree(path, ignore_errors=True)
            continue
        alive = filelock.FileLock(path / _ALIVE, timeout=0, mode=0o666 & ~current_umask())
        with contextlib.suppress(filelock.Timeout, OSError):
            alive.acquire()
            alive.release()
            shutil.rmtree(path, ignore_errors=True)


def pending(project: "Project", stem: str) -> tuple[str, ...]:
    """Return the rounds whose begun changes a dead process has left in a video's folder."""
    try:
        plans = sorted(_staging_root(project, stem).glob(f"{_staging_prefix(stem)}*/{_PLAN}"))
        return tuple(str(read_document(plan).get("round", "")) for plan in plans)
    except OSError:
        return ()


def _carry_out(project: "Project", stem: str, path: Path) -> None:
    """Do what the plan in `path` says; doing it twice, or after half of it was done, comes to the same."""
    plan = read_document(path / _PLAN)
    new, delete = _names(plan, "new"), _names(plan, "delete")
    folder = project.frames_folder(stem)
    labelled = {row.name for row in project.label_rows(stem)} if delete else set()
    try:
        if new or plan.get("has_selected"):
            _make_frames_folder(folder)
        for name in new:
            if (path / name).exists():
                _move_if_free(path / name, folder / name)
        # What the list names must be there and be told about, so the list comes last when it grows
        # and first when it shrinks.
        steps = [(RECORD, "has_record"), (SELECTED, "has_selected")]
        for name, flag in reversed(steps) if delete else steps:
            if (path / name).exists():
                os.replace(path / name, folder / name)
            elif not plan.get(flag):
                (folder / name).unlink(missing_ok=True)
        for name in delete:
            if name not in labelled:
                (folder / name).unlink(missing_ok=True)
        if folder.is_dir():
            fsync_folder(folder)
            if not plan.get("has_selected") and not folder.is_symlink():
                with contextlib.suppress(OSError):  # not empty
                    folder.rmdir()
        (path / _PLAN).unlink()
    except OSError as error:
        problem = write_error(folder, error)
        raise ProjectError(
            f"{problem} The frames are half in place: run it again and they will be completed."
        ) from error


def _make_frames_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    folder.parent.mkdir(exist_ok=True)
    folder.mkdir(exist_ok=True)
    fsync_folder(folder.parent)


def _move_if_free(source: Path, target: Path) -> None:
    """Rename without ever replacing a file that is there."""
    if os.path.lexists(target):
        source.unlink()
        return
    os.chmod(source, 0o666 & ~current_umask())
    os.replace(source, target)


def _names(plan: dict[str, Any], key: str) -> list[str]:
    names = plan.get(key)
    return [name for name in names if isinstance(name, str) and "/" not in name] if isinstance(names, list) else []


def _write_flushed(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
