import json

import pytest
from fake_videos import install, make_project, tree
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from castle_core.errors import ProjectError
from castle_core.frames import (
    export_frames,
    images_by_index,
    list_rounds,
    new_round,
    read_record,
    remove_frame,
    undo_round,
    with_context,
)


@pytest.fixture
def project(tmp_path, monkeypatch):
    install(monkeypatch)
    return make_project(tmp_path / "project", ("mouse", "rat"))


def _label(project, stem, frame_indices):
    rows = "".join(
        f"{project.frames_folder(stem).relative_to(project.path)}/img{i:08d}.png,1,2\n" for i in frame_indices
    )
    (project.path / "CollectedData.csv").write_text(f"scorer,s,s\nbodyparts,a,a\ncoords,x,y\n{rows}")


def test_undo_takes_back_the_round_and_its_context_only(project):
    export_frames(project, "mouse", [10], round_info=new_round("kmeans", id="one"))
    before = tree(project.path)
    export_frames(project, "mouse", [11, 30], round_info=new_round("kmeans", id="two"))
    report = undo_round(project, "two")
    assert report.removed == {"mouse": (11, 30)}
    assert tree(project.path) == before


def test_undo_of_the_only_round_leaves_no_folder(project):
    before = tree(project.path)
    export_frames(project, "mouse", [10], round_info=new_round("kmeans", id="one"))
    undo_round(project, "one")
    assert tree(project.path) == before
    assert not project.frames_folder("mouse").exists()


def test_a_round_over_two_videos_is_undone_in_both(project):
    for stem in ("mouse", "rat"):
        export_frames(project, stem, [10], round_info=new_round("kmeans", id="one"))
    (each,) = list_rounds(project)
    assert each.frames == {"mouse": (10,), "rat": (10,)}
    assert each.n_frames == 2
    assert undo_round(project, "one").n_removed == 2
    assert list_rounds(project) == ()


def test_labelled_frames_stay_with_their_context(project):
    export_frames(project, "mouse", [10, 20], round_info=new_round("kmeans", id="one"))
    _label(project, "mouse", [10])
    report = undo_round(project, "one")
    assert report.removed == {"mouse": (20,)}
    assert report.labelled == {"mouse": (10,)}
    assert list(project.selected("mouse")) == [10]
    assert list(images_by_index(project.frames_folder("mouse"))) == [8, 9, 10, 11, 12]
    assert list_rounds(project)[0].labelled == {"mouse": (10,)}


def test_a_labelled_context_frame_stays(project):
    export_frames(project, "mouse", [10], round_info=new_round("kmeans", id="one"))
    _label(project, "mouse", [11])
    undo_round(project, "one")
    assert list(images_by_index(project.frames_folder("mouse"))) == [11]


def test_a_pick_of_one_round_stays_as_context_of_another(project):
    export_frames(project, "mouse", [10], round_info=new_round("kmeans", id="one"))
    export_frames(project, "mouse", [12], round_info=new_round("kmeans", id="two"))
    undo_round(project, "one")
    assert list(project.selected("mouse")) == [12]
    assert list(images_by_index(project.frames_folder("mouse"))) == [10, 11, 12, 13, 14]
    undo_round(project, "two")
    assert not project.frames_folder("mouse").exists()


def test_an_unknown_round_is_said_so(project):
    export_frames(project, "mouse", [10], round_info=new_round("kmeans", id="one"))
    with pytest.raises(ProjectError, match="no round nine"):
        undo_round(project, "nine")


def test_removing_one_frame(project):
    export_frames(project, "mouse", [10, 13, 30])
    remove_frame(project, "mouse", 13)
    assert list(project.selected("mouse")) == [10, 30]
    assert list(images_by_index(project.frames_folder("mouse"))) == [8, 9, 10, 11, 12, 28, 29, 30, 31, 32]
    _label(project, "mouse", [10])
    with pytest.raises(ProjectError, match="has labels and stays"):
        remove_frame(project, "mouse", 10)
    with pytest.raises(ProjectError, match="not among the selected"):
        remove_frame(project, "mouse", 11)


def test_images_of_other_tools_are_only_taken_from_the_list(project):
    folder = project.path / "labeled-data" / "mouse"
    folder.mkdir(parents=True)
    (folder / "img0010.png").write_bytes(b"theirs")
    (folder / "selected_frames.csv").write_text("img0010.png\n")
    remove_frame(project, "mouse", 10)
    assert [path.name for path in folder.iterdir()] == ["img0010.png"]


