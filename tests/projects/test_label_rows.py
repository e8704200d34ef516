import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castle_core.errors import LabelError
from castle_core.labelled import frame_index_of, read_label_file

ONE = "scorer,s,s,s,s\nbodyparts,a,a,b,b\ncoords,x,y,x,y\n"
THREE = "scorer,,,s,s,s,s\nbodyparts,,,a,a,b,b\ncoords,,,x,y,x,y\n"


def _read(tmp_path, text, name="CollectedData.csv"):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_label_file(path)


def _rows(table):
    return [(row.folder, row.name, row.frame_index, row.n_points) for row in table.rows]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(ONE + "labeled-data/v/img005.png,1,2,3,4\n", [("v", "img005.png", 5, 2)], id="one-row"),
        pytest.param(
            THREE + "labeled-data,v,img005.png,1,2,3,4\n", [("v", "img005.png", 5, 2)], id="three-columns-one-row"
        ),
        pytest.param(
            ONE + "labeled-data/v/img1.png,,,,\nlabeled-data/v/img2.png,1,2,,\n",
            [("v", "img1.png", 1, 0), ("v", "img2.png", 2, 1)],
            id="first-row-empty",
        ),
        pytest.param(
            "scorer,,s,s\nbodyparts,,a,a\ncoords,,x,y\nv,img1.png,1,2\n", [("v", "img1.png", 1, 1)], id="two-columns"
        ),
        pytest.param(ONE + "labeled-data\\v\\img1.png,1,2,,\r\n", [("v", "img1.png", 1, 1)], id="windows"),
        pytest.param("﻿" + ONE + "labeled-data/v/img1.png,1,2,,\n", [("v", "img1.png", 1, 1)], id="bom"),
        pytest.param(ONE + "labeled-data/img7.png,1,2,,\n", [("", "img7.png", 7, 1)], id="flat"),
        pytest.param(ONE + "/home/x/labeled-data/v/img1.png,1,2,,\n", [("v", "img1.png", 1, 1)], id="absolute"),
        pytest.param(
            ONE + "index,,,,\nlabeled-data/v/img1.png,1,2,,\n", [("v", "img1.png", 1, 1)], id="index-name-row"
        ),
        pytest.param(ONE + "labeled-data/v/img1.png,1,2,nan,NaN\n\n", [("v", "img1.png", 1, 1)], id="nan"),
        pytest.param(ONE + '"labeled-data/a, b/img1.png",1,2,,\n', [("a, b", "img1.png", 1, 1)], id="comma-in-name"),
        pytest.param(ONE + "labeled-data/e\u0301/img1.png,1,2,,\n", [("\u00e9", "img1.png", 1, 1)], id="nfd"),
        pytest.param(ONE, [], id="no-rows"),
        pytest.param(
            "scorer,s,s,s\nbodyparts,a,a,a\ncoords,x,y,visible\nlabeled-data/v/img1.png,1,2,1\n",
            [("v", "img1.png", 1, 1)],
            id="visible",
        ),
        pytest.param(
            "scorer,,,s,s,s,s\nindividuals,,,one,one,two,two\nbodyparts,,,a,a,a,a\ncoords,,,x,y,x,y\n"
            "labeled-data,v,img1.png,1,2,3,4\n",
            [("v", "img1.png", 1, 2)],
            id="several-animals",
        ),
    ],
)
def test_dialects(tmp_path, text, expected):
    assert _rows(_read(tmp_path, text)) == expected


def test_bare_names_belong_to_the_folder_of_the_file(tmp_path):
    table = _read(tmp_path, ONE + "img005.png,1,2,3,4\n", "labeled-data/v/CollectedData_me.csv")
    assert _rows(table) == [("v", "img005.png", 5, 2)]


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n", "scorer,s\nbodyparts,a\n", b"\xff\xfe\x00x", ONE.encode() + b"\xe9\n"]
)
def test_files_that_are_no_labels_are_named(tmp_path, text):
    with pytest.raises(LabelError, match=r"CollectedData\.csv"):
        _read(tmp_path, text)


def test_a_changed_file_is_read_again(tmp_path):
    assert len(_read(tmp_path, ONE).rows) == 0
    assert len(_read(tmp_path, ONE + "labeled-data/v/img1.png,1,2,,\n").rows) == 1


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("img00000143.png", 143),
        ("img5.PNG", 5),
        ("cam1_img0005.png", 5),
        ("frame_303.jpg", 303),
        ("2024-01-02_img7.png", 7),
        ("frame 303.png", 303),
        ("img.png", None),
        ("img00000143 (1).png", None),
        ("img00000143 2.png", None),
        ("img00000143 copy 2.png", None),
        ("img00000143_labeled.png", None),
    ],
)
def test_frame_index_of_a_name(name, index):
    assert frame_index_of(name) == index


