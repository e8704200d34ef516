"""How this app was started: what ``castle serve`` decided, handed over in one environment variable."""

import functools
import getpass
import ipaddress
import json
import os
import socket
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import streamlit as st

from castle_core.errors import ConfigError
from castle_core.server_folders import ServerFolders

VARIABLE = "CASTLE_SERVE"
GIB = 1 << 30


@dataclass(frozen=True)
class Settings:
    """What the administrator chose.

    Attributes
    ----------
    allow : dict
        Server folders: name → absolute path.
    login : bool
        False only with ``--no-login``.
    host : str
        The address that was asked for.
    hosts : tuple of str
        Further host names under which browsers reach the app (a reverse proxy's name).
    runner : bool
        Whether jobs run in this process's workers. Tests of routes switch it off.
    max_upload : int
        Largest upload in bytes.
    announce : bool
        Whether to print the address (and the login link) when the app is ready.
    """

    allow: dict[str, str] = field(default_factory=dict)
    login: bool = True
    host: str = "127.0.0.1"
    hosts: tuple[str, ...] = ()
    runner: bool = True
    max_upload: int = 256 * GIB
    announce: bool = True

    def to_json(self) -> str:
        """Return the value of the environment variable."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        """Read the environment variable.

        Raises
        ------
        ConfigError
            If it is not what `to_json` writes.
        """
        try:
            value: dict[str, Any] = json.loads(text)
            return cls(**{**value, "hosts": tuple(value.get("hosts", ()))})
        except (ValueError, TypeError, AttributeError) as error:
            raise ConfigError(f"{VARIABLE} cannot be read ({error}). Start the app with: castle serve") from error

    @property
    def folders(self) -> ServerFolders:
        """The server folders that people may browse."""
        return ServerFolders({name: Path(path) for name, path in self.allow.items()})


@functools.lru_cache(maxsize=4)
def _parse(text: str) -> Settings:
    return Settings.from_json(text) if text else Settings()


def settings() -> Settings:
    """Return how this app was started; the defaults (gate on, no server folders) without ``castle serve``."""
    return _parse(os.environ.get(VARIABLE, ""))


def prefix() -> str:
    """Return the path under which the app is served (``server.baseUrlPath``): empty, or ``/lab/castle``."""
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{base}" if base else ""


def operating_system_user() -> str:
    """Return the account under which the server runs: the user's name where nobody has to log in by name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user-{os.getuid()}"


@functools.lru_cache(maxsize=4)
def allowed_hosts(host: str, more: tuple[str, ...]) -> frozenset[str]:
    """Return every host name and address (lower case, no port) under which this app answers.

    Loopback names, the machine's names and addresses, `host` and `more`: a page under another name (a name that an
    attacker points at this machine) gets no answer.
    """
    names = {"localhost", "127.0.0.1", "::1", *LOOPBACK_NAMES}
    node = socket.gethostname().lower()
    names.update({node, node.split(".")[0], f"{node.split('.')[0]}.local", socket.getfqdn().lower()})
    for addresses in psutil.net_if_addrs().values():
        names.update(
            a.address.split("%")[0].lower() for a in addresses if a.family in (socket.AF_INET, socket.AF_INET6)
        )
    names.update(name.lower().strip("[]").rstrip(".") for name in (host, *more) if name)
    return frozenset(names - {"", "0.0.0.0", "::"})


LOOPBACK_NAMES = ("localhost.localdomain", "ip6-localhost")


def is_loopback(address: str) -> bool:
    """Say whether an IP address is this machine's own (127.0.0.0/8, ::1, also mapped into IPv6)."""
    try:
        ip = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return bool((mapped or ip).is_loopback)