def test_nothing_is_removed_while_labels_cannot_be_read(project):
    export_frames(project, "mouse", [10], round_info=new_round("kmeans", id="one"))
    (project.path / "CollectedData.csv").write_bytes(b"\xff\xfe\x00")
    before = tree(project.path)
    with pytest.raises(Exception, match="CollectedData"):
        undo_round(project, "one")
    assert tree(project.path) == before


def test_unknown_keys_of_the_record_survive(project):
    export_frames(project, "mouse", [10], round_info=new_round("kmeans", id="one"))
    path = project.frames_folder("mouse") / "selection.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"theirs": [1]}))
    export_frames(project, "mouse", [20], round_info=new_round("kmeans", id="two"))
    undo_round(project, "one")
    undo_round(project, "two")
    assert json.loads(path.read_text())["theirs"] == [1]


def test_more_context_for_a_frame_that_is_there(project):
    export_frames(project, "mouse", [10], context=0, round_info=new_round("kmeans", id="one"))
    again = export_frames(project, "mouse", [10], context=2, round_info=new_round("kmeans", id="two"))
    assert (again.written, again.kept, again.context_written) == ((), (10,), (8, 9, 11, 12))
    assert [each.info.id for each in list_rounds(project)] == ["one"]
    undo_round(project, "one")
    assert not project.frames_folder("mouse").exists()


_frames = st.lists(st.integers(0, 29), min_size=1, max_size=4)
_step = st.one_of(
    st.tuples(st.just("export"), _frames, st.integers(0, 3)),
    st.tuples(st.just("undo"), st.integers(0, 5)),
    st.tuples(st.just("remove"), st.integers(0, 29)),
    st.tuples(st.just("label"), st.lists(st.integers(0, 29), max_size=3)),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(_step, min_size=1, max_size=6), theirs=st.sets(st.integers(0, 29), max_size=3))
def test_any_sequence_keeps_the_folder_whole(tmp_path_factory, monkeypatch, steps, theirs):
    """Against a simple model: what is selected, whose images are there, and that a new round undone leaves no trace."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    install(monkeypatch)
    project = make_project(tmp_path_factory.mktemp("model") / "project", n_frames=30)
    folder = project.frames_folder("mouse")
    if theirs:
        folder.mkdir(parents=True)
        for index in theirs:
            (folder / f"img{index:04d}.png").write_bytes(b"theirs")
    picked: dict[int, tuple[str, int]] = {}  # frame index: (round, context)
    labelled: set[int] = set()
    for number, step in enumerate(steps):
        if step[0] == "export":
            before = tree(project.path)
            info = new_round("kmeans", id=f"round-{number}")
            export_frames(project, "mouse", step[1], context=step[2], round_info=info)
            widened = any(index in picked and picked[index][1] < step[2] for index in step[1])
            if set(step[1]) - set(picked) and not widened and not _near(step, labelled):
                undo_round(project, info.id)
                assert tree(project.path) == before
                export_frames(project, "mouse", step[1], context=step[2], round_info=info)
            for index in step[1]:
                first, context = picked.get(index, (info.id, step[2]))
                picked[index] = (first, max(context, step[2]))
        elif step[0] == "undo":
            rounds = list_rounds(project)
            if rounds:
                target = rounds[step[1] % len(rounds)].info.id
                undo_round(project, target)
                picked = {i: said for i, said in picked.items() if said[0] != target or i in labelled}
        elif step[0] == "remove":
            if step[1] in picked and step[1] not in labelled:
                remove_frame(project, "mouse", step[1])
                del picked[step[1]]
            else:
                with pytest.raises(ProjectError):
                    remove_frame(project, "mouse", step[1])
        else:
            labelled = {index for index in step[1] if index in images_by_index(folder)}
            names = images_by_index(folder)
            rows = "".join(f"labeled-data,mouse,{names[index]},1,2\n" for index in sorted(labelled))
            head = "scorer,,,s,s\nbodyparts,,,a,a\ncoords,,,x,y\n"
            (project.path / "CollectedData.csv").write_text(head + rows)
        assert list(project.selected("mouse")) == sorted(picked)
        images = images_by_index(folder)
        must = {near for i, (_, context) in picked.items() for near in with_context(i, context, 30)}
        assert set(images) >= must | labelled | theirs
        assert set(images.values()) >= set(project.selected("mouse").values())
        record = read_record(folder)
        assert {f.frame_index for r in record.rounds for f in r.frames} == set(picked)
        assert set(project.covered("mouse")) == set(picked) | labelled | theirs
        ours = {index for index, name in images.items() if name in record.written}
        assert ours | theirs == set(images)
    for each in list_rounds(project):
        undo_round(project, each.info.id)
    if not labelled:
        assert set(images_by_index(folder)) >= theirs


def _near(step, labelled):
    return {near for index in step[1] for near in with_context(index, step[2])} & labelled
