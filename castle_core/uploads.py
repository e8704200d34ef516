"""Uploaded files on their way into a project: parts on disk, what is known about each, and when one is given up.

Each upload has two files in ``<project>/.castle/uploads``: the bytes that came so far (``<id>.part``, later
``<id>.<ending>``, or ``<id>.data.json``) and ``<id>.json``. The number of bytes on disk is the truth about how far an
upload is, so a killed app loses nothing. The folder lies in the project's file system, so moving the finished file
into ``videos/`` is a rename.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from castle_core.errors import CastleError, ProjectError
from castle_core.files import atomic_write_json, locked, make_folder, safe_name, write_error
from castle_core.projects import VIDEO_SUFFIXES, Project
from castle_core.state import castle_state

OTHER_ENDINGS = (".zip", ".csv", ".h5", ".slp", ".json", ".yaml", ".yml")
ABANDONED_S = 7 * 24 * 3600.0
# What must stay free on the disk besides the file itself: indexes, thumbnails and frames have to go somewhere.
SPARE_BYTES = 256 << 20
# How much a look at an upload adds to its idle time at most, so that a clock that jumps deletes nothing.
_MAX_STEP_S = 24 * 3600.0
_READ_BYTES = 4 << 20
_ID = re.compile(r"[0-9a-f]{32}")
_PURPOSE = re.compile(r"[a-z]{1,20}")
State = Literal["receiving", "received", "duplicate"]
_FINISHING = threading.Lock()


class UploadRefusedError(CastleError):
    """A file that is not taken.

    Attributes
    ----------
    reason : {"type", "size", "empty", "disk", "name"}
        What is wrong with it; the message says what to do.
    """

    def __init__(self, message: str, *, reason: Literal["type", "size", "empty", "disk", "name"]) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Upload:
    """One upload.

    Attributes
    ----------
    id : str
        32 hexadecimal digits.
    user, name : str
        Who sends it, and the file's name (checked, NFC).
    size : int
        Bytes when complete.
    created : str
        ISO 8601, UTC.
    state : {"receiving", "received", "duplicate"}
        ``received``: complete and hashed. ``duplicate``: the same bytes came before, this copy was dropped.
    sha256 : str or None
        Hexadecimal, once received.
    job : int or None
        The job that checks it.
    purpose : str
        What its sender says that it is (``labels``, ``predictions``, ``masks``, …): a csv may be either. Empty where
        nobody said.
    idle_s, seen_offset, seen_at : float, int, float
        How long nothing came, as added up by `UploadStore.sweep`.
    """

    id: str
    user: str
    name: str
    size: int
    created: str
    state: State = "receiving"
    sha256: str | None = None
    job: int | None = None
    purpose: str = ""
    idle_s: float = 0.0
    seen_offset: int = -1
    seen_at: float = field(default=0.0)

    @property
    def ending(self) -> str:
        """The file's ending with its dot, lower case."""
        return Path(self.name).suffix.lower()

    @property
    def is_video(self) -> bool:
        """Whether the name's ending is a video's."""
        return self.ending in VIDEO_SUFFIXES


