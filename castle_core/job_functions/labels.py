"""The jobs that bring labels out, in, and look them through."""

import contextlib
import hashlib
import time
from pathlib import Path
from typing import Any

from castle_core.errors import ConfigError, LabelError
from castle_core.files import atomic_write_json, make_folder, safe_name
from castle_core.labels.check_project import check_project
from castle_core.labels.exporting import FORMATS, export_labels, export_state
from castle_core.labels.importing import import_labels
from castle_core.labels.in_project import label_state
from castle_core.progress import Task
from castle_core.projects import Project

CHECK_FILE = "label-check.json"
_KEPT_S = 7 * 24 * 3600.0


def export_job(
    task: Task,
    *,
    project: str,
    owner: str,
    format: str,
    view: str | None = None,
    model: str | None = None,
    threshold: float = 0.0,
) -> dict[str, Any]:
    """Write the labels for another tool into ``.castle/exports``, where the page offers them.

    Parameters
    ----------
    task : Task
    project, owner : str
    format : str
        A key of `castle_core.labels.exporting.FORMATS`.
    view : str, optional
        Of several ``CollectedData_<view>.csv`` this one.
    model, threshold
        As for `castle_core.labels.exporting.export_labels`.

    Returns
    -------
    dict
        ``path``, ``name`` (for who downloads it), ``bytes``, ``frames``, ``notes``.
    """
    del owner
    opened = Project.open(project)
    if format not in FORMATS:
        raise ConfigError(f"There is no format {format!r}. There are: {', '.join(FORMATS)}.")
    ending = FORMATS[format].ending or ".zip"
    # Each view has a folder of its own, or one view's download would hold another's labels.
    folder = make_folder(opened.cache_dir / "exports" / safe_name(f"{format}_{view}" if view else format))
    settings = hashlib.sha256(f"{model}\0{threshold:g}".encode()).hexdigest()[:8]
    out = folder / f"{settings}-{export_state(opened, format, model=model, threshold=threshold)}{ending}"
    _clear(folder, f"{settings}-")
    done = export_labels(opened, format, out, view=view, model=model, threshold=threshold, task=task)
    parts = [opened.name, view, format if ending == ".zip" else None]  # mice_top_dlc.zip, mice.pkg.slp
    name = safe_name("_".join(part for part in parts if part) + ending)
    return {
        "path": str(out),
        "name": name,
        "bytes": out.stat().st_size,
        "frames": done.frames,
        "notes": list(done.notes),
    }


def _clear(folder: Path, prefix: str) -> None:
    """Delete earlier exports with the same settings; those with others, which somebody may want, only after a week."""
    for old in folder.iterdir():
        with contextlib.suppress(OSError):
            mine = old.name.startswith(prefix) or time.time() - old.stat().st_mtime > _KEPT_S
            if mine and not old.name.startswith("."):
                old.unlink()


def import_job(
    task: Task,
    *,
    project: str,
    owner: str,
    path: str,
    keep: bool = False,
    view: str | None = None,
    name: str = "",
    remove: bool = False,
) -> dict[str, Any]:
    """Merge a label file into the project (see `castle_core.labels.importing.import_labels`).

    Parameters
    ----------
    path, name : str
        The file, and what its user calls it, where that is another name.
    keep : bool
        Leave frames that are labelled in the project as they are.
    remove : bool
        Delete the file (an upload) when its labels are in the project.

    Returns
    -------
    dict
        The merge's report with ``frames``, ``images_copied``, ``images_decoded``, ``without_image``, ``kept_ours``.
    """
    del owner
    source = Path(path)
    with _named(source, name) as named:
        try:
            done = import_labels(Project.open(project), named, view=view, keep_ours=keep, task=task)
        except LabelError as error:  # people know the file by the name that they gave it
            raise LabelError(str(error).replace(str(named), name or str(named))) from error
    if remove:
        source.unlink(missing_ok=True)
    return {
        **done.merge.to_json(),
        "frames": done.frames,
        "images_copied": done.images_copied,
        "images_decoded": done.images_decoded,
        "without_image": list(done.without_image),
        "kept_ours": done.kept_ours,
    }


@contextlib.contextmanager
def _named(source: Path, name: str) -> Any:
    """Give a path with the ending of `name`: uploads wait under another one."""
    import tempfile

    if not name or source.suffix.lower() == Path(name).suffix.lower():
        yield source
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / Path(name).name
        link.symlink_to(source)
        yield link


def check_job(task: Task, *, project: str, owner: str, view: str | None = None) -> dict[str, Any]:
    """Look for labels that are probably wrong; the result is kept in ``.castle/label-check.json``.

    Returns
    -------
    dict
        ``suspicious`` (how many frames), ``frames``, ``path``.
    """
    del owner
    opened = Project.open(project)
    state = label_state(opened)
    found = check_project(opened, view=view)
    path = opened.cache_dir / CHECK_FILE
    document = {"state": state, "view": view, **found.to_json()}
    atomic_write_json(path, document)
    task.progress(1, 1)
    return {"suspicious": len(found.suspicious), "frames": len(found.frames), "path": str(path)}
