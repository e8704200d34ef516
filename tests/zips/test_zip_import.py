"""Importing: all of a zip or nothing, merged into what is there, undone as a round."""

import json
import multiprocessing
import os
import shutil
import zipfile

import cv2
import numpy as np
import pytest
from zip_builders import (
    SELECTED,
    WINDOWS,
    csv,
    documented,
    encode,
    kinds,
    name,
    picture,
    png,
    write_zip,
)

from castle_core.errors import CastleError, JobCancelled
from castle_core.frames import list_rounds, remove_frame, undo_round
from castle_core.progress import Task
from castle_core.projects import Project
from castle_core.zips import ZipRefusedError, ZipSource, import_zip, import_zips, inspect_zip, inspect_zips


@pytest.fixture
def project(tmp_path):
    return Project.create(tmp_path / "project")


@pytest.fixture
def strict(tmp_path):
    return write_zip(tmp_path / "session0.zip", documented())


def visible(folder) -> dict[str, bytes]:
    """All files of a project that users see, by relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def test_strict_zip_is_imported_byte_for_byte(project, strict):
    done = import_zip(project, strict, owner="ada")
    assert done.written == tuple(SELECTED)
    assert done.directory == project.path / "labeled-data" / "session0"
    assert len(done.context_written) == 12
    for index in WINDOWS:
        assert (done.directory / name(index)).read_bytes() == png(index)
    assert (done.directory / "selected_frames.csv").read_bytes() == csv(SELECTED)
    record = json.loads((done.directory / "selection.json").read_text())
    [round_] = record["rounds"]
    assert round_["method"] == "zip"
    assert round_["who"] == "ada"
    assert round_["settings"]["zips"] == ["session0.zip"]
    assert [frame["frame_index"] for frame in round_["frames"]] == SELECTED


def test_importing_twice_changes_nothing(project, strict):
    import_zip(project, strict)
    before = visible(project.path)
    again = import_zip(project, strict)
    assert again.written == ()
    assert again.kept == tuple(SELECTED)
    assert visible(project.path) == before


def test_fixes_are_never_silent(project, tmp_path):
    files = {f"b/{key.replace('img000', 'img').replace('.png', '.PNG')}": value for key, value in documented().items()}
    files["__MACOSX/b/._img00143.PNG"] = b"\x00\x05\x16\x07"
    path = write_zip(tmp_path / "session0.zip", files)
    with pytest.raises(ZipRefusedError, match=r"session0\.zip was not imported") as refused:
        import_zip(project, path)
    assert refused.value.report.fixable
    assert not (project.path / "labeled-data").exists()
    done = import_zip(project, path, fix=True)
    assert sorted(path.name for path in done.directory.glob("*.png")) == [name(index) for index in WINDOWS]
    assert (done.directory / name(143)).read_bytes() == png(143)
    assert (done.directory / "selected_frames.csv").read_bytes() == csv(SELECTED)


def test_refused_zip_writes_nothing(project, tmp_path):
    before = visible(project.path)
    path = write_zip(tmp_path / "session0.zip", {**documented(), "../evil.png": png(1)})
    with pytest.raises(ZipRefusedError, match="refused and nothing was written"):
        import_zip(project, path, fix=True)
    assert visible(project.path) == before
    assert not (tmp_path / "evil.png").exists()


def test_conversions_keep_every_pixel(project, tmp_path):
    grey = {index: picture(index)[..., 0] for index in (5, 20, 40)}
    files = {
        name(5): encode(".png", grey[5].astype(np.uint16) * 257),
        name(20): encode(".png", np.dstack([picture(20), np.full((8, 12), 255, np.uint8)])),
        "img40.jpg": encode(".jpg", picture(40)),
        "selected_frames.csv": csv([5, 20, 40]).replace(b"img00000040.png", b"img40.jpg"),
    }
    done = import_zip(project, write_zip(tmp_path / "s.zip", files), fix=True)
    stored = {index: cv2.imread(str(done.directory / name(index)), cv2.IMREAD_UNCHANGED) for index in grey}
    assert stored[5].dtype == np.uint8
    np.testing.assert_array_equal(stored[5], grey[5])
    np.testing.assert_array_equal(stored[20], picture(20))
    np.testing.assert_array_equal(stored[40], cv2.imdecode(np.frombuffer(files["img40.jpg"], np.uint8), 1))
    assert (done.directory / "selected_frames.csv").read_bytes() == csv([5, 20, 40])


def test_existing_frames_are_merged(project, tmp_path, strict):
    folder = project.path / "labeled-data" / "session0"
    folder.mkdir(parents=True)
    same_pixels = bytes(cv2.imencode(".png", picture(143), [cv2.IMWRITE_PNG_COMPRESSION, 0])[1])
    assert same_pixels != png(143)
    (folder / "img00143.png").write_bytes(same_pixels)
    (folder / name(9)).write_bytes(png(9))
    (folder / "selected_frames.csv").write_bytes(csv([9]))
    done = import_zip(project, strict)
    assert done.written == tuple(SELECTED)
    assert (folder / "img00143.png").read_bytes() == same_pixels
    assert not (folder / name(143)).exists()
    assert (folder / "selected_frames.csv").read_text().split() == [name(9), "img00143.png", name(1156), name(34567)]


def test_differing_image_is_a_conflict(project, strict):
    folder = project.path / "labeled-data" / "session0"
    folder.mkdir(parents=True)
    (folder / name(143)).write_bytes(png(144))
    before = visible(project.path)
    report = inspect_zip(strict, project)
    assert kinds(report, "error") == {"conflict"}
    assert [p.file for p in report.problems if p.kind == "conflict"] == [name(143)]
    with pytest.raises(ZipRefusedError, match="another image of frame 143"):
        import_zip(project, strict, fix=True)
    assert visible(project.path) == before


def test_context_in_the_project_counts(project, tmp_path):
    folder = project.path / "labeled-data" / "session0"
    folder.mkdir(parents=True)
    (folder / name(141)).write_bytes(png(141))
    files = documented()
    del files[name(141)]
    assert "context" not in kinds(inspect_zip(write_zip(tmp_path / "session0.zip", files), project))


def test_undo_removes_exactly_the_round(project, tmp_path, strict):
    before = visible(project.path)
    first = import_zip(project, strict)
    after_first = visible(project.path)
    more = {name(i): png(i) for i in [*range(143, 150), 700]}
    more["selected_frames.csv"] = csv([147])
    second = import_zip(project, write_zip(tmp_path / "more.zip", more), name="session0.zip")
    assert {each.info.id for each in list_rounds(project)} == {first.round_id, second.round_id}
    undo_round(project, second.round_id)
    assert visible(project.path) == after_first
    undo_round(project, first.round_id)
    assert visible(project.path) == before


def test_images_that_are_no_context_stay_with_single_picks_and_go_with_the_round(project, tmp_path):
    before = visible(project.path)
    files = {name(i): png(i) for i in (300, 365, 432, 603)}
    path = write_zip(tmp_path / "session9.zip", files | {"selected_frames.csv": csv([300, 365])})
    report = inspect_zip(path, project)
    assert (report.frames, report.context_frames, report.other_frame_indices) == (2, 0, (432, 603))
    done = import_zip(project, path)
    folder = project.path / "labeled-data" / "session9"
    remove_frame(project, "session9", 365)
    assert sorted(each.name for each in folder.glob("*.png")) == [name(i) for i in (300, 432, 603)]
    undo_round(project, done.round_id)
    assert visible(project.path) == before

    done = import_zip(project, path)
    export_labels = f"labeled-data/session9/{name(300)},1,2\n"
    (project.path / "CollectedData.csv").write_text(f"scorer,s,s\nbodyparts,a,a\ncoords,x,y\n{export_labels}")
    undo_round(project, done.round_id)  # the labelled frame stays, and so does what came with it
    assert sorted(each.name for each in folder.glob("*.png")) == [name(i) for i in (300, 432, 603)]


def test_several_zips_are_one_round(project, tmp_path, strict):
    other = write_zip(tmp_path / "session1.zip", {name(3): png(3), "selected_frames.csv": csv([3])})
    sources = [ZipSource(strict, "session0.zip"), ZipSource(other, "session1.zip")]
    done = import_zips(project, sources)
    assert [each.video for each in done] == ["session0", "session1"]
    assert len({each.round_id for each in done}) == 1
    undo_round(project, done[0].round_id)
    assert not list((project.path / "labeled-data").rglob("*.png"))


def test_one_bad_zip_of_several_stops_all(project, tmp_path, strict):
    bad = write_zip(tmp_path / "session1.zip", {name(3): b"text"})
    with pytest.raises(ZipRefusedError, match=r"session1\.zip"):
        import_zips(project, [ZipSource(strict, strict.name), ZipSource(bad, bad.name)], fix=True)
    assert not (project.path / "labeled-data").exists()


def test_two_zips_of_one_video_come_one_after_the_other(project, strict):
    sources = [ZipSource(strict, "session0.zip"), ZipSource(strict, "session0.zip")]
    assert [report.ok for report in inspect_zips(sources, project)] == [True, False]
    with pytest.raises(ZipRefusedError, match="one after the other"):
        import_zips(project, sources)
    assert not (project.path / "labeled-data").exists()


def test_names_resemble_those_of_the_project(project, tmp_path):
    (project.path / "labeled-data" / "Session0").mkdir(parents=True)
    report = inspect_zip(write_zip(tmp_path / "session0.zip", documented()), project)
    assert report.video == "Session0"
    assert "video-name" in kinds(report, "fixable")
    copy = inspect_zip(write_zip(tmp_path / "Session0 (1).zip", documented()), project)
    assert any("rename the zip to Session0.zip" in p.fix for p in copy.problems)


def test_full_disk_is_noticed_before(project, strict, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 1000))
    assert kinds(inspect_zip(strict, project), "error") == {"disk"}


def test_cancel_leaves_nothing(project, strict):
    class Impatient(Task):
        def progress(self, done, total, message=""):
            if message == "session0" and done == 7:
                raise JobCancelled("The job was cancelled.")

    before = visible(project.path)
    with pytest.raises(JobCancelled):
        import_zip(project, strict, task=Impatient())
    assert visible(project.path) == before
    assert not list(project.path.glob("labeled-data/.castle-*"))


def test_zip_damaged_after_the_dry_run(project, strict, monkeypatch):
    """The images are read a second time while they are stored; if they have changed, nothing is written."""
    from castle_core.zips import inspection

    seen = []
    read = inspection.read_entry

    def changing(archive, entry, at_most=None):
        seen.append(entry.filename)
        if len(seen) > 20:
            raise inspection.ImageProblem("damaged", "x", "y")
        return read(archive, entry, at_most)

    monkeypatch.setattr(inspection, "read_entry", changing)
    with pytest.raises(CastleError, match="changed while it was imported"):
        import_zip(project, strict)
    assert not list((project.path / "labeled-data").glob("[!.]*"))


def _die_at(step: int, project, path) -> None:
    """Import, and die in the place of the `step`-th rename."""
    calls = 0
    real = os.replace

    def replace(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == step:
            os._exit(9)
        return real(*args, **kwargs)

    os.replace = replace
    import_zip(project, path)
    os._exit(0)


def test_killed_at_every_rename(tmp_path, strict):
    """After a kill nothing is listed that is not there, and running it again gives what an undisturbed run gives."""
    fork = multiprocessing.get_context("fork")
    whole = Project.create(tmp_path / "whole")
    import_zip(whole, strict)
    expected = visible(whole.path / "labeled-data")
    del expected["session0/selection.json"]  # holds the time
    deaths = 0
    for step in range(1, 100):
        project = Project.create(tmp_path / f"project{step}")
        child = fork.Process(target=_die_at, args=(step, project, strict))
        child.start()
        child.join(30)
        if child.exitcode == 0:
            break
        assert child.exitcode == 9
        deaths += 1
        folder = project.path / "labeled-data" / "session0"
        listed = folder / "selected_frames.csv"
        assert all((folder / each).exists() for each in (listed.read_text().split() if listed.exists() else []))
        import_zip(project, strict)
        result = visible(project.path / "labeled-data")
        record = json.loads(result.pop("session0/selection.json"))
        assert result == expected, step
        assert [frame["frame_index"] for each in record["rounds"] for frame in each["frames"]] == SELECTED
        assert not list((project.path / "labeled-data").glob(".castle-*")), step
        shutil.rmtree(project.path)
    assert deaths > 15


def test_read_only_project(project, strict, monkeypatch):
    monkeypatch.setattr(Project, "read_only", property(lambda self: True))
    assert inspect_zip(strict, project).ok
    with pytest.raises(CastleError, match="read-only"):
        import_zip(project, strict)
    assert not (project.path / "labeled-data").exists()


def test_command_line(tmp_path, strict):
    from castle_core.cli.app import app
    from castle_core.cli.output import run_app

    target = tmp_path / "p"
    arguments = ["import-zip", str(strict), "--project", str(target)]
    assert run_app(app, [*arguments, "--dry-run"]) == 0
    assert not target.exists()
    assert run_app(app, arguments) == 0
    assert (target / "labeled-data/session0/selected_frames.csv").read_bytes() == csv(SELECTED)
    assert run_app(app, ["import-zip", str(strict)]) == 2
    assert run_app(app, ["import-zip", str(tmp_path / "none.zip"), "--project", str(target)]) == 1


def test_command_line_json(tmp_path, capsys, strict):
    from castle_core.cli.app import app
    from castle_core.cli.output import run_app

    bad = write_zip(tmp_path / "bad.zip", {"b/img00005.png": png(5)})
    target = str(tmp_path / "p")
    assert run_app(app, ["import-zip", str(bad), "--project", target, "--json"]) == 1
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert answer["ok"] is False
    assert {"file", "problem", "fix", "severity"} <= set(answer["problems"][0])
    assert (answer["frames"], answer["context_frames"]) == (1, 0)
    assert not (tmp_path / "p").exists()
    assert "nothing was imported" in err
    assert run_app(app, ["import-zip", str(bad), str(strict), "--project", target, "--fix", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is True
    assert (answer["frames"], answer["context_frames"]) == (4, 12)
    assert [each["video"] for each in answer["imported"]] == ["bad", "session0"]


def test_memory_stays_flat(project, tmp_path):
    """24 images of 3 MB each are never held together."""
    psutil = pytest.importorskip("psutil")
    path = tmp_path / "big.zip"
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    data = encode(".png", noise)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for index in range(0, 240, 10):
            archive.writestr(name(index), data)
        archive.writestr("selected_frames.csv", csv(range(0, 240, 10)))
    process = psutil.Process()
    inspect_zip(path)
    before = process.memory_info().rss
    import_zip(project, path)
    assert process.memory_info().rss - before < 40e6


def test_job_can_be_repeated(project, tmp_path, strict):
    from castle_core.job_functions import job_function

    upload = tmp_path / "upload-7"
    shutil.copy(strict, upload)
    settings = {"project": str(project.path), "owner": "ada", "zips": [{"path": str(upload), "name": "session0.zip"}]}
    job = job_function("import_zips")
    first = job(Task(), **settings)
    assert (first["written"], first["videos"]) == (3, {"session0": 3})
    assert upload.exists()
    assert job(Task(), **settings) == first
    undo_round(project, first["round_id"])
    done = job(Task(), **settings, remove=True)
    assert done["written"] == 3
    assert not upload.exists()
    assert job(Task(), **settings, remove=True) == done
    settings["zips"] = [{"path": str(tmp_path / "nothing"), "name": "x.zip"}]
    with pytest.raises(CastleError, match="Upload it again"):
        job(Task(), **settings, remove=True)
