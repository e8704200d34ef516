"""Brings a project's videos, predictions, labels and covered frames together for `castle_core.hard_frames`."""

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from castle_core.errors import PredictionError
from castle_core.hard_frames import Source
from castle_core.labelled import label_files
from castle_core.predictions import (
    ModelFolder,
    PredictionFile,
    Predictions,
    check_frame_count,
    find_models,
    load_predictions,
)
from castle_core.score_frames import Knowledge

if TYPE_CHECKING:
    from castle_core.projects import Project


def model_of(project: "Project", name: str) -> ModelFolder:
    """Return a model of the project that was run on a video.

    Raises
    ------
    PredictionError
        If there is no such model, or it has no predictions; the message says what there is, or how to make some.
    """
    models = find_models(project.path, [video.stem for video in project.videos()])
    for model in models:
        if model.name == name.strip("/"):
            if not model.files:
                raise PredictionError(model.hint(project.path))
            return model
    known = ", ".join(model.name for model in models) or "none yet: put prediction files into models/<name>/"
    raise PredictionError(f"The project {project.name} has no model {name!r}. It has: {known}.")


def state_of_inputs(project: "Project", stems: Sequence[str]) -> str:
    """Return a text that changes with every file that scores of these videos are made from.

    Predictions and metrics of every model (models that disagree make a frame hard), and the labels.
    """
    wanted = set(stems)
    paths = set(label_files(project.path))
    for model in find_models(project.path, [video.stem for video in project.videos()]):
        for file in model.files:
            if file.stem in wanted:
                paths |= {file.path, *file.metrics.values()}
    digest = hashlib.sha256()
    for path in sorted(paths):
        with contextlib.suppress(OSError):
            status = path.stat()
            digest.update(f"{path}\0{status.st_mtime_ns}\0{status.st_size}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def project_sources(
    project: "Project",
    model: str,
    videos: Sequence[str | Mapping[str, Any]] = (),
    *,
    ensemble: bool = True,
) -> Iterator[list[Source]]:
    """Open videos of a project with one model's predictions of them.

    Parameters
    ----------
    project : Project
    model : str
        Name of the model, as `castle_core.predictions.find_models` gives it.
    videos : sequence of str or mapping
        Stems or file names; or mappings with ``name`` and, for this video only, ``start``, ``stop``, ``exclude``. By
        default all of the project's videos that the model was run on.
    ensemble : bool
        Whether other models' predictions of the same videos tell about disagreement.

    Yields
    ------
    list of Source
        In the order of `videos`. The videos are closed at the end.

    Raises
    ------
    PredictionError, ProjectError, VideoError
        If something is missing, cannot be read, or does not fit.
    """
    chosen = model_of(project, model)
    files = {file.stem: file for file in chosen.files}
    parts = [{"name": video} if isinstance(video, str) else dict(video) for video in videos]
    if not parts:
        parts = [{"name": entry.stem} for entry in project.videos() if entry.stem in files]
        if not parts:
            raise PredictionError(
                f"The predictions of {chosen.name} fit no video of the project {project.name}: "
                f"{', '.join(list(files)[:4])}. Add these videos, or upload predictions of yours."
            )
    others = find_models(project.path, [video.stem for video in project.videos()]) if ensemble else []
    others = [other for other in others if other.name != chosen.name]
    labels = next(iter(label_files(project.path)), None)
    with contextlib.ExitStack() as stack:
        yield [_source(project, chosen, files, part, others, labels, stack) for part in parts]


def _source(
    project: "Project",
    model: ModelFolder,
    files: Mapping[str, PredictionFile],
    part: Mapping[str, Any],
    others: Sequence[ModelFolder],
    labels: Path | None,
    stack: contextlib.ExitStack,
) -> Source:
    entry = project.video(str(part["name"]))
    file = files.get(entry.stem)
    if file is None:
        raise PredictionError(
            f"The model {model.name} was not run on {entry.name}. Run: litpose predict '{model.path}' '{entry.path}'  "
            "- or upload its predictions of this video."
        )
    video = stack.enter_context(project.open_video(entry.stem))
    predictions = load_predictions(file.path, video_name=entry.name)
    notes = [check_frame_count(predictions, video.n_frames, entry.name)]
    ensemble: list[Predictions] = []
    for other in others:
        for candidate in other.files:
            if candidate.stem == entry.stem:
                fitting, note = _member(candidate, predictions, entry.name)
                notes.append(note)
                ensemble += [fitting] if fitting is not None else []
    return Source(
        name=entry.name,
        predictions=predictions,
        knowledge=Knowledge(metrics=file.metrics, labels=labels, config=model.config, others=tuple(ensemble)),
        times_s=video.times_s,
        fps=float(video.average_fps),
        covered=tuple(project.covered(entry.stem)),
        video=video,
        start=part.get("start"),
        stop=part.get("stop"),
        exclude=tuple(part["exclude"]) if part.get("exclude") else None,
        notes=tuple(note for note in notes if note),
    )


def _member(file: PredictionFile, first: Predictions, video_name: str) -> tuple[Predictions | None, str | None]:
    """Read another model's predictions; one that does not fit is left out, and the note says why."""
    try:
        other = load_predictions(file.path, video_name=video_name)
    except PredictionError as error:
        return None, f"The model {file.model} does not count for disagreement: {error}"
    if other.n_frames != first.n_frames:
        return None, f"The model {file.model} does not count for disagreement: it has {other.n_frames} rows."
    if not set(other.keypoints) & set(first.keypoints):
        return None, f"The model {file.model} does not count for disagreement: it has other keypoints."
    return other, None
