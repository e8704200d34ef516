"""Writing files so that a half-written one never has its final name, and names that are safe to write."""

import contextlib
import getpass
import hashlib
import json
import os
import re
import socket
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import filelock

from castle_core.errors import LockHeldError, NameRefusedError, ProjectError

LOCK_SECONDS = 10.0
_FORBIDDEN = re.compile(r"[/\\\x00-\x1f\x7f]")


def safe_name(name: str) -> str:
    """Check one file or folder name and bring it to NFC.

    Parameters
    ----------
    name : str
        A single path component as a user gave it. Spaces, dots, quotes and non-ASCII letters are fine.

    Returns
    -------
    str
        The name in Unicode NFC.

    Raises
    ------
    NameRefusedError
        If the name is empty, ``.`` or ``..``, holds a slash, backslash or control character, is not valid Unicode,
        or needs more than 255 bytes in UTF-8.
    """
    normalised = unicodedata.normalize("NFC", name)
    if normalised.strip() in {"", ".", ".."}:
        raise NameRefusedError(f"{name!r} is not a file name. Please choose another name.")
    if _FORBIDDEN.search(normalised):
        raise NameRefusedError(f"The name {name!r} holds a slash or a control character. Please choose another name.")
    try:
        n_bytes = len(normalised.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise NameRefusedError(f"The name {name!r} is not valid Unicode. Please choose another name.") from error
    if n_bytes > 255:
        raise NameRefusedError(
            f"The name {name[:40]!r}… is {n_bytes} bytes long; file systems take 255. Please shorten it."
        )
    return normalised


def nfc(text: str) -> str:
    """Bring `text` to Unicode NFC, in which names are compared and written."""
    return unicodedata.normalize("NFC", text)


def fsync_folder(folder: Path) -> None:
    """Flush a folder's list of names to disk, so that a rename in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:  # some network file systems refuse to sync a folder; the file itself is safe
        pass
    finally:
        os.close(descriptor)


def current_umask() -> int:
    """Read the process's umask without changing it (Linux), else the usual 0o022."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("Umask:"):
                    return int(line.split()[1], 8)
    except OSError:
        pass
    return 0o022


@contextlib.contextmanager
def atomic_path(
    path: Path, *, mode: int | None = None, publish: Callable[[Path, Path], None] = os.replace
) -> Iterator[Path]:
    """Give a temporary path in the folder of `path`; rename it onto `path` when the block ends well.

    The temporary file is flushed to disk before it gets its final name, so neither a crash nor a full disk leaves
    a half-written file there. If the block raises, the temporary file is removed and `path` stays as it was.

    Parameters
    ----------
    path : Path
        The final path. Its folder must exist.
    mode : int, optional
        Permission bits of the result; by default 0o666 less the umask.
    publish : callable
        Gives the finished file its final name; a job passes its `Task.publish`, which insists on the lease.

    Raises
    ------
    ProjectError
        If the disk is full, or the folder is read-only or gone. The message names the file.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:30]}.", suffix=".part", dir=path.parent)
        os.close(descriptor)
    except OSError as error:
        raise write_error(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, (0o666 & ~current_umask()) if mode is None else mode)
        publish(temporary, path)
        fsync_folder(path.parent)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_error(path: Path, error: OSError) -> ProjectError:
    """Say in a biologist's words why `path` could not be written."""
    reasons = {
        28: "the disk is full. Free some space and try again",
        122: "your disk quota is used up. Free some space and try again",
        30: "the disk is read-only. Open the project from a place where you may write",
        13: "you may not write there. Ask for write permission on the folder",
        1: "you may not write there. Ask for write permission on the folder",
        2: "its folder is gone. Was the project moved or the drive unplugged?",
        36: "its name is too long. Please shorten it",
    }
    reason = reasons.get(error.errno or 0, f"{error.strerror or error}. Check the disk and try again")
    return ProjectError(f"Cannot write {path}: {reason}.")


def atomic_write_bytes(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Write `data` to `path` in one step (see `atomic_path`)."""
    with atomic_path(path, mode=mode) as temporary:
        temporary.write_bytes(data)


def atomic_write_text(path: Path, text: str, *, mode: int | None = None) -> None:
    """Write `text` as UTF-8 to `path` in one step (see `atomic_path`)."""
    atomic_write_bytes(path, text.encode("utf-8"), mode=mode)


def atomic_write_json(path: Path, value: Any, *, mode: int | None = None) -> None:
    """Write `value` as indented UTF-8 JSON to `path` in one step; NaN is refused, since JSON has none."""
    text = json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False)
    atomic_write_text(path, text + "\n", mode=mode)


def make_folder(path: Path) -> Path:
    """Make a folder with its parents; the setgid bit and the umask decide about group and rights."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(path, error) from error
    return path


@contextlib.contextmanager
def locked(path: Path, *, timeout_s: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold the lock of `path` (a file ``.<name>.lock`` beside it) for a read-merge-write.

    Parameters
    ----------
    path : Path
        The file that is about to be read, merged and written. It need not exist yet.
    timeout_s : float
        Seconds to wait for another holder.

    Raises
    ------
    LockHeldError
        If somebody else still holds the lock after `timeout_s`; the message says who.
    """
    name = _lock_name(path.name)
    lock_path = path.with_name(f".{name}.lock")
    holder_path = path.with_name(f".{name}.lock-holder")
    lock = filelock.FileLock(lock_path, timeout=timeout_s, mode=0o666 & ~current_umask())
    try:
        lock.acquire()
    except filelock.Timeout as error:
        holder = "another process"
        with contextlib.suppress(OSError):
            holder = holder_path.read_text(encoding="utf-8") or holder
        raise LockHeldError(
            f"{path.name} is being written by {holder}. Wait for it to finish and try again."
        ) from error
    except OSError as error:
        raise write_error(path, error) from error
    try:
        with contextlib.suppress(OSError):
            holder_path.write_text(
                f"{_user_name()} on {socket.gethostname()} (process {os.getpid()})", encoding="utf-8"
            )
        yield
    finally:
        with contextlib.suppress(OSError):
            holder_path.unlink(missing_ok=True)
        lock.release()


def is_locked(path: Path) -> bool:
    """Say whether somebody holds the lock of `path` (see `locked`) at this moment."""
    lock_path = path.with_name(f".{_lock_name(path.name)}.lock")
    if not lock_path.exists():
        return False
    lock = filelock.FileLock(lock_path, timeout=0, mode=0o666 & ~current_umask())
    try:
        lock.acquire()
    except (filelock.Timeout, OSError):
        return True
    lock.release()
    return False


def _lock_name(name: str) -> str:
    """Shorten a long name, so that its lock's name still fits into the 255 bytes that file systems take."""
    data = os.fsencode(name)
    if len(data) <= 200:
        return name
    return data[:150].decode("utf-8", errors="ignore") + "-" + hashlib.sha256(data).hexdigest()[:16]


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"
