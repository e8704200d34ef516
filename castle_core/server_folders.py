"""Folders of the server that the administrator opens for browsing (``castle serve --allow NAME=DIR``)."""

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from castle_core.errors import AccessError
from castle_core.projects.videos import is_video_name

Kind = Literal["folder", "video", "zip"]


@dataclass(frozen=True)
class Entry:
    """One thing in a server folder that castle can use.

    Attributes
    ----------
    name : str
        File or folder name.
    relative : str
        Path from the named root, with ``/``.
    kind : {"folder", "video", "zip"}
        By the ending; whether a video can be read is known only when it is opened.
    size : int
        Bytes; 0 for a folder.
    modified : float
        Unix time.
    """

    name: str
    relative: str
    kind: Kind
    size: int
    modified: float


class ServerFolders:
    """Named roots, and nothing outside them: links that lead out are neither listed nor opened.

    Parameters
    ----------
    roots : Mapping[str, Path]
        Name shown to people → folder.
    """

    def __init__(self, roots: Mapping[str, Path]) -> None:
        self._roots = {name: Path(path).absolute() for name, path in roots.items()}

    @classmethod
    def parse(cls, allowed: Sequence[str]) -> "ServerFolders":
        """Read ``NAME=DIR`` as the command line takes it.

        Raises
        ------
        AccessError
            If a part is missing, a name comes twice, or DIR is not a folder that can be read.
        """
        roots: dict[str, Path] = {}
        for text in allowed:
            name, sign, folder = text.partition("=")
            name = name.strip()
            if not sign or not name or not folder.strip():
                raise AccessError(f"--allow {text!r} is not NAME=DIR. Example: --allow recordings=/data/recordings")
            if name in roots:
                raise AccessError(f"--allow names {name!r} twice. Give each folder its own name.")
            path = Path(folder).expanduser().absolute()
            if not path.is_dir():
                raise AccessError(f"--allow {name}: there is no folder {path}.")
            if not os.access(path, os.R_OK | os.X_OK):
                raise AccessError(f"--allow {name}: the folder {path} cannot be read by this account.")
            roots[name] = path
        return cls(roots)

    @property
    def names(self) -> tuple[str, ...]:
        """The roots' names, in the administrator's order."""
        return tuple(self._roots)

    @property
    def roots(self) -> dict[str, Path]:
        """Name → folder."""
        return dict(self._roots)

    def resolve(self, name: str, relative: str = "") -> Path:
        """Return the real path of something inside a root.

        Parameters
        ----------
        name : str
            A root's name.
        relative : str
            Path inside it, as `Entry.relative` gives it; empty for the root.

        Raises
        ------
        AccessError
            If there is no such root, the path leaves it (also through a link), or it is gone.
        """
        root = self._root(name)
        if relative.startswith("/") or "\x00" in relative or ".." in relative.split("/"):
            raise AccessError(f"{relative!r} lies outside the folder {name!r}.")
        try:
            real_root = root.resolve(strict=True)
            path = (real_root / relative).resolve(strict=True)
        except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
            raise self._gone(name, relative) from error
        if not path.is_relative_to(real_root):
            raise AccessError(f"{relative!r} leads outside the folder {name!r}; links that leave it are not followed.")
        return path

    def list(self, name: str, relative: str = "") -> tuple[Entry, ...]:
        """List folders, videos and zips: folders first, then by name; hidden names are left out.

        Raises
        ------
        AccessError
            As `resolve`, or if the folder cannot be read.
        """
        folder = self.resolve(name, relative)
        real_root = self._root(name).resolve()
        entries = []
        try:
            with os.scandir(folder) as found:
                for item in found:
                    entry = _entry(item, real_root, relative.strip("/"))
                    if entry is not None:
                        entries.append(entry)
        except NotADirectoryError as error:
            raise AccessError(f"{relative!r} in {name!r} is not a folder.") from error
        except PermissionError as error:
            raise AccessError(f"The folder {relative or name!r} cannot be read by this server's account.") from error
        except OSError as error:
            raise self._gone(name, relative) from error
        return tuple(sorted(entries, key=lambda entry: (entry.kind != "folder", entry.name.casefold(), entry.name)))

    def _root(self, name: str) -> Path:
        if name not in self._roots:
            known = ", ".join(self._roots) or "none (start castle serve with --allow NAME=DIR)"
            raise AccessError(f"There is no server folder {name!r}. Allowed folders: {known}.")
        return self._roots[name]

    def _gone(self, name: str, relative: str) -> AccessError:
        what = f"{relative} in {name!r}" if relative else f"The server folder {name!r} ({self._roots[name]})"
        return AccessError(f"{what} is gone. Was a drive unplugged or the folder moved?")


def _entry(item: "os.DirEntry[str]", real_root: Path, relative: str) -> Entry | None:
    """Describe one directory entry, or return None for what is hidden, useless, broken or outside the root."""
    if item.name.startswith("."):
        return None
    try:
        item.name.encode("utf-8")
        if item.is_symlink() and not Path(item.path).resolve(strict=True).is_relative_to(real_root):
            return None
        status = item.stat()
    except (OSError, RuntimeError, UnicodeEncodeError):
        return None
    path = f"{relative}/{item.name}" if relative else item.name
    if stat.S_ISDIR(status.st_mode):
        return Entry(item.name, path, "folder", 0, status.st_mtime)
    if not stat.S_ISREG(status.st_mode):
        return None
    if is_video_name(item.name):
        return Entry(item.name, path, "video", status.st_size, status.st_mtime)
    if item.name.lower().endswith(".zip"):
        return Entry(item.name, path, "zip", status.st_size, status.st_mtime)
    return None
