"""Finds models and what they predicted in a project's ``models`` folder, wherever the tools put it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from castle_core.errors import PredictionError

METRICS = {
    "temporal_norm": "_temporal_norm.csv",
    "pca_singleview": "_pca_singleview_error.csv",
    "pca_multiview": "_pca_multiview_error.csv",
}
"""Metric of Lightning Pose to the end of its file name."""

METRIC_NAMES = ", ".join(f"*{ending}" for ending in METRICS.values())

_NOT_PREDICTIONS = ("_temporal_norm.csv", "_error.csv", "_short.csv", "_metrics.csv")
_INFERENCE_FOLDERS = ("video_preds", "videos_infer")
_MODEL_FILES = {"config.yaml", "config.yml", "pose_cfg.yaml", "training_config.json", "training_config.yaml"}
_SUFFIXES = {".csv", ".h5", ".slp"}


@dataclass(frozen=True)
class PredictionFile:
    """One model's predictions of one video.

    Attributes
    ----------
    model : str
        Name of the model: its folder below ``models``, e.g. ``2026-01-12/09-30-00``.
    stem : str
        Stem of the video.
    path : Path
        The file.
    metrics : dict
        Metric name (keys of `METRICS`) to its file, as far as there are any.
    """

    model: str
    stem: str
    path: Path
    metrics: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelFolder:
    """One model of a project.

    Attributes
    ----------
    name : str
        Its folder below ``models``.
    path : Path
        The folder.
    files : tuple of PredictionFile
        Its predictions of videos, sorted by stem; empty for a model that has not been run on any.
    config : Path or None
        Its ``config.yaml``.
    """

    name: str
    path: Path
    files: tuple[PredictionFile, ...]
    config: Path | None

    def hint(self, project: Path) -> str:
        """Say how to run a model that has no predictions."""
        return (
            f"The model {self.name} has not been run on a video yet. Run: "
            f"litpose predict '{self.path}' '{project / 'videos'}'  - or upload its prediction files."
        )


def find_models(project: Path, stems: Sequence[str] = ()) -> list[ModelFolder]:
    """Return the project's models, sorted by name.

    Read are ``models/<day>/<time>/video_preds*/<stem>.csv``, ``video_preds/<file>.mp4/predictions.csv``,
    ``videos_infer/`` and ``models/<name>/<stem>.csv|.h5|.slp``. Predictions on labelled frames (``predictions.csv``
    in the model's folder) and metric files are no predictions of a video and are left out.

    Parameters
    ----------
    project : Path
        The project's folder.
    stems : sequence of str
        Stems of the project's videos. A file named by one of them with a tool's addition (``<stem>DLC_…``) is
        known by it; without, the file's own name is the stem.
    """
    root = project / "models"
    folders: dict[Path, list[Path]] = {}
    for path in _walk(root):
        home = _model_folder(root, path)
        if home is not None:
            folders.setdefault(home, []).append(path)
    models = []
    for folder, paths in folders.items():
        files: dict[str, PredictionFile] = {}
        name = folder.relative_to(root).as_posix()
        for path in sorted(paths, key=lambda p: (p.suffix.lower() != ".csv", p.as_posix())):
            stem = _video_stem(folder, path, stems)
            # of two files of one video the first counts: csv before h5, and DeepLabCut's filtered one is another
            if stem is not None and stem not in files:
                files[stem] = PredictionFile(name, stem, path, _metrics_of(path, stem))
        config = next((p for p in paths if p.name in _MODEL_FILES and p.parent == folder), None)
        if files or config is not None:
            models.append(ModelFolder(name, folder, tuple(files[stem] for stem in sorted(files)), config))
    return sorted(models, key=lambda model: model.name)


def find_predictions(project: Path, stems: Sequence[str] = (), *, model: str | None = None) -> list[PredictionFile]:
    """Return every prediction file of the project, of one model when named; see `find_models`."""
    return [file for folder in find_models(project, stems) if model in {None, folder.name} for file in folder.files]


def _walk(root: Path) -> Iterator[Path]:
    """Yield the files below `root` that may be predictions or configurations, six folders deep."""
    pending = [(root, 0)]
    while pending:
        folder, depth = pending.pop()
        try:
            entries = sorted(folder.iterdir())
        except OSError:
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                if depth < 6 and not (
                    entry.is_symlink() and root.resolve() in [entry.resolve(), *entry.resolve().parents]
                ):
                    pending.append((entry, depth + 1))
            elif entry.suffix.lower() in _SUFFIXES or entry.name in _MODEL_FILES:
                yield entry


def _model_folder(root: Path, path: Path) -> Path | None:
    """Return the model that a file belongs to: what is above its folder of inference, else its own folder."""
    parents = path.relative_to(root).parts[:-1]
    for position, part in enumerate(parents):
        if part.startswith(_INFERENCE_FOLDERS):
            return root.joinpath(*parents[:position]) if position else None
    if not parents:
        return None
    return root.joinpath(*parents)


def _video_stem(folder: Path, path: Path, stems: Sequence[str]) -> str | None:
    """Return the video of a prediction file; None if it holds no predictions of a video."""
    name = path.name
    if path.suffix.lower() not in _SUFFIXES or name.lower().endswith(_NOT_PREDICTIONS) or "_error" in name.lower():
        return None
    if name == "predictions.csv" and path.parent != folder and not path.parent.name.startswith(_INFERENCE_FOLDERS):
        return _match(Path(path.parent.name).stem if "." in path.parent.name else path.parent.name, stems)
    if path.parent == folder and (name == "predictions.csv" or name.startswith(("predictions_", "CollectedData"))):
        return None  # Lightning Pose's predictions on labelled frames
    if name.startswith("CollectedData") or name == "labels.csv":
        return None
    return _match(path.stem, stems)


def _match(name: str, stems: Sequence[str]) -> str:
    if name in stems:
        return name
    for stem in sorted(stems, key=len, reverse=True):
        rest = name[len(stem) :]
        if name.startswith(stem) and rest.startswith(("DLC", ".", "_eks", "_filtered", "_el")):
            return stem
    for ending in (".predictions", ".analysis"):
        name = name.removesuffix(ending)
    return Path(name).stem if Path(name).suffix.lower() in {".mp4", ".avi", ".mov", ".mkv"} else name


def _metrics_of(path: Path, stem: str) -> dict[str, Path]:
    found = {}
    for metric, ending in METRICS.items():
        for start in dict.fromkeys((path.stem, stem)):
            candidate = path.with_name(start + ending)
            if candidate.is_file():
                found[metric] = candidate
                break
    return found


def metrics_by_name(paths: Sequence[Path]) -> dict[str, Path]:
    """Tell metric files apart by the end of their names.

    Raises
    ------
    PredictionError
        If a name ends like no metric, or two files hold the same one.
    """
    found: dict[str, Path] = {}
    for path in paths:
        metric = next((metric for metric, ending in METRICS.items() if path.name.endswith(ending)), None)
        if metric is None:
            raise PredictionError(f"{path.name} is no metric file: its name must end like one of {METRIC_NAMES}.")
        if metric in found:
            raise PredictionError(f"{found[metric].name} and {path.name} hold the same metric. Give one of them.")
        if not path.is_file():
            raise PredictionError(f"There is no metric file {path}. Check the path.")
        found[metric] = path
    return found
