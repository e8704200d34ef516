"""Opens any file of predictions: the content decides about the format, the suffix only helps with messages."""

from pathlib import Path

from castle_core.errors import PredictionError
from castle_core.predictions.model import Predictions

PREDICTION_SUFFIXES = (".csv", ".h5", ".hdf5", ".slp")


def load_predictions(path: Path, *, individual: str | None = None, video_name: str | None = None) -> Predictions:
    """Read one model's predictions of one video.

    Lightning Pose (csv), EKS (csv, nine columns a keypoint), DeepLabCut (csv and h5, also several animals) and SLEAP
    (``.slp`` with sleap-io, analysis h5). Columns are found by their names, rows by their frame index.

    Parameters
    ----------
    path : Path
        The file.
    individual : str, optional
        Keep only this animal; by default all of them, named ``<individual> <keypoint>``.
    video_name : str, optional
        File name or stem of the video, for ``.slp`` files that hold several.

    Raises
    ------
    PredictionError
        If the file is not there, is of another kind or is damaged: one line that says what and where.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if not path.is_file():
        raise PredictionError(f"There is no prediction file {path}. Check the path.")
    if suffix not in PREDICTION_SUFFIXES:
        raise PredictionError(f"{path.name} is no prediction file. Give a .csv, .h5 or .slp file.")
    if path.stat().st_size == 0:
        raise PredictionError(f"{path.name} is empty. Run the model again, or copy the file again.")
    if suffix == ".csv":
        from castle_core.predictions.tables import read_prediction_csv

        return read_prediction_csv(path, individual=individual)
    if suffix == ".slp":
        from castle_core.predictions.sleap_files import read_slp

        return read_slp(path, individual=individual, video_name=video_name)
    return _load_h5(path, individual)


def _load_h5(path: Path, individual: str | None) -> Predictions:
    import h5py

    from castle_core.predictions.dlc_h5 import is_pandas_file, read_dlc_h5
    from castle_core.predictions.sleap_files import is_analysis_file, read_analysis_h5

    try:
        with h5py.File(path, "r", locking=False) as file:
            sleap, pandas = is_analysis_file(file), is_pandas_file(file)
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise PredictionError(f"{path.name} is no readable HDF5 file. Copy or export it again.") from error
    if sleap:
        return read_analysis_h5(path, individual=individual)
    if pandas:
        return read_dlc_h5(path, individual=individual)
    raise PredictionError(
        f"{path.name} is neither a DeepLabCut result nor a SLEAP analysis file. Give the file that the model wrote."
    )
