import numpy as np
import pytest
from prediction_tables import NAMES, csv_text, metric_text, walk, write_csv

from castle_core.errors import PredictionError
from castle_core.predictions import check_frame_count, load_predictions, read_label_csv, read_metric_csv


def write(tmp_path, text, name="mouse.csv", **encoding):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode(**encoding))
    return path


def test_lightning_pose(tmp_path):
    xy = walk(50)
    likelihood = np.random.default_rng(0).random((50, 3))
    xy[7, 1], likelihood[9, 2] = np.nan, np.nan
    read = load_predictions(write_csv(tmp_path / "mouse.csv", xy, likelihood))
    assert (read.software, read.keypoints, read.n_frames) == ("Lightning Pose", NAMES, 50)
    assert read.xy == pytest.approx(xy, rel=1e-4, nan_ok=True)
    assert read.likelihood == pytest.approx(likelihood, rel=1e-4, nan_ok=True)
    assert read.warnings == ()


def test_columns_count_by_name_and_not_by_place(tmp_path):
    text = (
        "scorer,s,s,s,s,s,s\nbodyparts,nose,tail,nose,tail,nose,tail\ncoords,likelihood,y,y,x,x,likelihood\n"
        "0,0.5,2,1,3,4,0.25\n"
    )
    read = load_predictions(write(tmp_path, text))
    assert read.keypoints == ("nose", "tail")
    assert read.xy.tolist() == [[[4, 1], [3, 2]]]
    assert read.likelihood.tolist() == [[0.5, 0.25]]


def test_eks_has_nine_columns_a_keypoint(tmp_path):
    coords = [
        "x",
        "y",
        "likelihood",
        "x_ens_median",
        "y_ens_median",
        "x_ens_var",
        "y_ens_var",
        "x_posterior_var",
        "y_posterior_var",
    ]
    text = "scorer," + ",".join(["ensemble-kalman_tracker"] * 18) + "\n"
    text += "bodyparts," + ",".join(["nose"] * 9 + ["tail"] * 9) + "\ncoords," + ",".join(coords * 2) + "\n"
    for row in range(4):
        text += f"{row}," + ",".join(str(10 * row + column) for column in range(18)) + "\n"
    read = load_predictions(write(tmp_path, text))
    assert read.software == "EKS"
    assert read.xy[3].tolist() == [[30, 31], [39, 40]]
    assert read.extra["x_ens_var"][2].tolist() == [25, 34]


@pytest.mark.parametrize("rows", [1, 5])
def test_deeplabcut_with_several_animals(tmp_path, rows):
    text = "scorer,DLC_x,DLC_x,DLC_x,DLC_x,DLC_x,DLC_x,DLC_x,DLC_x,DLC_x\n"
    text += "individuals,a,a,a,b,b,b,single,single,single\nbodyparts,nose,nose,nose,nose,nose,nose,cup,cup,cup\n"
    text += "coords,x,y,likelihood,x,y,likelihood,x,y,likelihood\n"
    text += "".join(f"{i},1,2,0.9,3,4,0.8,5,6,0.7\n" for i in range(rows))
    path = write(tmp_path, text)
    read = load_predictions(path)
    assert (read.software, read.n_frames) == ("DeepLabCut", rows)
    assert read.keypoints == ("a nose", "b nose", "single cup")
    assert read.individuals == ("a", "b", "single")
    only = load_predictions(path, individual="b")
    assert (only.keypoints, only.xy[0].tolist()) == (("nose",), [[3, 4]])
    with pytest.raises(PredictionError, match="no individual 'c'; it has: a, b, single"):
        load_predictions(path, individual="c")


def test_byte_order_mark_line_ends_quotes_and_index_name(tmp_path):
    plain = csv_text(walk(4))
    wanted = load_predictions(write(tmp_path, plain)).xy
    for text in (
        "\ufeff" + plain,
        plain.replace("\n", "\r\n"),
        plain.replace("left ear", '"left ear"'),
        plain.replace("\n0,", "\nframe" + "," * 9 + "\n0,", 1),
        plain.replace(",", ", "),
        plain + "\n\n",
        plain.rstrip("\n"),
    ):
        assert np.array_equal(load_predictions(write(tmp_path, text)).xy, wanted)


