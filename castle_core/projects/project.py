"""One project: its folder, its settings, its videos, and what is selected and labelled in it."""

import contextlib
import datetime
import hashlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from castle_core.errors import ConfigError, LabelError, ProjectError, VideoError
from castle_core.files import atomic_write_json, make_folder, nfc, safe_name
from castle_core.labelled import LabelRow, all_label_files, read_label_file
from castle_core.progress import QUIET, Task
from castle_core.projects import adding, castle_registry, removing
from castle_core.projects.documents import read_document, update_document
from castle_core.projects.places import is_project, is_unused, resolve_project_path
from castle_core.projects.videos import VideoEntry, list_videos
from castle_core.state import castle_state

if TYPE_CHECKING:
    from castle_core.video import Video

FORMAT_VERSION = 1
LATENT_PLACES = ("latent/*.npz", "latent/*/*.npz", "latent/*/*_map.h5")
"""Where latent files lie in a project: one row a frame, and feature maps."""
_SAME_TIME_NS = 2_000_000_000  # some file systems keep times to two seconds only


@dataclass(frozen=True)
class ProjectCounts:
    """How much is in a project: videos, selected frames, labelled frames, latent files."""

    videos: int
    selected: int
    labelled: int
    latents: int


class Project:
    """A project folder.

    Opening writes nothing. Nothing is kept in memory that another process could change: each call looks at the
    folder as it is.

    Parameters
    ----------
    path : Path
        The folder; use `open` or `create`, which check it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"Project({str(self.path)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Project) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    @classmethod
    def open(cls, project: str | os.PathLike[str]) -> "Project":
        """Open a project by path or, inside `castle_home()`, by name.

        Raises
        ------
        ProjectError
            If there is no such folder, or nothing in it that makes it a project.
        """
        path = resolve_project_path(project)
        if not path.is_dir():
            raise ProjectError(f"There is no project at {path}. Check the name, or make a new project there.")
        if not is_project(path):
            raise ProjectError(
                f"{path} is not a project: it has no videos/ or sources/ folder. Open another folder, "
                "or put the videos into a folder videos/ in it."
            )
        return cls(path)

    @classmethod
    def create(
        cls,
        project: str | os.PathLike[str],
        *,
        keypoints: Sequence[str] = (),
        skeleton: Sequence[tuple[str, str]] = (),
    ) -> "Project":
        """Make a new project folder; its parent folders are made as well.

        Parameters
        ----------
        project : str or path
            A path, or a name inside `castle_home()`. The folder must not exist, or be empty.
        keypoints, skeleton : sequences
            Names, and pairs of names that are joined by a line.

        Raises
        ------
        ProjectError, NameRefusedError
            If there is something already, or the folder cannot be made.
        """
        path = resolve_project_path(project)
        path = path.with_name(safe_name(path.name))
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ProjectError(f"{path} exists already and is not empty. Open it, or choose another name.")
        make_folder(path)
        made = cls(path)
        make_folder(path / "videos")
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        document = {"format": FORMAT_VERSION, "created": now, "keypoints": [], "skeleton": [], "true_fps": {}}
        atomic_write_json(path / "project.json", document)
        if keypoints or skeleton:
            made.save_keypoints(keypoints, skeleton)
        return made

    @classmethod
    def open_or_create(cls, project: str | os.PathLike[str]) -> tuple["Project", bool]:
        """Open a project, or make it if there is nothing or an empty folder; True is returned where it is new."""
        path = resolve_project_path(project)
        if is_unused(path):
            return cls.create(path), True
        return cls.open(path), False

    # ------------------------------------------------------------------ the folder

    @property
    def name(self) -> str:
        """The folder's name."""
        return nfc(self.path.name)

    @property
    def read_only(self) -> bool:
        """Whether we may not write into the folder."""
        return not os.access(self.path, os.W_OK | os.X_OK)

    @property
    def cache_dir(self) -> Path:
        """The folder of our working files: ``.castle/``, or one under ``CASTLE_STATE`` for a read-only project.

        It is made if it does not exist.

        Raises
        ------
        ProjectError
            If the project is gone, or the folder cannot be made.
        """
        self.require()
        if not self.read_only:
            return make_folder(self.path / ".castle")
        digest = hashlib.sha256(os.fsencode(self.path.resolve())).hexdigest()[:16]
        return make_folder(castle_state() / "cache" / digest)

    def require(self) -> None:
        """Raise `ProjectError` if the folder is gone, so that nothing is made in its place."""
        if not self.path.is_dir():
            raise ProjectError(f"The project folder {self.path} is gone. Was it moved, or the drive unplugged?")

    def require_writable(self) -> None:
        """Raise `ProjectError` if the folder is gone or read-only."""
        self.require()
        if self.read_only:
            raise ProjectError(
                f"The project {self.path} is read-only. Ask for write permission, "
                "or copy the project to a folder of yours."
            )

    # ------------------------------------------------------------------ project.json

    def document(self) -> dict[str, Any]:
        """Return project.json as it is now; empty where there is none."""
        return read_document(self.path / "project.json")

    def update_document(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Let `change` edit project.json under its lock."""
        self.require_writable()
        update_document(self.path / "project.json", change)

    def _update(self, key: str, value: Any) -> None:
        def change(document: dict[str, Any]) -> None:
            document.setdefault("format", FORMAT_VERSION)
            document[key] = value

        self.update_document(change)

    @property
    def keypoints(self) -> tuple[str, ...]:
        """Names of the keypoints: from project.json, else from the first readable label file."""
        named = self.document().get("keypoints")
        if isinstance(named, list) and named:
            return tuple(str(name) for name in named)
        for path in all_label_files(self.path):
            with contextlib.suppress(LabelError):
                if found := read_label_file(path).keypoints:
                    return found
        return ()

    @property
    def skeleton(self) -> tuple[tuple[str, str], ...]:
        """Pairs of keypoints that are joined by a line."""
        pairs = self.document().get("skeleton")
        if not isinstance(pairs, list):
            return ()
        return tuple((str(pair[0]), str(pair[1])) for pair in pairs if isinstance(pair, list) and len(pair) == 2)

    def save_keypoints(self, keypoints: Sequence[str], skeleton: Sequence[tuple[str, str]] = ()) -> None:
        """Save the keypoints' names and the skeleton.

        Raises
        ------
        ConfigError
            If a name is empty or comes twice, or the skeleton joins something that is no keypoint.
        """
        names = [nfc(name.strip()) for name in keypoints]
        if not all(names) or len(set(names)) != len(names):
            raise ConfigError("Each keypoint needs a name of its own. Remove empty and repeated names.")
        pairs = [[nfc(one.strip()), nfc(other.strip())] for one, other in skeleton]
        unknown = sorted({name for pair in pairs for name in pair} - set(names))
        if unknown:
            raise ConfigError(
                f"The skeleton joins {', '.join(unknown)}, which is no keypoint. Add it or remove the line."
            )
        self._update("keypoints", names)
        self._update("skeleton", pairs)

    def settings(self, section: str) -> dict[str, Any]:
        """Return what was saved with `save_settings` under `section`; empty if nothing was."""
        sections = self.document().get("settings")
        value = sections.get(section) if isinstance(sections, dict) else None
        return dict(value) if isinstance(value, dict) else {}

    def save_settings(self, section: str, settings: Mapping[str, Any]) -> None:
        """Save a page's settings (JSON values) in project.json under ``settings/<section>``."""
        self.require_writable()

        def change(document: dict[str, Any]) -> None:
            document.setdefault("format", FORMAT_VERSION)
            document.setdefault("settings", {})[section] = dict(settings)

        update_document(self.path / "project.json", change)

    # ------------------------------------------------------------------ videos

    def _true_fps(self) -> dict[str, float]:
        rates = self.document().get("true_fps")
        if not isinstance(rates, dict):
            return {}
        return {nfc(stem): float(fps) for stem, fps in rates.items() if isinstance(fps, int | float) and fps > 0}

    def videos(self) -> tuple[VideoEntry, ...]:
        """List the videos in ``videos/`` and ``sources/``, sorted by stem; links whose file is gone are listed too."""
        return tuple(list_videos(self.path, self._true_fps())[0])

    def clashing_videos(self) -> tuple[Path, ...]:
        """List files that are left out of `videos` since another video has the same stem (letter case aside)."""
        return tuple(list_videos(self.path, {})[1])

    def video(self, name_or_stem: str) -> VideoEntry:
        """Return the video of this stem or file name.

        Raises
        ------
        ProjectError
            If the project has no such video; the message lists what it has.
        """
        wanted = nfc(name_or_stem)
        videos = self.videos()
        for matches in (
            lambda entry: entry.stem == wanted,
            lambda entry: entry.name == wanted,
            lambda entry: str(entry.path) == name_or_stem,
        ):
            for entry in videos:
                if matches(entry):
                    return entry
        self.require()
        known = ", ".join(entry.name for entry in videos[:5]) + (", …" if len(videos) > 5 else "")
        raise ProjectError(
            f"The project {self.name} has no video {name_or_stem!r}. "
            + (f"It has: {known}." if known else "It has no videos yet: add some first.")
        )

    def open_video(self, name_or_stem: str) -> "Video":
        """Open a video with the project's index cache and the frame rate that the user has set.

        Raises
        ------
        ProjectError, VideoError
            If the project has no such video, the linked file is gone, or it cannot be read.
        """
        from castle_core.video import open_video

        entry = self.video(name_or_stem)
        if entry.missing:
            where = f" ({os.readlink(entry.path)})" if entry.is_link else ""
            raise VideoError(
                f"The file that {entry.name} links to{where} is gone. Plug in its drive, "
                "or remove the link and add the video again."
            )
        return open_video(entry.path, cache_dir=make_folder(self.cache_dir / "index"), true_fps=entry.true_fps)

    def set_true_fps(self, stem: str, fps: float | None) -> None:
        """Set the true frame rate (frames a second) of a video, or forget it with None.

        Raises
        ------
        ConfigError
            If it is not a positive number up to a million.
        """
        entry = self.video(stem)
        if fps is not None and not (math.isfinite(fps) and 0 < fps <= 1e6):
            raise ConfigError(f"A frame rate must be a positive number of frames a second, not {fps}.")
        self.require_writable()

        def change(document: dict[str, Any]) -> None:
            document.setdefault("format", FORMAT_VERSION)
            rates = document.setdefault("true_fps", {})
            if fps is None:
                rates.pop(entry.stem, None)
            else:
                rates[entry.stem] = float(fps)

        update_document(self.path / "project.json", change)

    def offer_name(self, source: str | os.PathLike[str]) -> str:
        """Return a stem under which `source` can be added (see `castle_core.projects.adding.offer_name`)."""
        return adding.offer_name(self, Path(source))

    def link_video(self, source: str | os.PathLike[str], stem: str | None = None) -> VideoEntry:
        """Link a video that lies elsewhere into ``videos/`` (see `castle_core.projects.adding.link_video`)."""
        return adding.link_video(self, Path(source), stem)

    def adopt_video(self, finished: Path, name: str, task: Task = QUIET) -> VideoEntry:
        """Move a finished upload into ``videos/`` (see `castle_core.projects.adding.adopt_video`)."""
        return adding.adopt_video(self, finished, name, task)

    def remove_video(self, name_or_stem: str) -> tuple[Path, ...]:
        """Take a video out of the project (see `castle_core.projects.removing.remove_video`)."""
        return removing.remove_video(self, name_or_stem)

    def require_video(self, name_or_path: str, stem: str | None = None) -> VideoEntry:
        """Return a video of the project by name, stem or path; a video file that lies elsewhere is linked first.

        Parameters
        ----------
        name_or_path : str
        stem : str, optional
            What a file that is linked is called in the project.

        Raises
        ------
        ProjectError, NameRefusedError, VideoError
            If there is neither such a video nor such a file, or it cannot be linked.
        """
        try:
            return self.video(name_or_path)
        except ProjectError:
            if not Path(name_or_path).is_file():
                raise
        return self.link_video(name_or_path, stem)

    def has_proxy(self, stem: str) -> bool:
        """Whether there is a browser-playable copy of a video as it is now: the copy carries the time of its source."""
        try:
            copied, now = self.proxy_path(stem).stat().st_mtime_ns, self.video(stem).path.stat().st_mtime_ns
            return abs(copied - now) <= _SAME_TIME_NS
        except OSError:
            return False

    def proxy_path(self, stem: str) -> Path:
        """Return where the browser-playable copy of a video is or would be."""
        name = f"{self.video(stem).stem}.mp4"
        if len(os.fsencode(name)) > 255:
            name = hashlib.sha256(os.fsencode(name)).hexdigest() + ".mp4"
        return self.cache_dir / "proxies" / name

    def register_source(self, stem: str) -> Path:
        """Make a video visible to CASTLE (see `castle_core.projects.castle_registry.register_source`)."""
        return castle_registry.register_source(self, stem)

    def register_latent(self, npz_name: str, stem: str) -> None:
        """List a latent file in CASTLE's config.json (see `castle_core.projects.castle_registry.register_latent`)."""
        castle_registry.register_latent(self, npz_name, stem)

    # ------------------------------------------------------------------ frames

    def frames_folder(self, stem: str) -> Path:
        """Return ``labeled-data/<stem>``, which need not exist; a folder of the same name in NFD is the same."""
        folder = self.path / "labeled-data" / safe_name(stem)
        if not folder.is_dir() and not nfc(stem).isascii():
            with contextlib.suppress(OSError):
                for other in folder.parent.iterdir():
                    if nfc(other.name) == nfc(stem):
                        return other
        return folder

    def frame_folders(self) -> list[str]:
        """List the stems that have a folder in ``labeled-data``, with or without a video in the project."""
        try:
            folders = [entry for entry in (self.path / "labeled-data").iterdir() if entry.is_dir()]
        except OSError:
            return []
        return sorted(nfc(folder.name) for folder in folders if not folder.name.startswith(".castle-"))

    def selected(self, stem: str) -> dict[int, str]:
        """Return the frames in a video's selected_frames.csv: frame index → file name, sorted by index."""
        from castle_core.frames.names import read_selected

        return read_selected(self.frames_folder(stem))

    def label_rows(self, stem: str) -> tuple[LabelRow, ...]:
        """Return the rows of a video in all label files.

        Raises
        ------
        LabelError
            If a label file cannot be read.
        """
        rows = (row for path in all_label_files(self.path) for row in read_label_file(path).rows)
        return tuple(row for row in rows if row.folder == nfc(stem))

    def labelled(self, stem: str) -> frozenset[int]:
        """Return the frame indices of a video that have a row in a label file, also where no animal was marked.

        Raises
        ------
        LabelError
            If a label file cannot be read.
        """
        return frozenset(row.frame_index for row in self.label_rows(stem) if row.frame_index is not None)

    def covered(self, stem: str) -> tuple[int, ...]:
        """Return the frame indices, sorted, that need not be picked again: selected, labelled, or on disk before us."""
        from castle_core.frames.names import images_by_index
        from castle_core.frames.record import read_record

        folder = self.frames_folder(stem)
        covered = set(self.selected(stem)) | self.labelled(stem)
        if (folder / "selected_frames.csv").exists():
            covered |= set(read_record(folder).found_indices)
        else:
            covered |= set(images_by_index(folder))
        return tuple(sorted(covered))

    def counts(self) -> ProjectCounts:
        """Count videos, selected and labelled frames and latent files; unreadable label files count as empty."""
        labelled = set()
        for path in all_label_files(self.path):
            with contextlib.suppress(LabelError):
                labelled |= {(row.folder, row.name) for row in read_label_file(path).rows}
        latents = {path for place in LATENT_PLACES for path in self.path.glob(place)}
        selected = sum(len(self.selected(stem)) for stem in self.frame_folders())
        return ProjectCounts(len(self.videos()), selected, len(labelled), len(latents))
