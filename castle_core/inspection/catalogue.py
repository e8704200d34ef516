"""The latent files of a project, each with its settings in words."""

import contextlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from castle_core.errors import CastleError
from castle_core.files import nfc
from castle_core.inspection.sampling import every_words
from castle_core.latents.npz import read_companions
from castle_core.projects import LATENT_PLACES

if TYPE_CHECKING:
    from castle_core.projects import Project

Kind = Literal["rows", "map"]
_NAME = re.compile(r"(?P<stem>.+)_ROI_(?P<roi>\d+)_(?P<rest>.+)")
_POOLINGS = {
    "roi-mean": "ROI mean",
    "cls": "CLS token",
    "global": "global average",
    "point": "point",
    "none": "feature map",
}
_TAGS = {"ctr": "centred", "rmbg": "background removed", "cls": "CLS token", "gap": "global average"}


@dataclass(frozen=True)
class LatentFile:
    """One latent file.

    Attributes
    ----------
    path : Path
    relative : str
        Its path inside the project, with ``/``: names it in addresses and settings.
    stem : str
        Its video's stem; the beginning of the file's name where the project has no such video.
    roi_id : int or None
    kind : {"rows", "map"}
        One row a frame (.npz), or a feature map (.h5).
    model : str
    words : tuple of str
        The settings, one short phrase each.
    metadata : dict
        Empty in foreign files without it.
    """

    path: Path
    relative: str
    stem: str
    roi_id: int | None
    kind: Kind
    model: str
    words: tuple[str, ...]
    metadata: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def title(self) -> str:
        """What tells it from the other files of its video."""
        roi = "" if self.roi_id is None else " · whole frame" if self.roi_id == 0 else f" · ROI {self.roi_id}"
        return f"{self.model}{roi}"


def list_latent_files(project: "Project") -> tuple[LatentFile, ...]:
    """List the latent files of a project, by video, model and name. Unreadable metadata leaves the name to tell."""
    stems = {video.stem for video in project.videos()}
    registered = _registered(project)
    found = []
    for pattern in LATENT_PLACES:
        for path in project.path.glob(pattern):
            found.append(_describe(project, path, stems, registered))
    return tuple(sorted(found, key=lambda file: (file.stem, file.model, file.relative)))


def find_latent_file(project: "Project", relative: str) -> LatentFile:
    """Return the listed file of this relative path.

    Raises
    ------
    CastleError
        If it is not there: a path from a browser never leaves the project's latents.
    """
    path = latent_path(project, relative)
    return _describe(project, path, {video.stem for video in project.videos()}, _registered(project))


def latent_path(project: "Project", relative: str) -> Path:
    """Return the path of a listed file, without looking into it; raises as `find_latent_file` does."""
    place = PurePosixPath(relative)
    listed = any(len(place.parts) == each.count("/") + 1 and place.match(each) for each in LATENT_PLACES)
    path = project.path / place
    if not listed or ".." in place.parts or not path.is_file():
        raise CastleError(f"There is no latent file {relative} any more. Choose another one.")
    return path


def _registered(project: "Project") -> dict[str, str]:
    """CASTLE's own register: latent file → video."""
    try:
        latent = json.loads((project.path / "config.json").read_text(encoding="utf-8")).get("latent")
    except (OSError, ValueError, AttributeError):
        return {}
    return {str(k): Path(str(v)).stem for k, v in latent.items()} if isinstance(latent, dict) else {}


def _describe(project: "Project", path: Path, stems: set[str], registered: dict[str, str]) -> LatentFile:
    kind: Kind = "map" if path.suffix == ".h5" else "rows"
    metadata = _metadata(path, kind)
    relative = path.relative_to(project.path).as_posix()
    name = nfc(path.name.removesuffix(".npz").removesuffix("_map.h5"))
    match = _NAME.fullmatch(name)
    rest = match["rest"] if match else ""
    named = nfc(Path(str(metadata.get("video_name") or "")).stem) or nfc(registered.get(path.name, ""))
    guessed = max((s for s in stems if name == s or name.startswith(f"{s}_")), key=len, default="")
    stem = named if named in stems else guessed or named or (match["stem"] if match else name)
    roi = metadata.get("roi_id", int(match["roi"]) if match else None)
    folder = path.parent.name
    model = str(metadata.get("model_name") or ("unknown model" if folder == "latent" else folder))
    words = _words(metadata) if metadata.get("identity") else _words_of_name(rest.removeprefix(model), kind)
    return LatentFile(path, relative, stem, roi if isinstance(roi, int) else None, kind, model, words, metadata)


def _metadata(path: Path, kind: Kind) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        value = json.loads(path.with_name(path.name + ".json").read_text(encoding="utf-8"))
        if isinstance(value, dict):
            return value
    with contextlib.suppress(CastleError):
        if kind == "map":
            from castle_core.latents.maps import read_map_metadata

            return read_map_metadata(path)[0]
        return dict(read_companions(path)["metadata"])
    return {}


def _words(metadata: dict[str, Any]) -> tuple[str, ...]:
    identity = metadata["identity"]
    pre = metadata.get("preprocessing") or {}
    said = [_POOLINGS.get(str(metadata.get("pooling")), "")]
    if metadata.get("point"):
        said[0] = f"at the point {metadata['point']} ({identity.get('interpolation')})"
    if angles := metadata.get("rotation_angles"):
        said[0] = f"rotation latent over {angles} angles" + (", each kept" if identity.get("stack") else "")
    if pre.get("center_roi") is not None:
        said.append(f"centred on ROI {pre['center_roi']}, crop {pre.get('crop_width')} × {pre.get('crop_height')} px")
        if pre.get("tail_roi") is not None:
            said.append(f"rotated by tail ROI {pre['tail_roi']}")
        if pre.get("smooth_s"):
            said.append(f"smoothed over {pre['smooth_s']} s")
    else:
        said.append("whole frame as it is")
    if pre.get("remove_background"):
        keep = "this ROI" if pre["remove_background"] == "roi" else "all ROIs"
        said.append(f"background removed (keeps {keep})")
    if pre.get("letterbox"):
        said.append("letterboxed")
    if (every := identity.get("every", 1)) != 1:
        said.append(every_words(every))
    said.append(f"input {metadata.get('input_size')} px, {metadata.get('precision')}")
    return tuple(word for word in said if word)


def _words_of_name(tags: str, kind: Kind) -> tuple[str, ...]:
    if tags == "rotation_latent":
        return ("rotation latent", "other settings not recorded")
    said = [word for tag, word in _TAGS.items() if tag in tags.split("_")]
    first = "feature map" if kind == "map" else "" if {"cls", "gap"} & set(tags.split("_")) else "ROI mean"
    return tuple(word for word in (first, *said, "other settings not recorded") if word)
