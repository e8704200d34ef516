import pickle
import sys

import h5py
import numpy as np
import pytest
from prediction_tables import walk

from castle_core.errors import PredictionError
from castle_core.predictions import load_predictions
from castle_core.predictions.pickled_names import plain_value

COLUMNS = [("DLC_resnet", part, coord) for part in ("nose", "tail") for coord in ("x", "y", "likelihood")]


def numbers(n=5):
    return np.concatenate([walk(n, 2), np.full((n, 2, 1), 0.9)], axis=2).reshape(n, 6)


def write_table(path, values, columns=COLUMNS, index=None, names=None):
    """The layout that pandas' ``to_hdf(format="table")`` writes through PyTables."""
    kind = np.dtype([("index", np.int64), ("values_block_0", np.float64, (values.shape[1],))])
    rows = np.zeros(values.shape[0], kind)
    rows["index"] = np.arange(values.shape[0]) if index is None else index
    rows["values_block_0"] = values
    with h5py.File(path, "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs["pandas_type"] = np.bytes_(b"frame_table")
        table = group.create_dataset("table", data=rows)
        pickled = pickle.dumps(list(columns), protocol=0) if names is None else names
        table.attrs["values_block_0_kind"] = np.void(pickled)
    return path


def test_deeplabcut_table_without_unpickling(tmp_path):
    values = numbers()
    read = load_predictions(write_table(tmp_path / "a.h5", values))
    assert (read.software, read.keypoints) == ("DeepLabCut", ("nose", "tail"))
    assert read.xy[:, 1] == pytest.approx(values[:, 3:5])
    assert (read.likelihood == 0.9).all()


def test_deeplabcut_table_with_several_animals_and_gaps(tmp_path):
    columns = [("s", animal, *rest) for animal in ("a", "b") for _, *rest in COLUMNS[:3]]
    read = load_predictions(write_table(tmp_path / "a.h5", numbers(), columns, index=[0, 1, 2, 3, 6]))
    assert read.keypoints == ("a nose", "b nose")
    assert read.n_frames == 7
    assert np.isnan(read.xy[4:6]).all()


def test_deeplabcut_in_pandas_fixed_layout(tmp_path):
    values = numbers()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs["pandas_type"] = np.bytes_(b"frame")
        group.attrs["nblocks"] = 1
        group["axis1"] = np.arange(5)
        group["block0_values"] = values
        for level, words in enumerate(([b"DLC"], [b"nose", b"tail"], [b"likelihood", b"x", b"y"])):
            group[f"block0_items_level{level}"] = np.array(words)
        group["block0_items_label0"] = np.zeros(6, np.int8)
        group["block0_items_label1"] = np.array([0, 0, 0, 1, 1, 1])
        group["block0_items_label2"] = np.array([1, 2, 0, 1, 2, 0])
    read = load_predictions(tmp_path / "a.h5")
    assert read.xy[:, 0] == pytest.approx(values[:, 0:2])


class Evil:
    def __reduce__(self):
        return (open, ("/tmp/castle-was-here", "w"))


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_nothing_in_a_file_is_executed(tmp_path, protocol):
    path = write_table(tmp_path / "a.h5", numbers(), names=pickle.dumps([Evil()], protocol=protocol))
    with pytest.raises(PredictionError, match="unexpected content"):
        load_predictions(path)


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_of_every_protocol(protocol):
    value = [("s", "nase \xe4", "x", 1), ["a", 2.5, None, ()], ("s", "s")]
    assert plain_value(pickle.dumps(value, protocol=protocol)) == value
    with pytest.raises(PredictionError):
        plain_value(pickle.dumps(value, protocol=protocol)[:-8])


def test_labels_in_h5_are_no_predictions(shared_data):
    with pytest.raises(PredictionError, match="single images, not of a whole video"):
        load_predictions(shared_data / "dlc_openfield/labeled-data/m4s1/CollectedData_Pranav.h5")


def write_analysis(path, tracks, scores, names=()):
    with h5py.File(path, "w") as file:
        file["tracks"] = tracks
        file["point_scores"] = scores
        file["node_names"] = np.array([b"nose", b"tail"])
        file["track_names"] = np.array([name.encode() for name in names], "S8")
    return path


def test_sleap_analysis(tmp_path):
    xy = np.stack([walk(6, 2), walk(6, 2, seed=1)])  # (tracks, frames, nodes, 2)
    tracks = xy.transpose(0, 3, 2, 1)
    scores = np.full((2, 2, 6), 0.5)
    read = load_predictions(write_analysis(tmp_path / "a.analysis.h5", tracks, scores, ("one", "two")))
    assert read.keypoints == ("one nose", "one tail", "two nose", "two tail")
    assert read.xy[:, 3] == pytest.approx(xy[1, :, 1])
    one = load_predictions(write_analysis(tmp_path / "b.h5", tracks[:1], scores[:1]))
    assert (one.keypoints, one.software) == (("nose", "tail"), "SLEAP")


def test_real_sleap_files(shared_data):
    folder = shared_data / "sleap/predictions"
    read = load_predictions(folder / "small_robot.000_small_robot_3_frame.analysis.h5")
    assert read.xy.shape == (3, 3, 2)
    pytest.importorskip("sleap_io")
    dance = load_predictions(folder / "dance.mp4.labels.slp")
    derived = load_predictions(shared_data / "derived_lp_style/dance.csv")
    assert dance.keypoints == derived.keypoints
    assert dance.xy.shape == derived.xy.shape
    same = np.isfinite(dance.xy) & np.isfinite(derived.xy)
    assert np.median(np.abs(dance.xy - derived.xy)[same]) < 0.01


def test_slp_without_sleap_io_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sleap_io", None)
    (tmp_path / "a.slp").write_bytes(b"x")
    with pytest.raises(PredictionError, match=r"needs sleap-io: pip install 'castle-studio\[sleap\]'"):
        load_predictions(tmp_path / "a.slp")


@pytest.mark.parametrize("name", ["a.h5", "a.slp"])
def test_damaged_files(tmp_path, name):
    if name == "a.slp":
        pytest.importorskip("sleap_io")
    good = write_table(tmp_path / "good.h5", numbers()).read_bytes()
    for content in (b"not hdf5 at all", good[: len(good) // 2]):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PredictionError, match=name.replace(".", r"\.")):
            load_predictions(tmp_path / name)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["latent"] = np.zeros(3)
    with pytest.raises(PredictionError, match="neither a DeepLabCut result nor a SLEAP"):
        load_predictions(tmp_path / "other.h5")


@pytest.mark.parametrize(
    ("tracks", "scores"), [(np.zeros((1, 3, 2, 4)), np.zeros((1, 2, 4))), (np.zeros((1, 2, 4)), np.zeros((1, 2, 4)))]
)
def test_analysis_files_that_do_not_fit(tmp_path, tracks, scores):
    with pytest.raises(PredictionError, match="do not fit"):
        load_predictions(write_analysis(tmp_path / "a.h5", tracks, scores))
