"""Merging loses nothing, and says what it did."""

import numpy as np
import pytest

from castle_core.errors import LabelError, LockHeldError, ProjectError
from castle_core.files import locked
from castle_core.labels import Labels, merge_labels, project_labels, read_collected_data, update_project_labels
from castle_core.projects import Project
from castle_core.video.images import encode_png

NAN = float("nan")


def labels(frames, xy, keypoints=("a", "b"), **more):
    shape = (len(frames), 1, len(keypoints), 2)
    return Labels(tuple(keypoints), ("",), tuple(frames), np.array(xy, float).reshape(shape), **more)


def frame(number, stem="v", width=8):
    return f"labeled-data/{stem}/img{number:0{width}d}.png"


def test_rows_that_the_new_labels_do_not_know_stay():
    old = labels([frame(2), frame(9)], [[1, 2], [3, 4], [5, 6], [7, 8]], scorer="anna")
    new = labels([frame(1), frame(9)], [[0, 1], [NAN, NAN], [5, 6], [7, 9]])
    merged, report = merge_labels(old, new)
    assert merged.frames == (frame(1), frame(2), frame(9))
    assert merged.xy[1].tolist() == old.xy[0].tolist()
    assert merged.xy[2, 0, 1].tolist() == [7, 9]
    assert merged.scorer == "anna"
    assert (report.added, report.changed, report.kept) == ((frame(1),), (frame(9),), 1)
    assert (report.points_added, report.points_moved, report.points_removed) == (1, 1, 0)


def test_an_empty_row_counts_only_if_somebody_said_no_animal():
    old = labels([frame(1), frame(2)], [[1, 2], [3, 4], [5, 6], [7, 8]])
    empty = [[NAN, NAN]] * 4
    merged, report = merge_labels(old, labels([frame(1), frame(2)], empty, no_animal=frozenset({frame(2)})))
    assert report.said_nothing == (frame(1),)
    assert report.emptied == (frame(2),)
    assert merged.no_animal == {frame(2)}
    assert merged.xy[0].tolist() == old.xy[0].tolist()
    back, _ = merge_labels(merged, labels([frame(2)], [[1, 1], [NAN, NAN]]))
    assert back.no_animal == frozenset()


def test_keypoints_and_animals_that_only_one_side_has():
    old = labels([frame(1)], [[1, 2], [3, 4]])
    new = labels([frame(1)], [[9, 9], [5, 5]], keypoints=("c", "a"))
    merged, report = merge_labels(old, new)
    assert merged.keypoints == ("a", "b", "c")
    assert merged.xy[0, 0].tolist() == [[5, 5], [3, 4], [9, 9]]
    assert report.new_keypoints == ("c",)
    several = Labels(("a",), ("m", "n"), (frame(1),), np.zeros((1, 2, 1, 2)))
    with pytest.raises(LabelError, match="Name the animals alike"):
        merge_labels(several, new)
    more, _ = merge_labels(several, Labels(("a",), ("n", "o"), (frame(1),), np.ones((1, 2, 1, 2))))
    assert more.individuals == ("m", "n", "o")
    assert more.xy[0, :, 0, 0].tolist() == [0, 1, 1]


def test_visible_columns_survive_and_follow():
    old = labels([frame(1)], [[1, 2], [3, 4], [NAN, NAN]], ("a", "b", "c"), visible=np.array([[[1.0, 2, 0]]]))
    new = labels([frame(1)], [[1, 5], [NAN, NAN], [8, 8]], ("a", "b", "c"))
    merged, _ = merge_labels(old, new)
    assert merged.visible[0, 0].tolist() == [1, 0, 2]


def test_another_padding_is_the_same_frame():
    old = labels([frame(5, width=4)], [[1, 2], [3, 4]])
    merged, report = merge_labels(old, labels([frame(5)], [[1, 2], [3, 5]]))
    assert merged.frames == (frame(5, width=4),)
    assert report.renamed == ((frame(5), frame(5, width=4)),)
    other, _ = merge_labels(old, labels(["labeled-data/v/cam2_img5.png"], [[1, 2], [3, 5]]))
    assert other.n_frames == 2


def test_paddings_of_two_images_on_disk_are_two_frames(tmp_path):
    """img0012 and img00000012: as long as both are there, neither gets the other's labels."""
    from castle_core.labels.lightning_pose import unlabelled_frames

    short, long = "labeled-data/v/img0012.png", "labeled-data/v/img00000012.png"
    project = Project.create(tmp_path / "p", keypoints=("a",))
    (project.path / "labeled-data/v").mkdir(parents=True)
    for path in (short, long):
        (project.path / path).write_bytes(encode_png(np.full((8, 8, 3), 9, np.uint8)))
    (project.path / "labeled-data/v/selected_frames.csv").write_text("img00000012.png\n")
    update_project_labels(project, Labels(("a",), ("",), (short,), np.full((1, 1, 1, 2), 1.0)))
    assert unlabelled_frames(project, project_labels(project)) == [long]
    report = update_project_labels(project, Labels(("a",), ("",), (long,), np.full((1, 1, 1, 2), 2.0)))
    assert (report.added, report.changed) == ((long,), ())
    after = project_labels(project)
    assert dict(zip(after.frames, after.xy[:, 0, 0, 0].tolist(), strict=True)) == {short: 1.0, long: 2.0}
    (project.path / short).unlink()
    (project.path / "CollectedData.csv").unlink()
    update_project_labels(project, Labels(("a",), ("",), (short,), np.full((1, 1, 1, 2), 1.0)))
    report = update_project_labels(project, Labels(("a",), ("",), (long,), np.full((1, 1, 1, 2), 2.0)))
    assert (report.added, report.changed) == ((), (short,))  # one image under two names


