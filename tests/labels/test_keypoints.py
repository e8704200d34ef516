"""Keypoints are read from every tool's files, and renamed everywhere at once."""

import json

import numpy as np
import pytest
from label_builders import frame

from castle_core.errors import LabelError
from castle_core.labels import Labels, read_collected_data, update_project_labels
from castle_core.labels.deeplabcut import labels_h5, read_dlc_labels_h5
from castle_core.labels.keypoints import keypoint_sources, read_keypoints, rename_keypoint
from castle_core.projects import Project


def test_from_the_files_of_every_tool(shared_data):
    def names(path):
        return read_keypoints(shared_data / path).keypoints

    openfield = ("snout", "leftear", "rightear", "tailbase")
    assert names("dlc_openfield/config.yaml") == openfield
    assert names("dlc_openfield/labeled-data/m4s1/CollectedData_Pranav.csv") == openfield
    assert names("dlc_openfield/labeled-data/m4s1/CollectedData_Pranav.h5") == openfield
    assert len(names("lp_mirror_mouse/config_mirror-mouse-example.yaml")) == 17
    assert len(names("derived_lp_style/dance.csv")) == 17
    several = read_keypoints(shared_data / "sleap" / "dlc_csv_variants" / "madlc_230_config.yaml")
    assert several.individuals
    assert several.keypoints
    maudlc = read_keypoints(shared_data / "sleap" / "dlc_csv_variants" / "maudlc_testdata_v2.csv")
    assert maudlc.keypoints == ("A", "B", "C", "D", "E")
    assert maudlc.individuals == ("Animal1", "Animal2", "single")


def test_from_slp(shared_data):
    pytest.importorskip("sleap_io")
    found = read_keypoints(shared_data / "sleap" / "predictions" / "dance.mp4.labels.slp")
    assert len(found.keypoints) == 17
    assert found.pairs
    assert set(sum(found.pairs, ())) <= set(found.keypoints)


def test_skeletons_of_other_tools(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("bodyparts: [a, b, c]\nskeleton:\n- [a, b]\n- [b, c, x]\n")
    assert read_keypoints(path).pairs == (("a", "b"), ("b", "c"))
    path = tmp_path / "coco.json"
    path.write_text(json.dumps({"categories": [{"keypoints": ["a", "b"], "skeleton": [[1, 2]]}]}))
    assert read_keypoints(path).pairs == (("a", "b"),)


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("a.yaml", "a: [", "no YAML"),
        ("a.yaml", "a: 1", "names no keypoints"),
        ("a.yaml", "- 1", "holds no settings"),
        ("a.json", "[]", "no COCO"),
        ("a.txt", "a", "keypoints are read from"),
        ("a.csv", "1,2\n", "a.csv"),
    ],
)
def test_damage_is_named(tmp_path, name, text, what):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(LabelError) as caught:
        read_keypoints(path)
    assert what in str(caught.value)


@pytest.fixture
def project(tmp_path):
    made = Project.create(tmp_path / "p", keypoints=("nose", "tail"), skeleton=[("nose", "tail")])
    labels = Labels(("nose", "tail"), ("",), (frame(1),), np.array([[[[1.25, 2], [3, 4]]]]), scorer="a,b")
    update_project_labels(made, labels)
    return made


def test_renaming_changes_the_header_only(project):
    path = project.path / "CollectedData.csv"
    before = path.read_text()
    done = rename_keypoint(project, "nose", 'snout "1", <b>')
    assert done.files == (path,)
    assert read_collected_data(path).keypoints == ('snout "1", <b>', "tail")
    lines, old = path.read_text().splitlines(), before.splitlines()
    assert [line for at, line in enumerate(lines) if at != 1] == [line for at, line in enumerate(old) if at != 1]
    assert project.keypoints == ('snout "1", <b>', "tail")
    assert project.skeleton == (('snout "1", <b>', "tail"),)
    assert (project.path / ".castle" / "last-good" / "CollectedData.csv").read_text() == before
    assert not done.warnings
    rename_keypoint(project, 'snout "1", <b>', "nose")
    assert path.read_text() == before


def test_renaming_warns_about_what_it_cannot_change(project):
    project.save_settings("label_studio", {"projects": {"http://x": 3}})
    (project.path / "config.yaml").write_text("bodyparts: [nose]\n")
    folder = project.path / "models" / "a"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("{}")
    warnings = rename_keypoint(project, "nose", "snout").warnings
    assert [word in line for word, line in zip(("Label Studio", "config.yaml", "Models"), warnings, strict=True)]


def test_renaming_renews_deeplabcuts_h5(project):
    folder = project.path / "labeled-data" / "w"
    folder.mkdir(parents=True)
    labels = Labels(("nose", "tail"), ("",), (frame(1, "w"),), np.ones((1, 1, 2, 2)), scorer="me")
    from castle_core.labels import write_collected_data

    write_collected_data(folder / "CollectedData_me.csv", labels, n_index=3)
    (folder / "CollectedData_me.h5").write_bytes(labels_h5(labels))
    assert len(rename_keypoint(project, "tail", "tailbase").files) == 2
    assert read_dlc_labels_h5(folder / "CollectedData_me.h5").keypoints == ("nose", "tailbase")
    (folder / "CollectedData_me.csv").unlink()
    with pytest.raises(LabelError, match="has no csv beside it"):
        rename_keypoint(project, "tailbase", "t")


def test_a_name_that_is_taken_unknown_or_empty_changes_nothing(project):
    before = (project.path / "CollectedData.csv").read_bytes()
    for old, new, what in (("nose", "tail", "already"), ("ear", "x", "no keypoint 'ear'"), ("nose", " ", "a name")):
        with pytest.raises(LabelError) as caught:
            rename_keypoint(project, old, new)
        assert what in str(caught.value)
    assert (project.path / "CollectedData.csv").read_bytes() == before


def test_sources_of_a_project(project, shared_data):
    (project.path / "config.yaml").write_bytes((shared_data / "dlc_openfield" / "config.yaml").read_bytes())
    (project.path / "broken.slp").write_bytes(b"no")
    found = keypoint_sources(project)
    assert list(found) == ["CollectedData.csv", "config.yaml"]
    assert found["config.yaml"].keypoints[0] == "snout"
