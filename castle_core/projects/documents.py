"""A project's JSON documents: read with clear errors, changed under a lock, unknown keys left alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from castle_core.errors import ProjectError
from castle_core.files import atomic_write_json, locked


def read_document(path: Path) -> dict[str, Any]:
    """Read a JSON object; a file that does not exist is an empty one.

    Raises
    ------
    ProjectError
        If the file cannot be read, or holds something else than a JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ProjectError(
            f"Cannot read {path}: {error.strerror}. Check the disk and your rights on the file."
        ) from error
    except ValueError as error:
        raise ProjectError(
            f"{path} is damaged (not JSON: {error}). Repair it, or move it away to start with an empty one."
        ) from error
    if not isinstance(value, dict):
        raise ProjectError(
            f"{path} is damaged (no JSON object). Repair it, or move it away to start with an empty one."
        )
    return value


def update_document(path: Path, change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Read `path` under its lock, let `change` edit the object in place, and write it if it is another now.

    Returns
    -------
    dict
        The object as it is on disk afterwards.

    Raises
    ------
    ProjectError, LockHeldError
        If it cannot be read or written, or somebody else holds its lock.
    """
    with locked(path):
        document = read_document(path)
        before = json.dumps(document)
        change(document)
        if json.dumps(document) != before or not path.exists():
            atomic_write_json(path, document)
    return document