class RunningDigest:
    """A SHA-256 that grows with the file, and reads again what it has not seen (after a restart)."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()
        self.offset = 0

    def add(self, block: bytes | bytearray | memoryview, at: int) -> None:
        """Take the bytes that were written at offset `at`; left for `catch_up` if bytes before them are missing."""
        if at == self.offset:
            self._sha.update(block)
            self.offset += len(block)

    def catch_up(self, path: Path) -> None:
        """Read the rest of the file."""
        with open(path, "rb") as file:
            file.seek(self.offset)
            while block := file.read(_READ_BYTES):
                self.add(block, self.offset)

    def hexdigest(self) -> str:
        """Return the digest of the first `offset` bytes."""
        return self._sha.hexdigest()


class UploadStore:
    """The uploads of one project.

    Parameters
    ----------
    project : Project
        Must be writable for everything but looking.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.folder = project.path / ".castle" / "uploads"

    def create(self, *, user: str, name: str, size: int, max_size: int, purpose: str = "") -> Upload:
        """Register a new upload.

        Raises
        ------
        UploadRefusedError
            If the name, type or size is not taken, or the disk has no room.
        ProjectError
            If the project is read-only or gone.
        """
        self.project.require_writable()
        name = _checked_name(name)
        if size <= 0:
            raise UploadRefusedError(f"{name} is empty. Was the recording or the copy interrupted?", reason="empty")
        if size > max_size:
            raise UploadRefusedError(
                f"{name} has {_spelled(size)}; this server takes {_spelled(max_size)} at most. Put it into a folder of "
                "the server and link it from there.",
                reason="size",
            )
        make_folder(self.folder)
        free = shutil.disk_usage(self.folder).free
        if free < size + SPARE_BYTES:
            raise UploadRefusedError(
                f"The project's disk has {_spelled(max(0, free - SPARE_BYTES))} free for uploads, but {name} needs "
                f"{_spelled(size)}. Free some space and try again.",
                reason="disk",
            )
        now = time.time()
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        purpose = purpose if _PURPOSE.fullmatch(purpose) else ""
        upload = Upload(secrets.token_hex(16), user, name, size, created, purpose=purpose, seen_offset=0, seen_at=now)
        _remember_folder(self.project.path)
        try:
            self.part(upload).touch(exist_ok=False)
        except OSError as error:
            raise write_error(self.part(upload), error) from error
        self.save(upload)
        return upload

    def part(self, upload: Upload) -> Path:
        """Return where the bytes are: the part while it grows, the complete file afterwards."""
        if upload.state == "receiving":
            return self.folder / f"{upload.id}.part"
        # <id>.json is taken: it says what is known about the upload
        between = ".data" if upload.ending == ".json" else ""
        return self.folder / f"{upload.id}{between}{upload.ending}"

    @staticmethod
    def record_of(part: Path) -> Path:
        """Return where an upload is described, from where its bytes are or were; it is gone once it is dismissed."""
        return part.with_name(f"{part.name.partition('.')[0]}.json")

    def offset(self, upload: Upload) -> int:
        """Return how many bytes are on the disk; the whole size once it is received."""
        if upload.state != "receiving":
            return upload.size
        try:
            return self.part(upload).stat().st_size
        except FileNotFoundError:
            return 0

    def get(self, identity: str, user: str) -> Upload | None:
        """Return the upload of this id if it is the user's, else None."""
        if not _ID.fullmatch(identity):
            return None
        upload = self._load(self.folder / f"{identity}.json")
        return upload if upload is not None and upload.user == user else None

    def all(self, user: str | None = None) -> list[Upload]:
        """Return the uploads (of one user), oldest first."""
        try:
            paths = [path for path in self.folder.iterdir() if path.suffix == ".json" and _ID.fullmatch(path.stem)]
        except OSError:
            return []
        found = [upload for upload in map(self._load, paths) if upload is not None]
        return sorted((u for u in found if user in (None, u.user)), key=lambda u: (u.created, u.id))

    def save(self, upload: Upload) -> None:
        """Write what is known about an upload."""
        atomic_write_json(self.folder / f"{upload.id}.json", asdict(upload))

    def finish(self, upload: Upload, digest: RunningDigest) -> Upload:
        """Turn a complete part into a received file; an exact copy of an earlier upload is dropped.

        Reads what the digest has not seen. Safe to repeat after a crash at any point.

        Raises
        ------
        ProjectError
            If the part is not complete or the disk fails.
        """
        part = self.part(upload)
        received = replace(upload, state="received")
        final = self.part(received)
        try:
            if not final.exists():
                if part.stat().st_size != upload.size:
                    raise ProjectError(f"The upload of {upload.name} is not complete. Pick the file again to go on.")
                digest.catch_up(part)
                with open(part, "rb") as file:
                    os.fsync(file.fileno())
                os.replace(part, final)
            elif digest.offset != upload.size:
                digest = RunningDigest()
                digest.catch_up(final)
        except OSError as error:
            raise write_error(final, error) from error
        received = replace(received, sha256=digest.hexdigest())
        with _FINISHING:  # of two tabs that end at the same moment, one finds the other
            if self._is_known(received):
                received = replace(received, state="duplicate")
                final.unlink(missing_ok=True)
            self.save(received)
        return received

    def _is_known(self, upload: Upload) -> bool:
        """Say whether the same bytes under the same name came before and are still here."""
        sizes = {entry.name: entry.path.stat().st_size for entry in self.project.videos() if not entry.missing}
        return any(
            other.id != upload.id
            and (other.state, other.sha256, other.name) == ("received", upload.sha256, upload.name)
            and (other.purpose == upload.purpose or upload.is_video)
            and (self.part(other).exists() or sizes.get(other.name) == other.size)
            for other in self.all()
        )

    def remove(self, upload: Upload) -> None:
        """Forget an upload and delete its bytes; what was moved into the project stays there."""
        for state in ("receiving", "received"):
            self.part(replace(upload, state=state)).unlink(missing_ok=True)
        (self.folder / f"{upload.id}.json").unlink(missing_ok=True)

    def sweep(self, now: float | None = None) -> list[Upload]:
        """Delete uploads to which nothing came for 7 days; return them.

        Idle time is added up from sweep to sweep, a day at most each time and never less than nothing: a clock that
        jumps, or an app that was off for a year, does not end an upload that somebody wants to resume.
        """
        now = time.time() if now is None else now
        removed = []
        for upload in self.all():
            offset = self.offset(upload)
            idle = (
                0.0 if offset != upload.seen_offset else upload.idle_s + min(max(now - upload.seen_at, 0), _MAX_STEP_S)
            )
            if idle >= ABANDONED_S:
                self.remove(upload)
                removed.append(upload)
            elif now != upload.seen_at:
                with contextlib.suppress(CastleError):  # a full disk keeps nobody from sweeping the others
                    self.save(replace(upload, idle_s=idle, seen_offset=offset, seen_at=now))
        return removed

    def _load(self, path: Path) -> Upload | None:
        try:
            value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            upload = Upload(**value)
        except (OSError, ValueError, TypeError):
            return None
        return upload if upload.id == path.stem else None


