"""Who is logged in: signed cookies that die with the user, a changed password, a logout or their age."""

import functools
import hashlib
import json
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from itsdangerous import BadData, URLSafeSerializer

from castle_core.files import atomic_write_json, locked
from castle_core.state import castle_state, secret
from castle_core.users import UserTable
from ui.settings import operating_system_user

MAX_AGE_S = 14 * 24 * 3600


@dataclass(frozen=True)
class Session:
    """A cookie that was checked.

    Attributes
    ----------
    user : str
        Its name.
    id : str
        Random; a logout revokes it.
    """

    user: str
    id: str


class Sessions:
    """Makes and checks session cookies, and the one-time link for a server without configured users.

    Parameters
    ----------
    state : Path
        Folder of users, secrets and revoked sessions.
    """

    def __init__(self, state: Path) -> None:
        self.users = UserTable(state / "users.json")
        key = secret("session")
        self._serializer = URLSafeSerializer(key, salt="castle-session")
        # Cookies do not keep the ports of one host apart: two servers on one machine need two names.
        self.cookie_name = "castle_" + hashlib.sha256(key.encode()).hexdigest()[:10]
        self._revoked_path = state / "revoked_sessions.json"
        self._revoked: dict[str, float] = self._load_revoked()
        self._link: str | None = None
        self._guard = threading.Lock()

    def _load_revoked(self) -> dict[str, float]:
        try:
            value = json.loads(self._revoked_path.read_text(encoding="utf-8"))
            return {str(key): float(at) for key, at in value.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def new_cookie(self, user: str) -> str:
        """Return the cookie value for somebody who has just proved to be `user` (useless for an unknown one)."""
        return str(self._serializer.dumps([user, self._stamp(user), int(time.time()), secrets.token_urlsafe(12)]))

    def check(self, cookie: str) -> Session | None:
        """Return the session of a cookie, or None if it is forged, too old, revoked, or its user is gone."""
        try:
            user, stamp, issued, identity = self._serializer.loads(cookie)
        except (BadData, ValueError, TypeError):
            return None
        valid = self._stamp(user) if isinstance(user, str) else None
        if valid is None or stamp != valid or identity in self._revoked:
            return None
        # A clock that was set back makes a cookie look younger than new; that alone logs nobody out.
        return Session(user, identity) if abs(time.time() - issued) <= MAX_AGE_S else None

    def _stamp(self, user: str) -> str | None:
        if self.has_users:
            known = self.users.get(user)
            return known.stamp if known is not None and known.name == user else None
        return "link" if user == operating_system_user() else None

    @property
    def has_users(self) -> bool:
        """Whether people log in with a password; without users they need the link."""
        return bool(self.users.list())

    def revoke(self, session: Session) -> None:
        """End one session for good, also if somebody kept a copy of its cookie."""
        now = time.time()
        with self._guard, locked(self._revoked_path):
            kept = {key: at for key, at in {**self._load_revoked(), **self._revoked}.items() if now - at <= MAX_AGE_S}
            self._revoked = {**kept, session.id: now}
            atomic_write_json(self._revoked_path, self._revoked, mode=0o600)

    def link_token(self) -> str:
        """Return the token of the link that is waiting to be used."""
        with self._guard:
            self._link = self._link or secrets.token_urlsafe(32)
            return self._link

    def use_link(self, token: str) -> bool:
        """Say whether `token` is the waiting one, and use it up."""
        with self._guard:
            fits = (
                self._link is not None
                and not self.has_users
                and secrets.compare_digest(token.encode("utf-8", "replace"), self._link.encode())
            )
            if fits:
                self._link = None
            return fits


@functools.lru_cache(maxsize=8)
def _sessions(state: Path) -> Sessions:
    return Sessions(state)


def sessions() -> Sessions:
    """Return this process's sessions (one object a state folder)."""
    return _sessions(castle_state())


def sealed(salt: str) -> URLSafeSerializer:
    """Return a signer for values that travel through the browser; `salt` keeps uses and users apart."""
    return URLSafeSerializer(secret("signing"), salt=salt)


def unseal(salt: str, text: str) -> Any:
    """Return what `sealed` signed, or None if it is forged."""
    try:
        return sealed(salt).loads(text)
    except (BadData, ValueError, TypeError):
        return None
