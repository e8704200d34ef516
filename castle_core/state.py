"""Where this machine keeps what is not a project: projects' home, job table, users, secrets."""

import os
import secrets
from pathlib import Path

import psutil

from castle_core.errors import ProjectError
from castle_core.files import atomic_write_text, make_folder

_NETWORK_FILE_SYSTEMS = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "afs",
    "lustre",
    "beegfs",
    "glusterfs",
    "ceph",
    "fuse.sshfs",
    "9p",
}


def castle_home() -> Path:
    """Return the folder that holds the projects: ``CASTLE_HOME``, else ``~/castle``. It need not exist yet."""
    return Path(os.environ.get("CASTLE_HOME") or Path.home() / "castle").expanduser().absolute()


def castle_state() -> Path:
    """Return (and make, 0700) the folder of the job table, users and secrets: ``CASTLE_STATE``.

    Raises
    ------
    ProjectError
        If it lies on a network file system, where SQLite's locks cannot be trusted.
    """
    default = Path.home() / ".local" / "state" / "castle"
    folder = Path(os.environ.get("CASTLE_STATE") or default).expanduser().absolute()
    kind = file_system_type(folder)
    if kind in _NETWORK_FILE_SYSTEMS:
        raise ProjectError(
            f"CASTLE_STATE ({folder}) lies on a network file system ({kind}), where the job table could be damaged. "
            "Set CASTLE_STATE to a folder on a local disk."
        )
    make_folder(folder)
    if folder.stat().st_mode & 0o077 and folder.stat().st_uid == os.getuid():
        folder.chmod(0o700)
    return folder


def file_system_type(path: Path) -> str:
    """Return the type (``ext4``, ``nfs4``, …) of the file system on which `path` is or would be; empty if unknown."""
    target = str(path.absolute())
    best, kind = "", ""
    for partition in psutil.disk_partitions(all=True):
        mount = partition.mountpoint.rstrip("/") or "/"
        inside = target == mount or target.startswith(mount if mount == "/" else mount + "/")
        if inside and len(mount) > len(best):
            best, kind = mount, partition.fstype
    return kind


def secret(name: str) -> str:
    """Return the secret called `name`, made at its first use and kept 0600 under `castle_state`."""
    path = make_folder(castle_state() / "secrets") / name
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        value = secrets.token_urlsafe(48)
        atomic_write_text(path, value, mode=0o600)
        return path.read_text(encoding="ascii")
