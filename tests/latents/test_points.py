"""Point files in every dialect that labs have."""

import numpy as np
import pytest

from castle_core.errors import PredictionError
from castle_core.latents.points import read_points

DIALECTS = {
    "comma and header": "frame,x,y\n0,1.5,2\n2,3,4.25\n",
    "spaces": "0 1.5 2\n2   3 4.25\n",
    "tab": "0\t1.5\t2\n2\t3\t4.25\n",
    "semicolon, BOM, CRLF": "\ufeffframe;x;y\r\n0;1.5;2\r\n\r\n2;3;4.25\r\n",
    "any order": "2,3,4.25\n0,1.5,2\n",
}


@pytest.mark.parametrize("text", DIALECTS.values(), ids=DIALECTS)
def test_dialects_read_alike(tmp_path, text):
    path = tmp_path / "näse tip.csv"
    path.write_text(text, encoding="utf-8", newline="")
    track = read_points(path)
    assert track.name == "näse tip"
    np.testing.assert_array_equal(track.xy, [[1.5, 2], [np.nan, np.nan], [3, 4.25]])
    assert np.isnan(track.at(7)).all()


def test_the_first_of_several_points_counts(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("0,1,1\n0,2,2\n1,3,3\n0,4,4\n")
    track = read_points(path)
    assert track.n_duplicates == 2
    np.testing.assert_array_equal(track.xy[0], [1, 1])


def test_missing_and_unlikely_points_are_nan(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("0,,\n1,nan,4\n2,5,5,0.1\n3,6,6,0.9\n")
    assert np.isnan(read_points(path, likelihood_threshold=0.5).xy[:3]).any(axis=1).all()
    np.testing.assert_array_equal(read_points(path, likelihood_threshold=0.5).xy[3], [6, 6])


@pytest.mark.parametrize("text", ["", "frame,x,y\n", "0,1\n", "0,a,b\n", "-1,2,3\n", "0.5,2,3\n"])
def test_what_is_no_point_file_says_which_line(tmp_path, text):
    path = tmp_path / "p.csv"
    path.write_text(text)
    with pytest.raises(PredictionError, match=r"p\.csv"):
        read_points(path)


def test_a_missing_or_binary_file_says_so(tmp_path):
    with pytest.raises(PredictionError, match="no point file"):
        read_points(tmp_path / "p.csv")
    (tmp_path / "p.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(PredictionError, match="UTF-8"):
        read_points(tmp_path / "p.csv")
