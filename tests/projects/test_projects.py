import json
import os
import shutil
import unicodedata

import pytest
from fake_videos import install, make_project, tree, write_video

from castle_core.errors import ConfigError, NameRefusedError, ProjectError, VideoError
from castle_core.frames import export_frames
from castle_core.projects import Project, ProjectCounts, find_projects, is_project, resolve_project_path
from castle_core.state import castle_home, castle_state


@pytest.fixture
def project(tmp_path, monkeypatch):
    install(monkeypatch)
    return make_project(tmp_path / "project", ("mouse", "rat"))


# ---------------------------------------------------------------------- open, create, find


def test_create_open_and_find():
    made = Project.create("first", keypoints=["nose", "tail"], skeleton=[("nose", "tail")])
    assert made.path == castle_home() / "first"
    again = Project.open("first")
    assert again == made
    assert again.keypoints == ("nose", "tail")
    assert again.skeleton == (("nose", "tail"),)
    assert again.counts() == ProjectCounts(0, 0, 0, 0)
    (made.path / "latent" / "hog").mkdir(parents=True)
    for name in ("a_ROI_1_hog.npz", "a_ROI_1_hog.npz.json", "a_ROI_1_hog_map.h5"):
        (made.path / "latent" / "hog" / name).touch()
    assert again.counts().latents == 2
    assert json.loads((made.path / "project.json").read_text())["created"]
    Project.create(castle_home() / "Another one")
    (castle_home() / "not-a-project").mkdir()
    (castle_home() / ".hidden" / "videos").mkdir(parents=True)
    assert [path.name for path in find_projects()] == ["Another one", "first"]


def test_nothing_is_created_over_something(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ProjectError, match="not empty"):
        Project.create(tmp_path / "full")
    (tmp_path / "empty").mkdir()
    assert is_project(Project.create(tmp_path / "empty").path)
    with pytest.raises(NameRefusedError):
        Project.create(tmp_path / ("x" * 300))


def test_open_refuses_what_is_no_project(tmp_path):
    with pytest.raises(ProjectError, match="no project at"):
        Project.open(tmp_path / "nothing")
    (tmp_path / "pictures").mkdir()
    with pytest.raises(ProjectError, match="is not a project"):
        Project.open(tmp_path / "pictures")
    with pytest.raises(ProjectError, match="no project at"):
        Project.open("nothing")


@pytest.mark.parametrize("inside", ["videos/", "sources/", "labeled-data/", "config.json", "project.json"])
def test_existing_folders_open_as_they_are(tmp_path, inside):
    folder = tmp_path / "theirs"
    folder.mkdir()
    if inside.endswith("/"):
        (folder / inside).mkdir()
    else:
        (folder / inside).write_text("{}")
    before = tree(folder)
    opened = Project.open(folder)
    assert opened.videos() == ()
    assert opened.counts() == ProjectCounts(0, 0, 0, 0)
    assert tree(folder) == before
    assert not (folder / ".castle").exists()


def test_a_bare_name_is_at_home_first_then_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resolve_project_path("new") == castle_home() / "new"
    (tmp_path / "new").mkdir()
    assert resolve_project_path("new") == tmp_path / "new"
    (castle_home() / "new").mkdir(parents=True)
    assert resolve_project_path("new") == castle_home() / "new"
    assert resolve_project_path("./new") == tmp_path / "new"


def test_open_or_create(tmp_path):
    made, is_new = Project.open_or_create(tmp_path / "p")
    assert is_new
    assert Project.open_or_create(tmp_path / "p") == (made, False)


def test_a_damaged_document_is_named(project):
    (project.path / "project.json").write_text("{oops")
    with pytest.raises(ProjectError, match=r"project\.json is damaged"):
        project.videos()
    (project.path / "project.json").write_text("[]")
    with pytest.raises(ProjectError, match="no JSON object"):
        project.videos()


def test_unknown_keys_survive(project):
    path = project.path / "project.json"
    path.write_text(json.dumps({"theirs": {"a": [1]}}))
    project.set_true_fps("mouse", 250)
    project.save_settings("extract", {"n": 20})
    project.save_settings("latent", {"roi": 1})
    assert json.loads(path.read_text())["theirs"] == {"a": [1]}
    assert project.settings("extract") == {"n": 20}
    assert project.settings("nothing") == {}


def test_keypoints_are_checked(project):
    for names, skeleton in ((["a", "a"], []), ([""], []), (["a"], [("a", "b")])):
        with pytest.raises(ConfigError):
            project.save_keypoints(names, skeleton)
    assert project.keypoints == ()