def test_an_empty_first_row_is_a_frame(tmp_path):
    xy = walk(5)
    xy[0] = np.nan
    likelihood = np.full((5, 3), 0.9)
    likelihood[0] = np.nan
    read = load_predictions(write_csv(tmp_path / "m.csv", xy, likelihood))
    assert read.n_frames == 5
    assert np.isnan(read.xy[0]).all()


def test_frames_that_are_left_out_are_missing(tmp_path):
    xy = walk(3)
    read = load_predictions(write_csv(tmp_path / "m.csv", xy, index=[4, 0, 2]))
    assert read.n_frames == 5
    assert np.isnan(read.xy[[1, 3]]).all()
    assert read.xy[[4, 0, 2]] == pytest.approx(xy, rel=1e-4)


def test_long_tables_are_read_in_blocks(tmp_path):
    n = 70_000
    xy = np.stack([np.arange(n), np.arange(n)[::-1]], axis=1)[:, None, :].astype(float)
    lines = csv_text(xy[:1], names=("a",)).splitlines()[:3]
    lines += [f"{i},{i},{n - 1 - i},0.5" for i in range(n)]
    read = load_predictions(write(tmp_path, "\n".join(lines)))
    assert np.array_equal(read.xy, xy)


GOOD = csv_text(walk(6))
LINES = GOOD.splitlines()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n\n", "is empty"),
        (GOOD.replace("nose", "n\xe4se").encode("latin-1"), "not UTF-8"),
        (GOOD.encode() + b"6,1,2,\xff,1,2,3,1,2,3\n", "not UTF-8"),
        ("\n".join([LINES[1], LINES[0], *LINES[3:]]), "no keypoint table"),
        ("\n".join(LINES[3:]), "no keypoint table"),
        ("\n".join([LINES[0], LINES[0], *LINES[1:]]), "is there twice"),
        ("\n".join(LINES[:3]), "holds no frame"),
        (GOOD.replace("left ear", "nose"), "nose x' is there twice"),
        (GOOD.replace("coords,x,y", "coords,x,z"), "no column y"),
        (GOOD.replace("bodyparts,nose", "bodyparts,"), "no name in the header"),
        ("\n".join([LINES[0], LINES[1] + ",s", *LINES[2:]]), "different numbers of columns"),
        ("\n".join([*LINES[:5], LINES[5] + ",7", *LINES[6:]]), "line 6 has 11 cells instead of 10"),
        ("\n".join([*LINES[:-1], LINES[-1][:20]]), "line 9 has . cells instead of 10"),
        (GOOD.replace("\n2,", "\n2,abc,", 1).replace(",0.99\n3,", "\n3,"), "line 6: 'abc' in column 2"),
        (GOOD.replace("\n2,", "\n1,"), "frame 1 is there twice"),
        (GOOD.replace("\n2,", "\n-2,"), "-2 in the first column is not a frame index"),
        (GOOD.replace("\n2,", "\n2.5,"), "2.5 in the first column"),
        (GOOD.replace("\n2,", "\n,"), "an empty cell in the first column"),
        (GOOD.replace("\n5,", "\n500000000,"), "frame index of 500000000"),
        (GOOD.replace("\n2,", "\nlabeled-data/m/img2.png,"), "single images, not of a whole video"),
        (csv_text(np.full((4, 3, 2), np.nan)), "no position at all"),
        (GOOD.replace("scorer,", 'scorer,"', 1), "no keypoint table|no CSV table|different numbers"),
    ],
)
def test_damage_gets_one_clear_line(tmp_path, text, message):
    with pytest.raises(PredictionError, match=message) as caught:
        load_predictions(write(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert "mouse.csv" in str(caught.value)


def test_odd_numbers_are_told(tmp_path):
    likelihood = np.full((6, 3), 0.9)
    likelihood[2, 0], likelihood[3, 1] = 1.7, -0.5
    text = csv_text(walk(6), likelihood).replace("\n4,", "\n4,inf,5,0.5,", 1)
    lines = text.splitlines()
    lines[7] = ",".join(lines[7].split(",")[:10])
    read = load_predictions(write(tmp_path, "\n".join(lines)))
    assert len(read.warnings) == 3
    assert "above 1 (largest 1.7)" in " ".join(read.warnings)
    assert "below 0" in " ".join(read.warnings)
    assert "infinite" in " ".join(read.warnings)
    assert np.nanmax(read.likelihood) == 1.0
    assert np.isnan(read.xy[4, 0]).all()


def test_likelihood_that_is_always_0_does_not_count(tmp_path):
    read = load_predictions(write_csv(tmp_path / "m.csv", walk(6), np.zeros((6, 3))))
    assert not read.has_likelihood
    assert "Every likelihood is 0" in read.warnings[0]


def test_a_keypoint_that_is_never_there_and_a_single_frame(tmp_path):
    xy = walk(5)
    xy[:, 1] = np.nan
    assert np.isnan(load_predictions(write_csv(tmp_path / "m.csv", xy)).xy[:, 1]).all()
    assert load_predictions(write_csv(tmp_path / "one.csv", walk(1, k=1))).xy.shape == (1, 1, 2)


def test_a_file_that_is_not_there_or_of_another_kind(tmp_path):
    with pytest.raises(PredictionError, match="There is no prediction file"):
        load_predictions(tmp_path / "no.csv")
    with pytest.raises(PredictionError, match=r"Give a \.csv"):
        load_predictions(write(tmp_path, "x", "a.txt"))


def test_rows_are_compared_with_the_video(tmp_path):
    read = load_predictions(write_csv(tmp_path / "m.csv", walk(100)))
    assert check_frame_count(read, 100, "m.mp4") is None
    assert "100 rows, but m.mp4 has 101 frames" in check_frame_count(read, 101, "m.mp4")
    for frames in (90, 110):
        with pytest.raises(PredictionError, match=f"100 rows, but m.mp4 has {frames} frames"):
            check_frame_count(read, frames, "m.mp4")


def test_metric_tables(tmp_path):
    values = np.random.default_rng(0).random((8, 3)).astype(np.float32)
    values[0], values[:, 2] = np.nan, np.nan
    path = write(tmp_path, metric_text(values))
    read = read_metric_csv(path, ("left ear", "nose", "new"), 8)
    assert read[:, :2] == pytest.approx(values[:, [1, 0]], abs=1e-5, nan_ok=True)
    assert np.isnan(read[:, 2]).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (metric_text(np.ones((7, 3))), "7 rows, but the predictions have 8"),
        (GOOD, "table of keypoints"),
        ("", "is empty"),
        (metric_text(np.ones((8, 3)), ("a", "b", "c")), "none of the model's keypoints"),
        (metric_text(np.ones((8, 3)), ("nose", "nose", "tail")), "'nose' is there twice"),
        (metric_text(np.ones((8, 3))).replace("1.00000\n3", "x\n3"), "'x' in column 4"),
    ],
)
def test_metric_tables_that_do_not_fit(tmp_path, text, message):
    with pytest.raises(PredictionError, match=message):
        read_metric_csv(write(tmp_path, text), NAMES, 8)


