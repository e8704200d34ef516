"""Who may log in: names and password hashes in one file (0600) under `castle_state`."""

import base64
import hashlib
import hmac
import json
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from castle_core.errors import AccessError
from castle_core.files import atomic_write_json, locked
from castle_core.state import castle_state

# scrypt: 32 MB and about a fifth of a second a try; the numbers are stored with each hash, so they can grow later.
_N, _R, _P = 2**15, 8, 3
_MAX_MEMORY = 128 * 1024 * 1024
MIN_PASSWORD = 8
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")


@dataclass(frozen=True)
class User:
    """One person who may log in.

    Attributes
    ----------
    name : str
        As typed at the login, ASCII.
    created : str
        ISO 8601, UTC.
    stamp : str
        Changes with the password; a cookie that carries another stamp is dead.
    """

    name: str
    created: str
    stamp: str


class UserTable:
    """The users of this server. The file is read again whenever it changes, so the command line acts at once.

    Parameters
    ----------
    path : Path, optional
        By default ``users.json`` under `castle_state`.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or castle_state() / "users.json"
        self._seen: tuple[int, int, int] | None = None
        self._rows: dict[str, dict[str, str]] = {}

    def list(self) -> list[User]:
        """Return all users, sorted by name."""
        return [_user(name, row) for name, row in sorted(self._read().items())]

    def get(self, name: str) -> User | None:
        """Return the user called `name`, or None. Upper and lower case are the same user."""
        rows = self._read()
        key = _key(name, rows)
        return None if key is None else _user(key, rows[key])

    def add(self, name: str, password: str) -> bool:
        """Add a user, or give an existing one a new password (which ends that user's sessions).

        Returns
        -------
        bool
            True if the user is new.

        Raises
        ------
        AccessError
            If the name or the password cannot be used.
        """
        if not _NAME.fullmatch(name):
            raise AccessError(
                f"{name!r} cannot be a user name: use 1 to 64 letters (a-z), digits and . _ @ + -, "
                "starting with a letter or digit."
            )
        if len(password) < MIN_PASSWORD:
            raise AccessError(f"The password is too short: please take at least {MIN_PASSWORD} characters.")
        if len(password) > 1024:
            raise AccessError("The password is longer than 1024 characters; please take a shorter one.")
        row = {"hash": hash_password(password), "created": datetime.now(UTC).isoformat(timespec="seconds")}
        with locked(self._path):
            rows = self._read(fresh=True)
            key = _key(name, rows)
            if key is not None:
                row["created"] = rows[key]["created"]
            self._write({**rows, key or name: row})
        return key is None

    def remove(self, name: str) -> None:
        """Remove a user; that user's sessions end.

        Raises
        ------
        AccessError
            If there is no such user.
        """
        with locked(self._path):
            rows = self._read(fresh=True)
            key = _key(name, rows)
            if key is None:
                known = ", ".join(sorted(rows)) or "nobody yet"
                raise AccessError(f"There is no user {name!r}. Known: {known}.")
            self._write({other: row for other, row in rows.items() if other != key})

    def check(self, name: str, password: str) -> User | None:
        """Return the user if name and password fit, else None. Takes as long for an unknown name as for a known one."""
        rows = self._read()
        key = _key(name, rows)
        stored = rows[key]["hash"] if key is not None else _NOBODY
        fits = verify_password(password[:1025], stored)
        return _user(key, rows[key]) if fits and key is not None else None

    def _read(self, *, fresh: bool = False) -> dict[str, dict[str, str]]:
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            self._seen, self._rows = None, {}
            return {}
        seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        if fresh or seen != self._seen:
            try:
                value: Any = json.loads(self._path.read_text(encoding="utf-8"))
                rows = {str(name): {"hash": row["hash"], "created": row["created"]} for name, row in value.items()}
            except (ValueError, AttributeError, KeyError, TypeError) as error:
                raise AccessError(
                    f"The list of users, {self._path}, is damaged. Remove it, then add the users again (castle users)."
                ) from error
            self._rows, self._seen = rows, seen
        return self._rows

    def _write(self, rows: dict[str, dict[str, str]]) -> None:
        atomic_write_json(self._path, rows, mode=0o600)
        self._seen = None


def _key(name: str, rows: dict[str, dict[str, str]]) -> str | None:
    if name in rows:
        return name
    return next((known for known in rows if known.casefold() == name.casefold()), None)


def _user(name: str, row: dict[str, str]) -> User:
    stamp = hashlib.sha256(f"{name}\n{row['hash']}".encode()).hexdigest()[:20]
    return User(name=name, created=row["created"], stamp=stamp)


def hash_password(password: str) -> str:
    """Return ``scrypt$n$r$p$salt$hash`` (base64) of a password, with a new random salt."""
    salt = os.urandom(16)
    digest = _scrypt(password, salt, _N, _R, _P)
    return "$".join(
        ["scrypt", str(_N), str(_R), str(_P), base64.b64encode(salt).decode(), base64.b64encode(digest).decode()]
    )


def verify_password(password: str, stored: str) -> bool:
    """Say whether `password` is the one that was hashed; False for a damaged hash."""
    try:
        kind, n, r, p, salt, digest = stored.split("$")
        if kind != "scrypt":
            return False
        found = _scrypt(password, base64.b64decode(salt), int(n), int(r), int(p))
        return hmac.compare_digest(found, base64.b64decode(digest))
    except ValueError:
        return False


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    data = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(data, salt=salt, n=n, r=r, p=p, maxmem=_MAX_MEMORY, dklen=32)


# Checked when the name is unknown, so that the answer takes as long as for a known one. Nothing hashes to it.
_NOBODY = f"scrypt${_N}${_R}${_P}${base64.b64encode(bytes(16)).decode()}${base64.b64encode(bytes(32)).decode()}"
