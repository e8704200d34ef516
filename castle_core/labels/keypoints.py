"""The keypoints of a project: read from files of other tools, and renamed everywhere at once."""

import csv
import io
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from castle_core.errors import CastleError, LabelError, PredictionError
from castle_core.files import atomic_path, locked, nfc
from castle_core.labelled import all_label_files
from castle_core.labels.collected_data import read_collected_data, read_table
from castle_core.labels.in_project import keep_last_good

if TYPE_CHECKING:
    from castle_core.projects import Project

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Skeleton:
    """Keypoints with the lines between them, as a file says.

    Attributes
    ----------
    keypoints : tuple of str
    pairs : tuple of pairs
    individuals : tuple of str
        Names of several animals; empty where there is one.
    """

    keypoints: tuple[str, ...]
    pairs: Pairs = ()
    individuals: tuple[str, ...] = ()


def read_keypoints(path: Path) -> Skeleton:
    """Read the names of keypoints, and the skeleton where the file has one.

    Taken are label files and predictions (csv, h5), DeepLabCut's ``config.yaml``, Lightning Pose's configuration,
    ``.slp``, and COCO keypoints.

    Raises
    ------
    LabelError
        If the file holds no keypoints, or is of another kind; the message lists the kinds.
    """
    suffix = path.name.lower().rsplit(".", 1)[-1]
    if suffix in {"yaml", "yml"}:
        found = _from_yaml(path)
    elif suffix == "slp":
        found = _from_slp(path)
    elif suffix == "json":
        found = _from_coco(path)
    elif suffix in {"csv", "h5", "hdf5"}:
        found = _from_table(path)
    else:
        raise LabelError(
            f"{path.name}: keypoints are read from CollectedData.csv, predictions (csv, h5), DeepLabCut's config.yaml, "
            ".slp and COCO .json."
        )
    if not found.keypoints:
        raise LabelError(f"{path.name} names no keypoints. Choose another file.")
    return found


def _from_table(path: Path) -> Skeleton:
    if path.suffix.lower() == ".csv":
        try:
            table = read_table(path)
        except LabelError:
            pass
        else:
            animals = tuple(dict.fromkeys(animal for animal, _, _ in table.columns if animal))
            return Skeleton(tuple(dict.fromkeys(part for _, part, _ in table.columns)), (), animals)
    from castle_core.predictions import load_predictions

    try:
        predictions = load_predictions(path)
    except PredictionError as error:
        if path.suffix.lower() != ".csv":
            from castle_core.labels.deeplabcut import read_dlc_labels_h5

            labels = read_dlc_labels_h5(path)
            return Skeleton(labels.keypoints, (), tuple(name for name in labels.individuals if name))
        raise LabelError(str(error)) from error
    animals = tuple(dict.fromkeys(name for name in predictions.individuals if name))
    names = predictions.keypoints
    if len(animals) > 1:
        names = tuple(
            name.removeprefix(f"{animal} ") for name, animal in zip(names, predictions.individuals, strict=True)
        )
    return Skeleton(tuple(dict.fromkeys(names)), (), animals if len(animals) > 1 else ())


