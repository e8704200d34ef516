"""Tokens of Label Studio servers, kept 0600 under CASTLE_STATE, each for one person; jobs carry only the id."""

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from castle_core.errors import LabelStudioError
from castle_core.files import atomic_write_json, make_folder
from castle_core.label_studio.address import normalise_url
from castle_core.state import castle_state

_ID = re.compile(r"[0-9a-f]{24}")


@dataclass(frozen=True)
class Credentials:
    """How one person reaches one Label Studio.

    Attributes
    ----------
    id : str
        Names them in jobs and settings; says nothing about the token.
    url : str
        The server's address.
    owner : str
        Whose they are.
    user : str
        The account in Label Studio (its email), as the last check found it.
    token : str
        Never shown: it is left out of the text form.
    """

    id: str
    url: str
    owner: str
    user: str
    token: str = field(repr=False)


def _folder() -> Path:
    folder = make_folder(castle_state() / "label-studio")
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def credentials_id(url: str, owner: str) -> str:
    """Return the id of a person's credentials for a server, whether or not there are any."""
    return hashlib.sha256(f"{owner}\0{normalise_url(url)}".encode()).hexdigest()[:24]


def save_credentials(url: str, token: str, *, owner: str, user: str = "") -> Credentials:
    """Keep a token, in place of the one that the person had for this server."""
    url = normalise_url(url)
    kept = Credentials(credentials_id(url, owner), url, owner, user, token.strip())
    values = {"url": kept.url, "owner": owner, "user": user, "token": kept.token}
    atomic_write_json(_folder() / f"{kept.id}.json", values, mode=0o600)
    return kept


def read_credentials(identity: str, *, owner: str) -> Credentials:
    """Return credentials by their id.

    Raises
    ------
    LabelStudioError
        If there are none, or they are somebody else's.
    """
    line = "Your token for Label Studio is not here. Save it on the page Label export, then try again."
    if not _ID.fullmatch(identity):
        raise LabelStudioError(line)
    try:
        values = json.loads((_folder() / f"{identity}.json").read_text(encoding="utf-8"))
        kept = Credentials(
            identity, str(values["url"]), str(values["owner"]), str(values["user"]), str(values["token"])
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabelStudioError(line) from error
    if kept.owner != owner:
        raise LabelStudioError(line)
    return kept


def list_credentials(owner: str) -> list[Credentials]:
    """Return a person's credentials, sorted by the server's address."""
    found = []
    for path in _folder().glob("*.json"):
        try:
            found.append(read_credentials(path.stem, owner=owner))
        except LabelStudioError:
            continue
    return sorted(found, key=lambda kept: kept.url)


def remove_credentials(identity: str, *, owner: str) -> None:
    """Forget a person's token."""
    kept = read_credentials(identity, owner=owner)
    (_folder() / f"{kept.id}.json").unlink(missing_ok=True)