def test_every_dialect_of_label_files(shared_data):
    folder = shared_data / "sleap/dlc_csv_variants"
    shapes = {path.name: read_label_csv(path)[2].shape for path in sorted(folder.glob("*.csv"))}
    assert shapes["dlc_testdata.csv"] == shapes["dlc_testdata_v2.csv"] == (4, 3, 2)
    assert shapes["madlc_testdata.csv"] == shapes["madlc_testdata_v2.csv"] == (4, 6, 2)
    assert shapes["maudlc_testdata.csv"] == shapes["maudlc_testdata_v2.csv"] == (4, 8, 2)
    keypoints, names, xy = read_label_csv(folder / "madlc_testdata_v2.csv")
    assert keypoints[:4] == ("Animal1 A", "Animal1 B", "Animal1 C", "Animal2 A")
    assert names[1] == "labeled-data/video/img001.png"
    assert xy[1].tolist()[0] == [12, 13]
    assert np.isnan(xy[1, 1]).all()


def test_labels_marked_as_not_visible_are_no_labels(tmp_path):
    text = (
        "scorer,s,s,s\nbodyparts,nose,nose,nose\ncoords,x,y,visible\nlabeled-data/a/img1.png,1,2,0\nb/img2.png,3,4,1\n"
    )
    keypoints, names, xy = read_label_csv(write(tmp_path, text))
    assert keypoints == ("nose",)
    assert names == ["labeled-data/a/img1.png", "labeled-data/b/img2.png"]
    assert np.isnan(xy[0]).all()
    assert xy[1].tolist() == [[3, 4]]
