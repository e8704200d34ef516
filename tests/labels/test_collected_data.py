"""Every dialect of CollectedData.csv is read, and written again without losing a cell."""

import csv

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from castle_core.errors import LabelError
from castle_core.labels import Labels, read_collected_data, write_collected_data

HEADER = "scorer,me,me,me,me\nbodyparts,nose,nose,tail,tail\ncoords,x,y,x,y\n"


def cells(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def write(folder, text, name="CollectedData.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_every_dialect_of_the_field(shared_data, tmp_path):
    folder = shared_data / "sleap" / "dlc_csv_variants"
    for path in sorted(folder.glob("*.csv")):
        labels = read_collected_data(path)
        assert [frame.split("/")[-1] for frame in labels.frames] == [f"img00{i}.png" for i in range(4)]
        assert all(frame.startswith("labeled-data/video/") for frame in labels.frames)
        assert labels.scorer == "Scorer"
        assert labels.no_animal == ({"labeled-data/video/img002.png"})
        if "maudlc" in path.name or path.name == "CollectedData_LM.csv":
            assert labels.individuals == ("Animal1", "Animal2", "single")
            assert labels.keypoints == ("A", "B", "C", "D", "E")
            assert labels.has.tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 1, 1]]
            assert labels.xy[1, 2, 3].tolist() == [22, 23]
        again = tmp_path / path.name
        again.write_bytes(path.read_bytes())
        write_collected_data(again, labels)
        width = max(len(row) for row in cells(path))
        assert cells(again) == [row + [""] * (width - len(row)) for row in cells(path)]


def test_real_files_are_written_byte_for_byte(shared_data, tmp_path):
    for name in ("lp_mirror_mouse/CollectedData.csv", "dlc_openfield/labeled-data/m4s1/CollectedData_Pranav.csv"):
        source = shared_data / name
        labels = read_collected_data(source)
        copy = tmp_path / source.name
        write_collected_data(copy, labels, template=source)
        assert copy.read_bytes().replace(b"\r\n", b"\n") == source.read_bytes().replace(b"\r\n", b"\n")
        fresh = tmp_path / f"fresh_{source.name}"
        write_collected_data(fresh, labels)
        assert read_collected_data(fresh).same_as(labels)


def test_flat_images_and_one_row(tmp_path):
    path = write(tmp_path, HEADER + "labeled-data/img07.png,1,2,,\n")
    labels = read_collected_data(path)
    assert labels.frames == ("labeled-data/img07.png",)
    assert labels.labelled.tolist() == [[[True, False]]]
    write_collected_data(path, labels)
    assert path.read_text() == HEADER + "labeled-data/img07.png,1,2,,\n"


def test_first_row_empty_and_short_rows(tmp_path):
    path = write(tmp_path, HEADER + "labeled-data/v/img1.png\nlabeled-data/v/img2.png,1.5,2.50\n")
    labels = read_collected_data(path)
    assert labels.no_animal == {"labeled-data/v/img1.png"}
    write_collected_data(path, labels)
    assert path.read_text() == HEADER + "labeled-data/v/img1.png,,,,\nlabeled-data/v/img2.png,1.5,2.50,,\n"


def test_unknown_columns_spelling_and_marks_stay(tmp_path):
    text = (
        "\ufeffscorer,a,a,a,a,b,b,b,b\r\nbodyparts,n,n,n,n,t,t,t,t\r\ncoords,x,y,visible,note,x,y,visible,note\r\n"
        "name,,,,,,,,\r\nlabeled-data/v/img2.png,1e1,2.00,2,fine,7,8,0,\r\nlabeled-data\\v\\img1.png,3,,1,half,4,5,2,x\r\n"
    )
    path = write(tmp_path, text)
    labels = read_collected_data(path)
    assert np.isnan(labels.xy[0, 0, 1]).all(), "visible 0 means not labelled"
    assert np.isnan(labels.xy[1, 0, 0]).all(), "half a point is none"
    assert labels.visible[:, 0].tolist() == [[2, 0], [1, 2]]
    write_collected_data(path, labels)
    lines = text.split("\r\n")
    assert path.read_bytes().decode() == "\r\n".join([*lines[:4], lines[5], lines[4], ""])


def test_only_what_changed_is_spelled_anew(tmp_path):
    path = write(tmp_path, HEADER + "labeled-data/v/img1.png,1.50,2,3,4\n")
    labels = read_collected_data(path)
    xy = labels.xy.copy()
    xy[0, 0, 1] = np.nan
    xy[0, 0, 0, 1] = 1 / 3
    changed = Labels(labels.keypoints, labels.individuals, labels.frames, xy)
    write_collected_data(path, changed)
    assert path.read_text() == HEADER + f"labeled-data/v/img1.png,1.50,{1 / 3!r},,\n"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("frame,x,y\n1,2,3\n", "no label header"),
        (HEADER + "labeled-data/v/img1.png,a,2,3,4\n", "line 4: 'a' in column 2"),
        (HEADER + "labeled-data/v/img1.png,inf,2,3,4\n", "line 4: 'inf'"),
        (HEADER + "labeled-data/v/img1.png,1,2,3,4,5\n", "line 4 has 6 cells"),
        (HEADER + "labeled-data/v/img1.png,1,2,3,4\nlabeled-data/v/img1.png,,,,\n", "twice"),
        (HEADER + "labeled-data/v/img1.png,1,2,3,4\nnothing,1,2,3,4\n", "line 5: 'nothing,1,2,3,4' names no image"),
        ("scorer,me,me\nbodyparts,a,a\ncoords,x,x\n", "twice"),
        ("scorer,me\nbodyparts,a\ncoords,x\n", "no column y"),
    ],
)
def test_damage_is_named(tmp_path, text, what):
    with pytest.raises(LabelError, match="CollectedData") as caught:
        read_collected_data(write(tmp_path, text))
    assert what in str(caught.value)


def test_names_that_need_care(tmp_path):
    names = ('no,se"', "<b>&amp;", "Äug\u0308chen", "脚", "a b")
    labels = Labels(names, ("",), ("labeled-data/a, b/img1.png",), np.arange(10.0).reshape(1, 1, 5, 2), scorer="x")
    path = tmp_path / "CollectedData_top.csv"
    write_collected_data(path, labels)
    read = read_collected_data(path)
    assert read.keypoints[:2] == names[:2]
    assert read.frames == labels.frames
    assert np.array_equal(read.xy, labels.xy)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_anywhere_is_read_or_refused_in_one_line(tmp_path, data):
    text = HEADER + "labeled-data/v/img1.png,1,2,3,4\nlabeled-data/v/img2.png,5,6,,\n"
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 6))
        text = text[:place] + data.draw(st.text(max_size=4)) + text[place + cut :]
    path = tmp_path / "CollectedData.csv"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        labels = read_collected_data(path)
    except LabelError as error:
        said = str(error)
    else:
        said = ""
        write_collected_data(path, labels)
        assert read_collected_data(path).same_as(labels.ordered())
    assert "\n" not in said
