"""The Inspector without a browser: the list, the views, the numbers behind the canvases, what goes to labelling."""

import json
import sqlite3

import numpy as np
import pytest

from castle_core.files import make_folder
from castle_core.jobs import JobTable
from castle_core.latents.npz import write_latents

PAGE = "pages/inspector.py"


@pytest.fixture
def latents(project):
    """Latents of ``walk``, 60 frames, three without a value."""
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(60, 9)).astype(np.float32)
    latent[:30] += 5
    status = np.zeros(60, np.uint8)
    status[10:13] = 2
    latent[10:13] = np.nan
    folder = project.path / "latent" / "tiny"
    folder.mkdir(parents=True)
    metadata = {"video_name": "walk.mp4", "model_name": "tiny", "roi_id": 1}
    write_latents(folder / "walk_ROI_1_tiny.npz", [latent], latent.shape, status=status, metadata=metadata)
    return project


def test_an_empty_project_says_where_latents_come_from(run, project):
    at = run("mice", PAGE)
    assert any("no latents" in info.value for info in at.info)
    assert "Extract latent" in [link.proto.label for link in at.main.get("page_link")]
    JobTable().submit("latents", project=str(project.path), settings={}, owner="local", title="Extract: walk.mp4")
    at.run()
    assert any("They are being extracted" in info.value for info in at.info)
    assert any("Extract" in bar.proto.text for bar in at.main.get("progress"))


def test_settings_that_all_files_share_are_said_once(run, latents):
    def write(roi, tags, **pre):
        pre = {"center_roi": roi, "crop_width": 90, "crop_height": 80, **pre}
        metadata = {"video_name": "walk.mp4", "model_name": "tiny", "roi_id": roi, "pooling": "cls"}
        metadata |= {"input_size": 56, "precision": "fp32", "identity": {"every": 1}, "preprocessing": pre}
        path = latents.path / "latent" / "tiny" / f"walk_ROI_{roi}_tiny_{tags}.npz"
        write_latents(path, [np.ones((60, 4), np.float32)], (60, 4), status=np.zeros(60, np.uint8), metadata=metadata)

    (latents.path / "latent" / "tiny" / "walk_ROI_1_tiny.npz").unlink()
    write(1, "a")
    at = run("mice", PAGE)
    whole = "CLS token, centred on ROI 1, crop 90 × 80 px, input 56 px, fp32"
    assert list(at.radio(key="inspector-file-walk").proto.captions) == [whole]
    write(2, "b", remove_background="roi")
    at = run("mice", PAGE)
    assert "All 2 files: CLS token, input 56 px, fp32" in [caption.value for caption in at.caption]
    assert list(at.radio(key="inspector-file-walk").proto.captions) == [
        "centred on ROI 1, crop 90 × 80 px",
        "centred on ROI 2, crop 90 × 80 px, background removed \\(keeps this ROI\\)",
    ]


@pytest.fixture
def every_third(project):
    """Latents of every third frame of ``walk``: two poses of ten rows each, one row without a value."""
    latent, status = np.full((60, 4), np.nan, np.float32), np.full(60, 7, np.uint8)
    latent[::3], status[::3] = np.random.default_rng(0).normal(size=(20, 4)), 0
    latent[30::3] += 9
    latent[6], status[6] = np.nan, 2
    folder = project.path / "latent" / "tiny"
    folder.mkdir(parents=True)
    metadata = {"video_name": "walk.mp4", "model_name": "tiny", "roi_id": 1}
    write_latents(folder / "walk_ROI_1_tiny.npz", [latent], latent.shape, status=status, metadata=metadata)
    return project