def test_keypoints_come_from_labels_where_none_are_saved(project):
    (project.path / "CollectedData.csv").write_text("scorer,s,s,s,s\nbodyparts,b,b,a,a\ncoords,x,y,x,y\n")
    assert project.keypoints == ("b", "a")
    project.save_keypoints(["c"])
    assert project.keypoints == ("c",)


# ---------------------------------------------------------------------- videos


def test_videos_are_found_by_stem_name_and_path(project):
    assert [entry.stem for entry in project.videos()] == ["mouse", "rat"]
    for name in ("mouse", "mouse.mp4", str(project.path / "videos" / "mouse.mp4")):
        assert project.video(name).name == "mouse.mp4"
    with pytest.raises(ProjectError, match=r"no video 'cat'.*mouse\.mp4, rat\.mp4"):
        project.video("cat")


def test_both_folders_are_listed_and_one_video_in_both_once(project):
    (project.path / "sources").mkdir()
    write_video(project.path / "sources" / "cat.AVI")
    (project.path / "sources" / "mouse.mp4").symlink_to("../videos/mouse.mp4")
    write_video(project.path / "sources" / "RAT.mov")
    (project.path / "videos" / "notes.txt").touch()
    (project.path / "videos" / ".mp4").touch()
    (project.path / "videos" / "folder.mp4").mkdir()
    (project.path / "videos" / "._mouse.mp4").write_bytes(b"\x00\x05\x16\x07\x00\x02")
    write_video(project.path / "videos" / "._really.mp4")
    assert [entry.name for entry in project.videos()] == ["._really.mp4", "cat.AVI", "mouse.mp4", "rat.mp4"]
    assert [path.name for path in project.clashing_videos()] == ["RAT.mov"]


def test_names_are_nfc_whatever_the_disk_says(project):
    decomposed = unicodedata.normalize("NFD", "Mäuse")
    write_video(project.path / "videos" / f"{decomposed}.mp4")
    entry = project.video("Mäuse")
    assert entry.stem == unicodedata.normalize("NFC", "Mäuse")
    assert entry.path.name == f"{decomposed}.mp4"
    assert project.video(decomposed) == entry
    (project.path / "labeled-data" / decomposed).mkdir(parents=True)
    assert project.frames_folder("Mäuse").name == decomposed


def test_true_frame_rate(project):
    project.set_true_fps("mouse.mp4", 250)
    assert project.video("mouse").true_fps == 250
    assert project.video("rat").true_fps is None
    with project.open_video("mouse") as video:
        assert video.average_fps == 250
        assert video.times_s[25] == pytest.approx(0.1)
    assert json.loads((project.path / "project.json").read_text())["true_fps"] == {"mouse": 250.0}
    project.set_true_fps("mouse", None)
    assert project.video("mouse").true_fps is None
    for fps in (0, -1, float("nan"), float("inf"), 1e9):
        with pytest.raises(ConfigError):
            project.set_true_fps("mouse", fps)


def test_linking_never_touches_the_source(project, tmp_path):
    source = write_video(tmp_path / "day 1" / "cat.mp4") if (tmp_path / "day 1").mkdir() is None else None
    before = source.stat()
    entry = project.link_video(source)
    assert entry.is_link
    assert os.readlink(entry.path) == str(source)
    assert project.link_video(source) == entry
    assert source.stat().st_mtime_ns == before.st_mtime_ns
    with pytest.raises(VideoError, match="no video file"):
        project.link_video(tmp_path / "nothing.mp4")
    text = tmp_path / "notes.txt"
    text.touch()
    with pytest.raises(NameRefusedError, match="does not look like a video"):
        project.link_video(text)
    renamed = tmp_path / "notes.mp4"
    renamed.write_text("this is no video")
    with pytest.raises(VideoError, match=r"notes\.mp4 is not a video"):
        project.link_video(renamed)
    assert {each.name for each in project.videos()} == {"mouse.mp4", "rat.mp4", "cat.mp4"}


def test_a_second_video_of_a_stem_gets_an_offer(project, tmp_path):
    folder = tmp_path / "day2"
    folder.mkdir()
    source = write_video(folder / "MOUSE.avi")
    with pytest.raises(NameRefusedError, match="'day2_MOUSE' instead"):
        project.link_video(source)
    assert project.offer_name(source) == "day2_MOUSE"
    assert project.link_video(source, stem=project.offer_name(source)).name == "day2_MOUSE.avi"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "day2").mkdir()
    other = write_video(tmp_path / "other" / "day2" / "mouse.mkv")
    with pytest.raises(NameRefusedError, match="Rename the new one"):
        project.offer_name(other)
    assert len(project.videos()) == 3