def test_merging_twice_changes_nothing(tmp_path):
    project = Project.create(tmp_path / "p")
    new = labels([frame(1), frame(2)], [[1, 2], [3, 4], [5, 6], [7, 8]])
    assert update_project_labels(project, new).added == new.frames
    path = project.path / "CollectedData.csv"
    text, written = path.read_text(), path.stat().st_mtime_ns
    assert text.startswith("scorer,scorer,")
    assert not update_project_labels(project, new).any_change
    assert (path.read_text(), path.stat().st_mtime_ns) == (text, written)


def test_the_file_before_is_kept_and_what_others_wrote_stays(tmp_path):
    project = Project.create(tmp_path / "p")
    path = project.path / "CollectedData.csv"
    header = "scorer,anna,anna,anna,anna,anna\nbodyparts,a,a,a,b,b\ncoords,x,y,mood,x,y\n"
    path.write_text(header + f"{frame(3)},1.0,2.00,good,,\n")
    before = path.read_text()
    update_project_labels(project, labels([frame(1)], [[1, 2], [3, 4]]))
    assert path.read_text() == header + f"{frame(1)},1.0,2.0,,3.0,4.0\n{frame(3)},1.0,2.00,good,,\n"
    assert (project.path / ".castle" / "last-good" / "CollectedData.csv").read_text() == before


def test_a_damaged_or_locked_file_is_not_touched(tmp_path, monkeypatch):
    project = Project.create(tmp_path / "p")
    path = project.path / "CollectedData.csv"
    path.write_text("not a label file\n")
    new = labels([frame(1)], [[1, 2], [3, 4]])
    with pytest.raises(LabelError, match="no label header"):
        update_project_labels(project, new)
    assert path.read_text() == "not a label file\n"
    path.unlink()
    with locked(path), pytest.raises(LockHeldError, match="is being written by"):
        monkeypatch.setattr("castle_core.labels.in_project.locked", lambda p: locked(p, timeout_s=0.1))
        update_project_labels(project, new)
    assert not path.exists()


def test_a_full_disk_leaves_the_labels_as_they_are(tmp_path, monkeypatch):
    project = Project.create(tmp_path / "p")
    update_project_labels(project, labels([frame(1)], [[1, 2], [3, 4]]))
    before = (project.path / "CollectedData.csv").read_bytes()

    def full(temporary, path):
        raise OSError(28, "No space left on device")

    new = labels([frame(2)], [[1, 2], [3, 4]])
    with pytest.raises(ProjectError, match="the disk is full"):
        update_project_labels(project, new, publish=full)
    assert (project.path / "CollectedData.csv").read_bytes() == before
    assert update_project_labels(project, new).added == (frame(2),)


def test_labels_of_a_project_in_every_place(tmp_path, shared_data):
    project = Project.create(tmp_path / "p")
    assert project_labels(project).n_frames == 0
    folder = project.path / "labeled-data" / "m4s1"
    folder.mkdir(parents=True)
    source = shared_data / "dlc_openfield" / "labeled-data" / "m4s1"
    (folder / "CollectedData_Pranav.h5").write_bytes((source / "CollectedData_Pranav.h5").read_bytes())
    from_h5 = project_labels(project)
    (folder / "CollectedData_Pranav.csv").write_bytes((source / "CollectedData_Pranav.csv").read_bytes())
    assert project_labels(project).same_as(from_h5, tolerance=1e-9)
    assert from_h5.n_frames == 116
    update_project_labels(project, labels([frame(1)], [[1, 2], [3, 4]], ("snout", "leftear")))
    everything = read_collected_data(project.path / "CollectedData.csv")
    assert everything.n_frames == 117
    assert everything.scorer == "Pranav"


def test_views(tmp_path):
    project = Project.create(tmp_path / "p")
    new = labels([frame(1)], [[1, 2], [3, 4]])
    update_project_labels(project, new, view="top")
    assert (project.path / "CollectedData_top.csv").exists()
    assert project_labels(project).n_frames == 1, "the only view needs no name"
    update_project_labels(project, new, view="side")
    with pytest.raises(LabelError, match="side, top"):
        project_labels(project)
    assert project_labels(project, "side").n_frames == 1