def test_frames_between_every_kth_are_no_gaps_and_make_bouts(run, every_third):
    from starlette.datastructures import QueryParams

    from ui.inspector.held import held
    from ui.inspector.routes import codes

    at = run("mice", PAGE)
    captions = [caption.value for caption in at.caption]
    assert "60 frames × 4 channels · every 3rd frame: 20 of 60 · 1 without a value" in captions
    at.number_input(key="inspector-go").set_value(8).run()
    assert any("the row of frame 6 stands for it" in text.value and "ROI absent" in text.value for text in at.caption)
    at.segmented_control(key="inspector-view").set_value("Gaps").run()
    assert at.dataframe[0].value["rows"].tolist() == [1]
    at.segmented_control(key="inspector-view").set_value("Clusters").run()
    at.number_input(key="inspector-k").set_value(2).run()
    assert not at.exception
    assert at.button(key="inspector-bout-30").label == "frames 30 to 59"
    file = held(every_third, "latent/tiny/walk_ROI_1_tiny.npz")
    painted = codes(file, QueryParams("by=cluster&k=2")).body
    assert list(painted[27:36]) == [1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert list(painted[5:10]) == [1, 255, 255, 255, 1]
    at.segmented_control(key="inspector-view").set_value("Export").run()
    assert any("The other frames are left out" in caption.value for caption in at.caption)


@pytest.mark.parametrize("view", ["Map", "Heat map", "Traces", "Table", "Clusters", "Gaps", "Export"])
def test_every_view_opens(run, latents, view):
    at = run("mice", PAGE)
    if view != "Map":
        at.segmented_control(key="inspector-view").set_value(view).run()
    assert not at.exception, [error.value for error in at.exception]
    assert not at.error
    assert any("60 frames × 9 channels · 3 without a value" in caption.value for caption in at.caption)


def test_the_frame_shown_is_kept_from_view_to_view(run, latents):
    at = run("mice", PAGE)
    at.number_input(key="inspector-go").set_value(11).run()
    assert any("ROI absent" in caption.value for caption in at.caption)
    at.segmented_control(key="inspector-view").set_value("Gaps").run()
    assert at.number_input(key="inspector-go").value == 11


def test_alike_frames(run, latents):
    at = run("mice", PAGE)
    at.toggle(key="inspector-alike").set_value(True).run()
    assert not at.exception
    at.button(key="inspector-alike-0").click().run()
    assert at.number_input(key="inspector-go").value >= 5


def test_a_lasso_goes_to_labelling(run, latents):
    from ui.inspector.held import held

    at = run("mice", PAGE)
    version = held(latents, "latent/tiny/walk_ROI_1_tiny.npz").version
    whole = [[-1.0, -1.0], [2.0, -1.0], [2.0, 2.0], [-1.0, 2.0]]
    at.session_state["inspector-lasso"] = {"id": f"{version}-pca-0-1", "polygon": whole}
    at.run()
    assert any("57 frames" in text.value for text in at.markdown)
    at.number_input(key="inspector-n").set_value(8).run()
    at.button(key="inspector-label").click().run()
    assert not at.exception
    (job,) = [job for job in JobTable().list() if job.kind == "board_of_frames"]
    assert len(job.settings["frames"]) == 8
    assert not set(job.settings["frames"]) & {10, 11, 12}


def test_what_became_of_sending_is_told_truly(run, latents):
    from castle_core.state import castle_state

    table = JobTable()
    at = run("mice", PAGE)
    at.segmented_control(key="inspector-view").set_value("Clusters").run()
    at.button(key="inspector-label").click().run()
    (job,) = table.list()
    assert not at.success
    for end, error, said in (("failed", "No space left on the disk.", "error"), ("finished", None, "success")):
        with sqlite3.connect(castle_state() / "jobs.sqlite") as jobs:
            jobs.execute("UPDATE jobs SET state = ?, error = ? WHERE id = ?", (end, error, job.id))
        at.run()
        assert bool(at.success) == (said == "success")
        assert [text.value for text in at.error] == ([error] if error else [])


def test_the_token_map_is_run_frame_with_the_settings_of_the_file(run, project):
    from castle_core.job_functions import job_function
    from castle_core.job_functions.latents import config_from_json
    from castle_core.progress import QUIET
    from castle_core.state import castle_state

    told = {"project": str(project.path), "owner": "local"}
    config = {"encoder": "hog", "roi_ids": [0], "input_size": 64, "preprocess": {"letterbox": True}}
    job_function("latents")(QUIET, videos=["walk"], config=config, **told)
    at = run("mice", PAGE)
    at.number_input(key="inspector-go").set_value(7).run()
    at.button(key="inspector-tokens").click().run()
    assert not at.exception, [error.value for error in at.exception]
    (job,) = JobTable().list()
    assert (job.kind, job.settings["video"], job.settings["frame_index"]) == ("run_frame", "walk", 7)
    asked = config_from_json(job.settings["config"])
    assert (asked.encoder, asked.roi_ids, asked.input_size, asked.preprocess.letterbox) == ("hog", (0,), 64, True)
    result = job_function("run_frame")(QUIET, **job.settings, **told)
    with sqlite3.connect(castle_state() / "jobs.sqlite") as jobs:
        jobs.execute(
            "UPDATE jobs SET state = 'finished', result = ? WHERE id = ?", (json.dumps(result, default=str), job.id)
        )
    at.run()
    assert not at.exception, [error.value for error in at.exception]
    assert any("Patch: row" in caption.value for caption in at.caption)
    at.number_input(key="inspector-go").set_value(8).run()
    assert not any("Patch: row" in caption.value for caption in at.caption)
    assert at.button(key="inspector-tokens").label == "Show its token map"


def test_no_token_map_where_the_file_does_not_tell_its_settings(run, latents):
    at = run("mice", PAGE)
    assert "inspector-tokens" not in [button.key for button in at.button]


@pytest.fixture
def feature_map(project):
    """A feature map of ``walk``, 4 x 4 cells of 5 channels; frames 10 to 12 have none."""
    from castle_core.latents.maps import write_map

    rng = np.random.default_rng(0)
    frames = np.setdiff1d(np.arange(60), [10, 11, 12])
    status = np.where(np.isin(np.arange(60), frames), 0, 2).astype(np.uint8)
    folder = project.path / "latent" / "tiny"
    folder.mkdir(parents=True)
    metadata = {
        "video_name": "walk.mp4",
        "model_name": "tiny",
        "roi_id": 0,
        "pooling": "none",
        "input_size": 56,
        "precision": "fp32",
        "identity": {"encoder": "tiny"},
    }
    pieces = [(frames, rng.normal(size=(57, 5, 4, 4)).astype(np.float16))]
    write_map(folder / "walk_ROI_0_tiny_map.h5", pieces, (60, 5, 4, 4), status=status, metadata=metadata)
    return project


def test_a_feature_map_shows_its_tokens_frame_by_frame(run, feature_map):
    at = run("mice", PAGE)
    chosen = at.radio(key="inspector-file-walk")
    assert chosen.options == ["tiny · whole frame"]
    assert at.segmented_control(key="inspector-view-map").options == ["Token map", "Gaps"]
    assert any(caption.value == "60 frames, each a map of tokens · 3 without a value" for caption in at.caption)
    assert any("Patch: row 2, column 2 of 4 x 4" in caption.value for caption in at.caption)
    at.number_input(key="inspector-go").set_value(11).run()
    assert any("no tokens of frame 11" in info.value for info in at.info)
    at.segmented_control(key="inspector-view-map").set_value("Gaps").run()
    assert not at.exception, [error.value for error in at.exception]
    assert any("1 gap" in caption.value for caption in at.caption)


def test_numbers_of_a_feature_map_are_its_status_only(feature_map):
    from starlette.datastructures import QueryParams

    from castle_core.errors import CastleError
    from ui.inspector import routes
    from ui.inspector.held import held

    file = held(feature_map, "latent/tiny/walk_ROI_0_tiny_map.h5")
    answer = routes._answer(routes.codes, file, QueryParams("by=status"))
    assert list(np.flatnonzero(np.frombuffer(answer.body, np.uint8))) == [10, 11, 12]
    with pytest.raises(CastleError, match="no such view"):
        routes._answer(routes.points, file, QueryParams("kind=pca"))


def test_latents_choose_frames_on_page_1(run, latents):
    from castle_core.boards import list_boards
    from castle_core.job_functions import job_function
    from castle_core.progress import QUIET

    at = run("mice")
    at.selectbox(key="method").set_value("latents").run()
    assert at.selectbox(key="latents").options == ["ROI 1 tiny"]
    at.number_input(key="frames-per-video").set_value(4).run()
    at.button(key="extract").click().run()
    assert not at.exception, [error.value for error in at.exception]
    (job,) = JobTable().list()
    assert job.settings["videos"][0]["latents"].endswith("walk_ROI_1_tiny.npz")
    job_function("choose_frames")(QUIET, project=str(latents.path), owner="ana", **job.settings)
    (board,) = list_boards(latents)
    frames = {entry.frame_index for entry in board.entries}
    assert len(frames) == 4
    assert not frames & {10, 11, 12}
    assert min(frames) < 30 <= max(frames)


def test_page_1_says_which_video_has_no_latents(run, latents):
    (latents.path / "videos" / "run.mp4").write_bytes((latents.path / "videos" / "walk.mp4").read_bytes())
    at = run("mice")
    assert "Diverse latents" not in at.selectbox(key="method").options
    assert any("run has none" in caption.value for caption in at.caption)


def test_latents_choose_frames_on_the_command_line(latents, capfd):
    from castle_core.cli.app import app
    from castle_core.cli.output import run_app

    command = ["select", "walk", "--project", str(latents.path), "--method", "latents", "-n", "3"]
    assert run_app(app, [*command, "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert (len(found["picks"]), found["frames_decoded"], found["written"]) == (3, 0, 3)
    folder = latents.path / "latent" / "tiny"
    (folder / "walk_ROI_2_tiny.npz").write_bytes((folder / "walk_ROI_1_tiny.npz").read_bytes())
    assert run_app(app, command) == 1
    assert "Choose one: 'ROI 1 tiny', 'ROI 2 tiny'" in capfd.readouterr().err
    video = str(latents.path / "videos" / "walk.mp4")
    assert run_app(app, ["select", video, "--method", "latents", "--latents", "ROI 2 tiny", "-n", "3"]) == 0
    assert run_app(app, ["select", video, "--method", "latents", "--latents", "nothing.npz", "-n", "3"]) == 1
    assert "no latents 'nothing.npz' of walk" in capfd.readouterr().err


def test_a_set_is_saved_with_its_times(latents):
    from castle_core.inspection import find_latent_file
    from ui.inspector.look import look_at
    from ui.inspector.map_panel import set_csv

    look = look_at(latents, find_latent_file(latents, "latent/tiny/walk_ROI_1_tiny.npz"))
    assert set_csv(look, np.array([3, 20]), None) == "frame,time_s\n3,0.300000\n20,2.000000\n"
    latents.set_true_fps("walk", 500)  # filmed in slow motion: times are those of the video and of NWB, as shown
    look = look_at(latents, find_latent_file(latents, "latent/tiny/walk_ROI_1_tiny.npz"))
    assert set_csv(look, np.array([20]), None) == "frame,time_s\n20,0.040000\n"


def test_the_job_leaves_a_board_and_nothing_taken_twice(latents):
    from castle_core.boards import list_boards
    from castle_core.errors import SelectionError
    from castle_core.frames import export_frames, new_round
    from castle_core.job_functions import job_function
    from castle_core.progress import QUIET

    export_frames(latents, "walk", [7], context=0, round_info=new_round("kmeans"))
    send = job_function("board_of_frames")
    told = {"project": str(latents.path), "owner": "ana", "video": "walk", "reason": "inside the lasso"}
    send(QUIET, frames=[7, 9, 20], alternatives={"9": [8, 99]}, **told)
    (board,) = list_boards(latents)
    assert [entry.frame_index for entry in board.entries] == [9, 20]
    assert [other.frame_index for other in board.entries[0].alternatives] == [8]
    with pytest.raises(SelectionError, match="already"):
        send(QUIET, frames=[7], **told)
    report = send(QUIET, frames=[30], review=False, context=0, **told)
    assert report["written"] == 1


def test_why_a_large_file_could_not_be_read_is_told(run, latents, monkeypatch):
    from castle_core.state import castle_state

    monkeypatch.setattr("castle_core.inspection.summary.QUICK_NUMBERS", 1)
    at = run("mice", PAGE)
    at.button(key="inspector-read").click().run()
    (job,) = JobTable().list()
    with sqlite3.connect(castle_state() / "jobs.sqlite") as jobs:
        jobs.execute("UPDATE jobs SET state = 'failed', error = 'The disk is full.' WHERE id = ?", (job.id,))
    at.run()
    assert [text.value for text in at.error] == ["The disk is full."]
    assert at.button(key="inspector-read").label == "Read it now"


def test_an_export_is_asked_for(run, latents):
    at = run("mice", PAGE)
    at.segmented_control(key="inspector-view").set_value("Export").run()
    at.radio(key="inspector-format").set_value("nwb").run()
    assert at.button(key="inspector-export").disabled
    at.radio(key="inspector-format").set_value("npy").run()
    at.checkbox(key="inspector-with-gaps").uncheck()
    at.button(key="inspector-export").click().run()
    (job,) = JobTable().list()
    assert job.settings == {"file": "latent/tiny/walk_ROI_1_tiny.npz", "format": "npy", "with_gaps": False}


def test_the_export_job_writes_where_it_says(latents):
    from pathlib import Path

    from castle_core.job_functions import job_function
    from castle_core.progress import QUIET

    told = {"project": str(latents.path), "owner": "ana", "file": "latent/tiny/walk_ROI_1_tiny.npz"}
    done = job_function("export_latents")(QUIET, format="csv", **told)
    assert Path(done["path"]) == latents.path / "exports" / "latents" / "walk_ROI_1_tiny.csv"
    assert done["rows"] == 60
    assert job_function("inspect_latents")(QUIET, **told) == {"frames": 60, "channels": 9}
    other = latents.path / "latent" / "other" / "walk_ROI_1_tiny.npz"
    np.savez(make_folder(other.parent) / other.name, latent=np.ones((2, 3), np.float32))
    again = job_function("export_latents")(QUIET, format="csv", **{**told, "file": "latent/other/walk_ROI_1_tiny.npz"})
    assert (Path(again["path"]).name, again["rows"]) == ("walk_ROI_1_tiny_other.csv", 2)
    assert len(Path(done["path"]).read_text().splitlines()) == 61


def test_an_export_of_earlier_latents_is_not_offered(run, latents):
    import os
    import time

    from castle_core.job_functions import job_function
    from castle_core.jobs.ledger import Ledger
    from castle_core.progress import QUIET

    path = latents.path / "latent" / "tiny" / "walk_ROI_1_tiny.npz"
    table, told = JobTable(), {"file": "latent/tiny/walk_ROI_1_tiny.npz", "format": "csv"}
    number = table.submit("export_latents", project=str(latents.path), settings=told, owner="local")
    ledger = Ledger(table)
    assert ledger.begin_next("cpu", "w") is not None
    done = job_function("export_latents")(QUIET, project=str(latents.path), owner="local", **told)
    ledger.end(number, 1, "finished", result=done)
    os.utime(path, (time.time() - 60, time.time() - 60))
    at = run("mice", PAGE)
    at.segmented_control(key="inspector-view").set_value("Export").run()
    assert any(text.value.startswith("Written to") for text in at.caption)
    os.utime(path, (time.time() + 60, time.time() + 60))  # extracted again
    at.run()
    assert not any(text.value.startswith("Written to") for text in at.caption)
    assert any("newer than their last export" in text.value for text in at.caption)


def test_the_numbers_behind_the_canvases(latents):
    from starlette.datastructures import QueryParams

    from ui.inspector import routes
    from ui.inspector.held import held

    file = held(latents, "latent/tiny/walk_ROI_1_tiny.npz")
    places = np.frombuffer(routes.points(file, QueryParams("kind=pca&x=0&y=1")).body, "<u2").reshape(60, 2)
    assert (places[10:13] == 65535).all()
    assert places.min() == 0
    assert places[places < 65535].max() == 65534
    for by in ("status", "cluster&k=2", "time", "channel&c=3"):
        codes = np.frombuffer(routes.codes(file, QueryParams(f"by={by}")).body, np.uint8)
        assert len(codes) == 60
        assert by == "time" or (codes[10:13] == (2 if by == "status" else 255)).all()
    found = json.loads(routes.traces(file, QueryParams("names=p0,c8,c9,x1&start=5&stop=25")).body)
    assert set(found) == {"p0", "c8"}
    assert found["c8"]["least"][5:8] == [None, None, None]
    answer = routes.heat(file, QueryParams("start=0&stop=60&order=alike"))
    assert answer.headers["x-edges"] == "0,60"
    assert answer.body[:4] == b"\x89PNG"


def test_what_a_browser_sends_is_checked():
    from ui.components.scatter import frame_of, polygon_of

    assert frame_of({"frame": 3, "seq": 9}, 10) == (3, 9)
    assert frame_of({"frame": 10, "seq": 9}, 10) == (None, 0)
    assert frame_of("3", 10) == (None, 0)
    assert polygon_of({"id": "a", "polygon": [[0, 1], [1, 1.5]]}, "a") == ((0.0, 1.0), (1.0, 1.5))
    assert polygon_of({"id": "b", "polygon": []}, "a") is None
    assert polygon_of({"id": "a", "polygon": [["x", 1]]}, "a") is None