def upload_projects() -> Iterator[Project]:
    """Yield every project that received uploads on this machine and is still here."""
    for text in _known_folders():
        with contextlib.suppress(CastleError):
            yield Project.open(text)


def _known_folders() -> list[str]:
    try:
        value = json.loads((castle_state() / "upload_folders.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [str(item) for item in value] if isinstance(value, list) else []


def _remember_folder(folder: Path) -> None:
    path = castle_state() / "upload_folders.json"
    if str(folder) in _known_folders():
        return
    with locked(path):
        atomic_write_json(path, sorted({*_known_folders(), str(folder)}), mode=0o600)


def _checked_name(name: str) -> str:
    try:
        name = safe_name(name)
    except CastleError as error:
        raise UploadRefusedError(str(error), reason="name") from error
    ending = Path(name).suffix.lower()
    if ending not in VIDEO_SUFFIXES and ending not in OTHER_ENDINGS:
        taken = ", ".join((*sorted(VIDEO_SUFFIXES), *OTHER_ENDINGS))
        raise UploadRefusedError(
            f"{name} is no file that castle takes ({ending or 'it has no ending'}). It takes: {taken}.", reason="type"
        )
    return name


def _spelled(n_bytes: int) -> str:
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if n_bytes >= size:
            return f"{n_bytes / size:.3g} {unit}"
    return f"{n_bytes} bytes"