def _from_yaml(path: Path) -> Skeleton:
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise LabelError(f"Cannot read {path}: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LabelError(f"{path.name} is no YAML file ({' '.join(str(error).split())[:120]}).") from error
    if not isinstance(document, dict):
        raise LabelError(f"{path.name} holds no settings. Choose DeepLabCut's config.yaml.")
    several = document.get("multianimalbodyparts")
    unique = document.get("uniquebodyparts")
    data = document.get("data")
    names = several if isinstance(several, list) and several else document.get("bodyparts")
    if not isinstance(names, list) and isinstance(data, dict):
        names = data.get("keypoint_names") or data.get("keypoints")
    if not isinstance(names, list):
        names = document.get("keypoint_names")
    listed = [*(names if isinstance(names, list) else ()), *(unique if isinstance(unique, list) else ())]
    keypoints = tuple(dict.fromkeys(nfc(str(name).strip()) for name in listed))
    individuals = document.get("individuals") if document.get("multianimalproject") else None
    return Skeleton(
        keypoints,
        _pairs(document.get("skeleton"), keypoints),
        tuple(str(name) for name in individuals) if isinstance(individuals, list) else (),
    )


def _pairs(listed: Any, keypoints: tuple[str, ...]) -> Pairs:
    """Return the lines of a skeleton; a longer chain joins each with its next, and unknown names are left out."""
    pairs = []
    for chain in listed if isinstance(listed, list) else ():
        names = [nfc(str(name).strip()) for name in chain] if isinstance(chain, list) else []
        pairs += [(a, b) for a, b in itertools.pairwise(names) if a in keypoints and b in keypoints]
    return tuple(dict.fromkeys(pairs))


def _from_slp(path: Path) -> Skeleton:
    from castle_core.labels.sleap import require_sleap_io

    sio = require_sleap_io()
    try:
        document = sio.load_slp(str(path), open_videos=False)
    except Exception as error:  # sleap-io lets through whatever h5py, json and numpy raise
        raise LabelError(f"{path.name} is no readable SLEAP file ({type(error).__name__}). Save it again.") from error
    names = tuple(dict.fromkeys(nfc(node.name) for skeleton in document.skeletons for node in skeleton.nodes))
    pairs = tuple(
        dict.fromkeys(
            (nfc(edge.source.name), nfc(edge.destination.name))
            for skeleton in document.skeletons
            for edge in skeleton.edges
        )
    )
    return Skeleton(names, pairs, tuple(nfc(track.name) for track in document.tracks))


def _from_coco(path: Path) -> Skeleton:
    try:
        categories = json.loads(path.read_text(encoding="utf-8-sig"))["categories"]
        names: dict[str, None] = {}
        pairs: dict[tuple[str, str], None] = {}
        for category in categories:
            listed = [nfc(str(name)) for name in category.get("keypoints", ())]
            names |= dict.fromkeys(listed)
            pairs |= dict.fromkeys((listed[a - 1], listed[b - 1]) for a, b in category.get("skeleton") or ())
    except OSError as error:
        raise LabelError(f"Cannot read {path}: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise LabelError(f"{path.name} is no COCO keypoints file ({type(error).__name__}: {error}).") from error
    return Skeleton(tuple(names), tuple(pairs))


def keypoint_files(project: "Project") -> list[Path]:
    """Return the files of a project from which keypoints can be read: labels, configurations, models, ``.slp``."""
    from castle_core.predictions import find_models

    paths = [path for path in (project.path / "config.yaml", project.path / "config.yml") if path.is_file()]
    paths += sorted(project.path.glob("*.slp"))
    for model in find_models(project.path, [video.stem for video in project.videos()]):
        paths += [model.config] if model.config is not None and model.config.suffix in {".yaml", ".yml"} else []
        paths += [file.path for file in model.files[:1]]
    return [*all_label_files(project.path), *paths]


@dataclass(frozen=True)
class Renamed:
    """What a renaming changed: the label files, and what is left to do elsewhere."""

    files: tuple[Path, ...]
    warnings: tuple[str, ...]


def rename_keypoint(project: "Project", old: str, new: str) -> Renamed:
    """Give a keypoint another name: in all label files of the project, its list of keypoints and its skeleton.

    Only the header's cells change; the files as they were are kept in ``.castle/last-good``. An ``.h5`` beside a
    renamed csv of DeepLabCut is written anew.

    Raises
    ------
    LabelError
        If there is no such keypoint, the new name is taken, empty or has a line break, or a label file is damaged:
        nothing is changed then.
    """
    project.require_writable()
    old, new = nfc(old.strip()), nfc(new.strip())
    if not new or any(ord(letter) < 32 for letter in new):
        raise LabelError("A keypoint needs a name of its own, on one line.")
    files = all_label_files(project.path)
    only_h5 = [path for path in files if path.suffix.lower() == ".h5"]
    changes: dict[Path, str] = {}
    for path in files:
        if path in only_h5:
            from castle_core.labels.deeplabcut import read_dlc_labels_h5

            if old in read_dlc_labels_h5(path).keypoints:
                raise LabelError(f"{path} has no csv beside it. Export the labels from DeepLabCut as csv first.")
            continue
        text = _renamed_text(path, old, new)
        if text is not None:
            changes[path] = text
    names = project.keypoints
    if not changes and old not in names:
        raise LabelError(f"The project {project.name} has no keypoint {old!r}. It has: {', '.join(names)}.")
    if new != old and new in names:
        raise LabelError(f"There is already a keypoint {new!r}. Choose another name.")
    warnings = []
    for path, text in changes.items():
        with locked(path):
            current = _renamed_text(path, old, new)
            if current is None:
                continue
            keep_last_good(project, path)
            with atomic_path(path) as temporary:
                temporary.write_bytes((current or text).encode("utf-8"))
            _renew_h5(project, path)
    if len(names) and project.document().get("keypoints"):
        swap = {old: new}
        project.save_keypoints(
            [swap.get(name, name) for name in names],
            [(swap.get(a, a), swap.get(b, b)) for a, b in project.skeleton],
        )
    if project.settings("label_studio"):
        warnings.append(
            f"Label Studio still calls it {old!r}, and keeps that name on labels that are there. Push once more to add "
            f"{new!r} to its list; labels that come back as {old!r} are reported as unknown."
        )
    if (project.path / "config.yaml").is_file():
        warnings.append(f"config.yaml of DeepLabCut may still name {old!r} in bodyparts and skeleton. Change it there.")
    if any(project.path.glob("models/**/config.yaml")):
        warnings.append(f"Models that were trained before still predict {old!r}.")
    return Renamed(tuple(changes), tuple(warnings))


def _renamed_text(path: Path, old: str, new: str) -> str | None:
    """Return the content of a label file with another name in its header; None if it does not have the old one."""
    table = read_table(path)
    parts = {part for _, part, _ in table.columns}
    if old not in parts:
        return None
    if new != old and new in parts:
        raise LabelError(f"{path} has already a keypoint {new!r}. Choose another name.")
    text = path.read_bytes().decode("utf-8")
    reader = csv.reader(io.StringIO(text.removeprefix(table.mark), newline=""))
    rows = list(reader)
    at = next(number for number, row in enumerate(rows) if row and row[0].strip().lower() == "bodyparts")
    lines = text.removeprefix(table.mark).split(table.line_end)
    row = [new if place >= table.n_index and nfc(cell.strip()) == old else cell for place, cell in enumerate(rows[at])]
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="").writerow(row)
    if any("\n" in cell for cells in rows[: at + 1] for cell in cells) or len(lines) <= at:
        raise LabelError(f"{path} has line breaks in its header. Save it again without them.")
    lines[at] = out.getvalue()
    return table.mark + table.line_end.join(lines)


def _renew_h5(project: "Project", path: Path) -> None:
    from castle_core.labels.deeplabcut import labels_h5

    h5 = path.with_suffix(".h5")
    if not h5.is_file():
        return
    data = labels_h5(read_collected_data(path))
    keep_last_good(project, h5)
    with atomic_path(h5) as temporary:
        temporary.write_bytes(data)


def keypoint_sources(project: "Project") -> dict[str, Skeleton]:
    """Return what each file of `keypoint_files` says, by its path in the project; unreadable files are left out."""
    found = {}
    for path in keypoint_files(project):
        try:
            found[path.relative_to(project.path).as_posix()] = read_keypoints(path)
        except CastleError:
            continue
    return found
