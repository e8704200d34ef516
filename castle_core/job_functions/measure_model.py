"""The job that scores a model's predictions, so that the page can show how many frames are hard."""

import hashlib
import math
from collections.abc import Sequence
from typing import Any

from castle_core.files import make_folder
from castle_core.progress import Task
from castle_core.projects import Project


def measure_model(
    task: Task, *, project: str, owner: str, model: str, videos: Sequence[str], inputs: str = ""
) -> dict[str, Any]:
    """Score the predictions of one model on some videos and keep a `castle_core.score_sheet.Sheet`.

    Parameters
    ----------
    task : Task
    project : str
        The project's folder.
    owner : str
        Unused; every job function has it.
    model : str
        Name of the model, as `castle_core.predictions.find_models` gives it.
    videos : sequence of str
        Stems of videos that it was run on.
    inputs : str
        State of the files that the scores are made from (`castle_core.suggestions.state_of_inputs`). Unused here: a
        job with another state is another job.

    Returns
    -------
    dict
        ``sheet`` (path), ``scores`` (names), ``sources`` (score → where it comes from, in words), ``frames`` (how many
        frames were scored) and ``notes`` (why a score is missing).

    Raises
    ------
    PredictionError
        If a file cannot be read, or does not fit its video.
    """
    from castle_core.hard_frames import UNKNOWN_FPS
    from castle_core.score_frames import score_frames
    from castle_core.score_sheet import Scored, make_sheet, save_sheet
    from castle_core.scores import spread_of
    from castle_core.suggestions import project_sources

    del owner, inputs
    opened = Project.open(project)
    scored: list[Scored] = []
    notes: list[str] = []
    sources: dict[str, str] = {}
    frames = 0
    with project_sources(opened, model, videos) as each:
        for place, source in enumerate(each):
            task.progress(place, len(each), source.name)
            scores, lines = score_frames(source.predictions, source.knowledge)
            fps = source.fps if math.isfinite(source.fps) else UNKNOWN_FPS
            scored.append(Scored(opened.video(source.name).stem, scores, source.predictions.xy, fps))
            frames += source.predictions.n_frames
            notes += [line for line in (*source.predictions.warnings, *lines) if line not in notes]
            sources |= {name: score.source for name, score in scores.items()}
    names = list(dict.fromkeys(name for video in scored for name in video.scores))
    spreads = {
        name: spread_of(name, [video.scores[name].values for video in scored if name in video.scores]) for name in names
    }
    sheet = make_sheet(scored, spreads)
    key = hashlib.sha256("\0".join([model, *sorted(videos)]).encode()).hexdigest()[:20]
    path = make_folder(opened.cache_dir / "scores") / f"{key}.npz"
    save_sheet(path, sheet)
    task.progress(len(scored), max(1, len(scored)))
    return {"sheet": str(path), "scores": list(sheet.names), "sources": sources, "frames": frames, "notes": notes}
