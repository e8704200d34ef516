"""Prediction files that come from outside: which video they are of, and their place in the project."""

import shutil
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from castle_core.errors import PredictionError
from castle_core.files import atomic_path, make_folder, safe_name

if TYPE_CHECKING:
    from castle_core.projects import Project


def guess_stem(name: str, stems: Sequence[str]) -> str | None:
    """Return the video that a file called `name` belongs to: the longest stem that it begins with, or None."""
    base = unicodedata.normalize("NFC", Path(name).stem).casefold()
    fitting = [stem for stem in stems if base.startswith(stem.casefold())]
    return max(fitting, key=len, default=None)


def place_prediction(project: "Project", source: Path, name: str, stem: str, model: str) -> Path:
    """Put a prediction file into ``models/<model>/<stem><ending>`` after it was read once and fits its video.

    Parameters
    ----------
    project : Project
    source : Path
        The file; it stays.
    name : str
        The name that its user gave it; decides about the ending.
    stem : str
        The video.
    model : str
        Name of a new model folder, or of one that is there.

    Returns
    -------
    Path
        The file in the project.

    Raises
    ------
    PredictionError
        If it cannot be read, has another number of frames than the video, or there is such a file already.
    """
    from castle_core.predictions.model import check_frame_count
    from castle_core.predictions.reading import load_predictions

    entry = project.video(stem)
    project.require_writable()
    target = project.path / "models" / safe_name(model) / f"{entry.stem}{Path(name).suffix.lower()}"
    if target.exists():
        raise PredictionError(f"The model {model} has predictions of {entry.name} already. Choose another model name.")
    try:
        predictions = load_predictions(source, video_name=entry.name)
        with project.open_video(entry.stem) as video:
            check_frame_count(predictions, video.n_frames, entry.name)
    except PredictionError as error:  # people know the file by the name that they gave it
        raise PredictionError(str(error).replace(source.name, Path(name).name)) from error
    make_folder(target.parent)
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
    return target
