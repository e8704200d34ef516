"""Which videos were removed from a project: what was made of one must not become another's of the same name."""

import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from castle_core.errors import NameRefusedError
from castle_core.projects.videos import VideoEntry, stem_key
from castle_core.video import fingerprint

if TYPE_CHECKING:
    from castle_core.projects.project import Project

_REMOVED = "removed_videos"  # in project.json: stem → fingerprint


def check_same_video(project: "Project", stem: str, source: Path) -> None:
    """Refuse a video in the place of a removed one of the same name from which there are frames, masks or latents.

    Parameters
    ----------
    stem : str
        Name in the project.
    source : Path
        The file that is to be added.

    Raises
    ------
    NameRefusedError
        If it is another video than the one that was removed.
    VideoError
        If it cannot be read.
    """
    known = project.document().get(_REMOVED)
    before = {stem_key(name): each for name, each in known.items()} if isinstance(known, dict) else {}
    expected = before.get(stem_key(stem))
    if expected is None or expected == fingerprint(source) or not _left_of(project, stem):
        return
    raise NameRefusedError(
        f"Another video was named {stem!r} already: it was removed, but its frames, masks or latents are still there. "
        "Add this one under another name."
    )


def _left_of(project: "Project", stem: str) -> bool:
    escaped = glob.escape(stem)
    places = (f"labeled-data/{escaped}", f"track/{escaped}.*", f"latent/{escaped}_ROI_*", f"latent/*/{escaped}_ROI_*")
    return any(True for place in places for _ in project.path.glob(place))


def note_removed(project: "Project", entry: VideoEntry) -> None:
    """Note in project.json which video went, and forget its frame rate: it is not that of the next one of this name."""
    what = None if entry.missing else fingerprint(entry.path)  # of a link that leads nowhere nothing is known

    def change(document: dict[str, Any]) -> None:
        if what is not None:
            document.setdefault(_REMOVED, {})[entry.stem] = what
        if isinstance(rates := document.get("true_fps"), dict):
            rates.pop(entry.stem, None)

    project.update_document(change)