def test_a_link_whose_source_is_gone(project, tmp_path):
    source = write_video(tmp_path / "cat.mp4")
    project.link_video(source)
    source.unlink()
    assert project.video("cat").missing
    with pytest.raises(VideoError, match=r"cat\.mp4 links to .* is gone"):
        project.open_video("cat")


def test_adopting_an_upload(project, tmp_path):
    upload = write_video(project.cache_dir / "upload.part", n_frames=7)
    entry = project.adopt_video(upload, "new one.mp4")
    assert entry.stem == "new one"
    assert not upload.exists()
    assert entry.path.stat().st_mode & 0o777 == 0o666 & ~0o022
    upload = write_video(project.cache_dir / "upload.part", n_frames=8)
    with pytest.raises(NameRefusedError, match="already"):
        project.adopt_video(upload, "NEW one.avi")
    for name in ("../x.mp4", "a/b.mp4", "x" * 260 + ".mp4", "", "x.exe", "a\x00.mp4"):
        with pytest.raises(NameRefusedError):
            project.adopt_video(upload, name)
    assert upload.exists()


@pytest.mark.parametrize(
    "name", ["a b.c.mp4", 'quo\'te "x".mp4', "日本語🐭.mp4", ".lead.mp4", "x" * 200 + ".mp4", "--x.mp4"]
)
def test_odd_video_names(project, tmp_path, name):
    source = write_video(tmp_path / name)
    entry = project.link_video(source)
    assert entry.name == name
    assert project.video(entry.stem) == entry
    assert project.require_video(str(source)) == entry


def test_castles_registry_is_kept_true(project):
    config = project.path / "config.json"
    config.write_text(json.dumps({"project_name": "theirs", "source": ["old.mp4"], "observer_dim": 768}))
    project.register_latent("mouse_ROI_1_x.npz", "mouse")
    project.register_latent("mouse_ROI_2_x.npz", "mouse")
    assert json.loads(config.read_text()) == {
        "project_name": "theirs",
        "source": ["old.mp4", "mouse.mp4"],
        "observer_dim": 768,
        "latent": {"mouse_ROI_1_x.npz": "mouse.mp4", "mouse_ROI_2_x.npz": "mouse.mp4"},
    }
    link = project.path / "sources" / "mouse.mp4"
    assert link.samefile(project.path / "videos" / "mouse.mp4")
    assert [entry.stem for entry in project.videos()] == ["mouse", "rat"]
    assert project.clashing_videos() == ()


# ---------------------------------------------------------------------- labels, counts, places


def test_counts_and_covered(project):
    (project.path / "labeled-data" / "mouse").mkdir(parents=True)
    (project.path / "labeled-data" / "mouse" / "selected_frames.csv").write_text("img00000005.png\nimg00000009.png\n")
    head = "scorer,s,s\nbodyparts,a,a\ncoords,x,y\n"
    (project.path / "CollectedData_top.csv").write_text(head + "labeled-data/mouse/img00000005.png,1,2\n")
    (project.path / "CollectedData_side.csv").write_text(head + "labeled-data/rat/img0007.png,,\n")
    (project.path / "latent" / "enc").mkdir(parents=True)
    (project.path / "latent" / "enc" / "x.npz").touch()
    assert project.counts() == ProjectCounts(videos=2, selected=2, labelled=2, latents=1)
    assert project.labelled("mouse") == {5}
    assert project.labelled("rat") == {7}
    assert project.covered("mouse") == (5, 9)
    assert project.covered("rat") == (7,)
    (project.path / "CollectedData_bad.csv").write_text("nothing")
    assert project.counts().labelled == 2


def test_read_only_projects_keep_their_caches_elsewhere(project, monkeypatch):
    monkeypatch.setattr(Project, "read_only", True)
    assert project.cache_dir.is_relative_to(castle_state() / "cache")
    with pytest.raises(ProjectError, match="read-only"):
        project.save_keypoints(["a"])
    with pytest.raises(ProjectError, match="read-only"):
        project.link_video(project.path / "videos" / "mouse.mp4", stem="x")


def test_a_vanished_project_is_not_made_anew(project):
    project.path.rename(project.path.with_name("moved"))
    for work in (
        lambda: project.cache_dir,
        lambda: project.set_true_fps("mouse", 3),
        lambda: project.save_settings("x", {}),
        lambda: project.video("mouse"),
        lambda: project.open_video("mouse"),
    ):
        with pytest.raises(ProjectError, match="is gone"):
            work()
    assert not project.path.exists()


