"""What CASTLE needs to see our videos and latents: ``sources/`` and config.json. Keys that we do not know stay."""

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from castle_core.files import make_folder, write_error
from castle_core.projects.documents import update_document

if TYPE_CHECKING:
    from castle_core.projects.project import Project


def register_source(project: "Project", stem: str) -> Path:
    """Link a video in ``sources/`` and list it in config.json under ``source``; the link is returned.

    Raises
    ------
    ProjectError, LockHeldError
        If the project has no such video, or cannot be written.
    """
    entry = project.video(stem)
    project.require_writable()
    target = make_folder(project.path / "sources") / entry.name
    if not os.path.lexists(target):
        try:
            with contextlib.suppress(FileExistsError):
                os.symlink(os.path.relpath(entry.path, target.parent), target)
        except OSError as error:
            raise write_error(target, error) from error

    def change(config: dict[str, Any]) -> None:
        config.setdefault("project_name", project.name)
        source = config.setdefault("source", [])
        if isinstance(source, list) and entry.name not in source:
            source.append(entry.name)
        config.setdefault("latent", {})

    update_document(project.path / "config.json", change)
    return target


def forget_source(project: "Project", name: str) -> None:
    """Take a video's file name out of ``source`` in config.json, where there is one; its latents stay listed."""
    path = project.path / "config.json"

    def change(config: dict[str, Any]) -> None:
        source = config.get("source")
        if isinstance(source, list):
            config["source"] = [each for each in source if each != name]

    if path.exists():
        update_document(path, change)


def register_latent(project: "Project", npz_name: str, stem: str) -> None:
    """List a latent file in config.json under ``latent``, with its video, which is registered as a source as well.

    Raises
    ------
    ProjectError, LockHeldError
        If the project has no such video, or cannot be written.
    """
    name = project.video(stem).name
    register_source(project, stem)

    def change(config: dict[str, Any]) -> None:
        latent = config.setdefault("latent", {})
        if isinstance(latent, dict):
            latent[npz_name] = name

    update_document(project.path / "config.json", change)