@settings(max_examples=40, deadline=None)
@given(
    rows=st.dictionaries(st.integers(0, 10**7), st.lists(st.booleans(), min_size=3, max_size=3), max_size=6),
    n_columns=st.sampled_from([1, 3]),
    folder=st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters='/\\",\n'), min_size=1, max_size=8),
)
def test_what_is_written_is_read(tmp_path_factory, rows, n_columns, folder):
    from castle_core.files import nfc

    blank = "," * (n_columns - 1)
    text = "".join(
        f"{word}{blank},{','.join(cells)}\n"
        for word, cells in (("scorer", "ssssss"), ("bodyparts", "aabbcc"), ("coords", "xyxyxy"))
    )
    for index, present in rows.items():
        parts = ("labeled-data", folder, f"img{index:08d}.png")
        points = ",".join("1.5,2" if here else "," for here in present)
        text += ("," if n_columns == 3 else "/").join(parts) + f",{points}\n"
    table = _read(tmp_path_factory.mktemp("labels"), text)
    assert table.keypoints == ("a", "b", "c")
    expected = [(nfc(folder), f"img{i:08d}.png", i, sum(present)) for i, present in rows.items()]
    assert _rows(table) == expected


def test_every_real_label_file_is_read(shared_data):
    expected = {
        "sleap/dlc_csv_variants/CollectedData_LM.csv": (4, 3, "video", 5),
        "sleap/dlc_csv_variants/dlc_testdata.csv": (4, 3, "video", 3),
        "sleap/dlc_csv_variants/dlc_testdata_v2.csv": (4, 3, "video", 3),
        "sleap/dlc_csv_variants/madlc_testdata.csv": (4, 3, "video", 3),
        "sleap/dlc_csv_variants/madlc_testdata_v2.csv": (4, 3, "video", 3),
        "sleap/dlc_csv_variants/maudlc_testdata.csv": (4, 3, "video", 5),
        "sleap/dlc_csv_variants/maudlc_testdata_v2.csv": (4, 3, "video", 5),
        "dlc_openfield/labeled-data/m4s1/CollectedData_Pranav.csv": (116, 116, "m4s1", 4),
        "lp_mirror_mouse/CollectedData.csv": (90, 90, "", 17),
    }
    for name, (n_rows, n_with_points, folder, n_keypoints) in expected.items():
        table = read_label_file(shared_data / name)
        assert len(table.rows) == n_rows, name
        assert sum(row.n_points > 0 for row in table.rows) == n_with_points, name
        assert {row.folder for row in table.rows} == {folder}, name
        assert len(table.keypoints) == n_keypoints, name


def test_the_real_h5_of_deeplabcut_says_what_its_csv_says(shared_data):
    folder = shared_data / "dlc_openfield" / "labeled-data" / "m4s1"
    if not (folder / "CollectedData_Pranav.h5").exists():
        pytest.skip("the h5 is not here")
    assert _rows(read_label_file(folder / "CollectedData_Pranav.h5")) == _rows(
        read_label_file(folder / "CollectedData_Pranav.csv")
    )


def _write_h5(path, frames, *, index=None):
    """Two keypoints in pandas' layout *fixed*, which DeepLabCut writes."""
    import h5py
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs["pandas_type"] = np.bytes_(b"frame")
        group.attrs["nblocks"] = 1
        group["block0_values"] = np.where(np.arange(4) < 2, 1.0, np.nan) + np.zeros((len(frames), 1))
        levels = {
            "block0_items": (["me"], ["nose", "tail"], ["x", "y"]),
            "axis1": (["labeled-data"], ["Mäuse"], [f"img{i:04d}.png" for i in frames]),
        }
        codes = {
            "block0_items": ([0] * 4, [0, 0, 1, 1], [0, 1, 0, 1]),
            "axis1": ([0] * len(frames), [0] * len(frames), range(len(frames))),
        }
        for name in levels:
            if name == "axis1" and index is not None:
                group["axis1"] = np.array(index)
                continue
            for level, (words, numbers) in enumerate(zip(levels[name], codes[name], strict=True)):
                group[f"{name}_level{level}"] = np.array([word.encode() for word in words])
                group[f"{name}_label{level}"] = np.array(list(numbers), np.int8)


def test_labels_that_exist_only_as_h5_count(tmp_path):
    from castle_core.projects import Project

    project = Project.create(tmp_path / "p")
    path = project.path / "labeled-data" / "Mäuse" / "CollectedData_me.h5"
    _write_h5(path, [3, 12])
    assert project.labelled("Mäuse") == {3, 12}
    assert project.keypoints == ("nose", "tail")
    assert project.counts().labelled == 2
    assert [row.n_points for row in project.label_rows("Mäuse")] == [1, 1]
    path.with_suffix(".csv").write_text(
        "scorer,me,me\nbodyparts,nose,nose\ncoords,x,y\nlabeled-data/Mäuse/img0005.png,1,2\n", encoding="utf-8"
    )
    assert project.labelled("Mäuse") == {5}  # the csv beside it is what people edit


@pytest.mark.parametrize("what", ["predictions", "text"])
def test_an_h5_that_holds_no_labels_is_named(tmp_path, what):
    path = tmp_path / "CollectedData_me.h5"
    _write_h5(path, [3, 12], index=[3, 12]) if what == "predictions" else path.write_text("labels")
    with pytest.raises(LabelError, match=r"CollectedData_me\.h5"):
        read_label_file(path)