def test_real_projects_open_as_they_are(shared_data):
    mirror = Project.open(shared_data / "lp_mirror_mouse")
    assert [entry.stem for entry in mirror.videos()] == ["test_vid"]
    assert len(mirror.keypoints) == 17
    assert mirror.counts() == ProjectCounts(1, 0, 90, 0)
    castle = Project.open(shared_data / "castle" / "test-c_elegans-1min")
    assert castle.counts().latents == 1
    openfield = Project.open(shared_data / "dlc_openfield")
    assert openfield.labelled("m4s1") == frozenset(range(116))
    assert openfield.covered("m4s1") == tuple(range(116))
    assert openfield.keypoints == ("snout", "leftear", "rightear", "tailbase")


# ---------------------------------------------------------------------- removing a video


def test_a_removed_link_leaves_its_source_and_all_that_was_made(project, tmp_path):
    source = write_video(tmp_path / "far.mp4", seed=5)
    project.link_video(source)
    link = project.register_source("far")
    (project.frames_folder("far")).mkdir(parents=True)
    (project.frames_folder("far") / "img00000001.png").write_bytes(b"x")
    before = tree(project.frames_folder("far"))
    assert project.remove_video("far") == ()
    assert source.is_file()
    assert not os.path.lexists(link)
    assert [entry.stem for entry in project.videos()] == ["mouse", "rat"]
    assert "far.mp4" not in json.loads((project.path / "config.json").read_text())["source"]
    assert tree(project.frames_folder("far")) == before
    source.unlink()
    os.symlink(source, project.path / "videos" / "gone.mp4")
    project.remove_video("gone")  # a link that leads nowhere is the one that people want to be rid of
    assert [entry.stem for entry in project.videos()] == ["mouse", "rat"]


def test_a_removed_file_is_put_aside_and_can_come_again(project):
    data = project.video("mouse").path.read_bytes()
    project.register_source("mouse")
    (kept,) = project.remove_video("mouse.mp4")
    assert kept.read_bytes() == data
    assert kept.is_relative_to(project.path / "removed-videos")
    assert [entry.stem for entry in project.videos()] == ["rat"]
    assert not list((project.path / "sources").iterdir())
    os.replace(kept, project.path / "videos" / "mouse.mp4")
    (again,) = project.remove_video("mouse")
    assert again.exists()


def test_another_video_does_not_inherit_what_was_made_of_a_removed_one(project, tmp_path):
    source = write_video(tmp_path / "one" / "far.mp4", seed=5) if (tmp_path / "one").mkdir() is None else None
    other = write_video(tmp_path / "far.mp4", seed=6)
    project.link_video(source)
    project.set_true_fps("far", 500.0)
    export_frames(project, "far", [5], context=2)
    project.remove_video("far")
    with pytest.raises(NameRefusedError, match="Another video was named 'far' already"):
        project.link_video(other)
    upload = write_video(tmp_path / "upload", seed=6)
    with pytest.raises(NameRefusedError, match="Another video was named 'far' already"):
        project.adopt_video(upload, "far.mp4")
    assert project.link_video(other, "far2").stem == "far2"
    assert project.link_video(source).true_fps is None
    project.remove_video("far")
    shutil.rmtree(project.frames_folder("far"))
    assert project.link_video(other, "far").stem == "far"  # nothing is left that could be mistaken


def test_sources_that_are_the_videos_and_a_second_link(project):
    os.symlink("videos", project.path / "sources")
    os.symlink("rat.mp4", project.path / "videos" / "copy.mp4")
    with pytest.raises(ProjectError, match=r"copy\.mp4 is a link to rat\.mp4"):
        project.remove_video("rat")
    assert len(project.remove_video("mouse")) == 1
    assert [entry.stem for entry in project.videos()] == ["copy", "rat"]


def test_a_video_in_use_or_outside_is_not_removed(project, tmp_path, monkeypatch):
    from castle_core.jobs import JobTable

    table = JobTable()
    for settings in (
        {"videos": [{"name": "mouse"}]},
        {"video": "mouse"},
        {"videos": {"mouse": "a.csv"}},
        {"videos": []},
    ):
        number = table.submit("track", project=str(project.path), settings=settings, owner="ana", title="Track mouse")
        with pytest.raises(ProjectError, match="in use: Track mouse"):
            project.remove_video("mouse")
        table.cancel(number, by="ana")
    elsewhere = tmp_path / "share"
    os.rename(project.path / "videos", elsewhere)
    os.symlink(elsewhere, project.path / "videos")
    with pytest.raises(ProjectError, match="outside of the project"):
        project.remove_video("mouse")
    monkeypatch.setattr(Project, "read_only", True)
    with pytest.raises(ProjectError, match="read-only"):
        project.remove_video("mouse")
    assert {path.name for path in elsewhere.iterdir()} == {"mouse.mp4", "rat.mp4"}
