"""Which projects a user had open last, so that a new tab starts where the last one was."""

import contextlib
import json
from pathlib import Path

from castle_core.files import atomic_write_json, locked
from castle_core.state import castle_state

KEPT = 12


def recent_projects(user: str) -> list[Path]:
    """Return the folders that `user` opened, the last one first; folders that are gone are left out."""
    return [path for path in map(Path, _read().get(user, [])) if path.is_dir()]


def remember_project(user: str, folder: Path) -> None:
    """Note that `user` opened `folder`. A place that cannot be written is no reason to stop."""
    path = castle_state() / "recent.json"
    with contextlib.suppress(Exception), locked(path, timeout_s=1.0):
        everyone = _read()
        mine = [str(folder), *(name for name in everyone.get(user, []) if name != str(folder))]
        if everyone.get(user) != mine[:KEPT]:
            atomic_write_json(path, {**everyone, user: mine[:KEPT]}, mode=0o600)


def _read() -> dict[str, list[str]]:
    try:
        value = json.loads((castle_state() / "recent.json").read_text(encoding="utf-8"))
        return {str(user): [str(name) for name in names] for user, names in value.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
