"""COCO keypoints: one JSON file with images, categories and annotations, both ways.

Every labelled frame is an image of the file; one without annotations is a frame in which there is no animal. Animals
that have the same keypoints share a category. What COCO has no place for (the scorer, the animals' names) is in
``info`` and in ``individual`` of each annotation; other readers pass over it.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from castle_core.errors import LabelError
from castle_core.files import nfc
from castle_core.labelled import image_folder
from castle_core.labels.contents import Contents
from castle_core.labels.images import image_file, image_size
from castle_core.labels.model import Labels, image_path

if TYPE_CHECKING:
    from castle_core.projects import Project

ANNOTATIONS = "annotations.json"
_OURS = "castle-studio labels"


def coco_contents(project: "Project", labels: Labels, skeleton: tuple[tuple[str, str], ...] = ()) -> Contents:
    """Return ``annotations.json`` and the images, at the paths that it names.

    Raises
    ------
    LabelError
        If an image is missing or damaged: COCO needs its size.
    """
    labels = labels.ordered()
    files = {frame: image_file(project, frame) for frame in labels.frames}
    sizes = {frame: image_size(path) for frame, path in files.items()}
    document = coco_document(labels, sizes, skeleton)
    contents = Contents()
    contents.add(ANNOTATIONS, (json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8"))
    for frame, path in files.items():
        contents.add(frame, path)
    return contents


def coco_document(
    labels: Labels, sizes: dict[str, tuple[int, int]], skeleton: tuple[tuple[str, str], ...] = ()
) -> dict[str, Any]:
    """Return labels as a COCO document.

    Parameters
    ----------
    labels : Labels
    sizes : dict
        Frame → (width, height) of its image in pixels.
    skeleton : pairs of str
        Keypoints that are joined by a line.
    """
    sets = list(dict.fromkeys(tuple(bool(one) for one in row) for row in labels.has))
    categories = []
    for number, members in enumerate(sets, 1):
        names = [name for name, one in zip(labels.keypoints, members, strict=True) if one]
        joined = [[names.index(a) + 1, names.index(b) + 1] for a, b in skeleton if a in names and b in names]
        name = "animal" if number == 1 else f"animal_{number}"
        entry = {"id": number, "name": name, "supercategory": "animal", "keypoints": names, "skeleton": joined}
        categories.append(entry)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for row, frame in enumerate(labels.frames):
        width, height = sizes[frame]
        images.append({"id": row + 1, "file_name": frame, "width": width, "height": height})
        for i, individual in enumerate(labels.individuals):
            there = labels.labelled[row, i]
            if not there.any():
                continue
            members = labels.has[i]
            entry = _annotation(labels, row, i, there, members)
            entry |= {"id": len(annotations) + 1, "image_id": row + 1, "iscrowd": 0}
            entry |= {"category_id": sets.index(tuple(bool(one) for one in members)) + 1}
            if individual:
                entry |= {"individual": individual, "track_id": i + 1}
            annotations.append(entry)
    info = {
        "description": _OURS,
        "scorer": labels.scorer,
        "individuals": list(labels.individuals),
        "keypoints": list(labels.keypoints),
        "has": labels.has.tolist(),
        "visible": labels.visible is not None,
    }
    return {"info": info, "licenses": [], "images": images, "annotations": annotations, "categories": categories}


def _annotation(labels: Labels, row: int, i: int, there: np.ndarray, members: np.ndarray) -> dict[str, Any]:
    points = labels.xy[row, i][there]
    low, high = points.min(axis=0), points.max(axis=0)
    side = np.maximum(high - low, 1.0)  # one point still has a box, since readers drop boxes without an area
    keypoints: list[float] = []
    for k in np.flatnonzero(members):
        if not there[k]:
            keypoints += [0.0, 0.0, 0]
            continue
        seen = 2 if labels.visible is None or not np.isfinite(labels.visible[row, i, k]) else labels.visible[row, i, k]
        keypoints += [float(labels.xy[row, i, k, 0]), float(labels.xy[row, i, k, 1]), int(seen)]
    return {
        "keypoints": keypoints,
        "num_keypoints": int(there.sum()),
        "bbox": [float(low[0]), float(low[1]), float(side[0]), float(side[1])],
        "area": float(side[0] * side[1]),
    }


def read_coco(path: Path) -> Labels:
    """Read a COCO keypoints file.

    Annotations without a name or track are told apart by their order in the image. An image without annotations is a
    frame without an animal.

    Raises
    ------
    LabelError
        If it is no COCO keypoints file; the message says what is missing.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
        return _labels(path, document)
    except OSError as error:
        raise LabelError(f"Cannot read {path}: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise LabelError(
            f"{path} is no COCO keypoints file ({type(error).__name__}: {error}). Export the keypoints again."
        ) from error


def _labels(path: Path, document: dict[str, Any]) -> Labels:
    categories = {entry["id"]: [nfc(name) for name in entry["keypoints"]] for entry in document["categories"]}
    found = document.get("info")
    info: dict[str, Any] = found if isinstance(found, dict) else {}
    ours = info.get("description") == _OURS
    keypoints = tuple(dict.fromkeys(name for names in categories.values() for name in names))
    if ours:
        keypoints = tuple(info["keypoints"])
    frames: dict[Any, str] = {}
    for image in document["images"]:
        parts = [part for part in str(image["file_name"]).replace("\\", "/").split("/") if part]
        frames[image["id"]] = image_path(image_folder(parts, path), parts[-1])
    row_of = {frame: row for row, frame in enumerate(dict.fromkeys(frames.values()))}
    named: list[tuple[int, str, dict[str, Any]]] = []
    taken: dict[int, set[str]] = {}
    for entry in document["annotations"]:
        row = row_of[frames[entry["image_id"]]]
        track = entry.get("track_id")
        name = str(entry.get("individual") or (f"track_{track}" if track is not None else ""))
        seen_names = taken.setdefault(row, set())
        if not name or name in seen_names:
            name = next(n for k in range(1, 10**6) if (n := f"animal_{k}") not in seen_names)
        seen_names.add(name)
        named.append((row, nfc(name), entry))
    individuals = tuple(info["individuals"]) if ours else tuple(sorted({name for _, name, _ in named}))
    if ours and individuals == ("",):
        named = [(row, "", entry) for row, _, entry in named]
    elif not ours and len(individuals) <= 1:
        individuals, named = ("",), [(row, "", entry) for row, _, entry in named]
    shape = (len(row_of), len(individuals), len(keypoints))
    xy, visible = np.full((*shape, 2), np.nan), np.zeros(shape)
    has = np.array(info["has"] if ours else np.zeros(shape[1:]), np.bool_)
    for row, name, entry in named:
        names = categories[entry["category_id"]]
        points = np.array(entry["keypoints"], np.float64).reshape(len(names), 3)
        i = individuals.index(name)
        for keypoint, (x, y, seen) in zip(names, points, strict=True):
            k = keypoints.index(keypoint)
            has[i, k] = True
            visible[row, i, k] = seen
            if seen > 0:
                xy[row, i, k] = x, y
    keep = bool(info["visible"]) if ours else bool((visible == 1).any())
    empty = frozenset(frame for frame, row in row_of.items() if not np.isfinite(xy[row]).any())
    if not has.any():
        has[:] = True
    scorer = str(info.get("scorer", "")) if ours else ""
    return Labels(keypoints, individuals, tuple(row_of), xy, visible if keep else None, scorer, empty, has)
