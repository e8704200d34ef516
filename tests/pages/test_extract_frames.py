"""The first page without a browser: empty states, options, jobs, the board, undo."""

from dataclasses import replace

import pytest
from conftest_pages import board_of

from castle_core.boards import list_boards, save_board, write_board
from castle_core.frames import export_frames, new_round
from castle_core.jobs import JobTable
from castle_core.jobs.ledger import Ledger
from castle_core.projects import Project
from ui.source_choice import HARD, VIDEOS, ZIPS
from ui.words import plain

ME = "test@example.com"  # as whom AppTest runs the page


def labels(elements):
    return [element.label for element in elements]


def test_three_doors_when_there_is_no_project(run):
    at = run()
    assert at.title[0].value == "Frames worth labelling"
    assert {"Make the demo project", "Open a folder …", "New project …"} <= set(labels(at.button))


def test_an_empty_project_teaches(run):
    Project.create("empty")
    at = run("empty")
    assert "Add the first videos" in [header.value for header in at.subheader]
    assert "Extract frames" not in labels(at.button)


def test_extract_submits_what_was_set(run, project):
    at = run("mice")
    at.number_input(key="frames-per-video").set_value(7)
    at.checkbox(key="review").uncheck()
    at.checkbox(key="context").uncheck()
    at.number_input(key="seed").set_value(3)
    at.button(key="extract").click().run()
    assert not at.exception
    (job,) = JobTable().list()
    assert job.kind == "choose_frames"
    assert job.settings["videos"] == [{"name": "walk"}]
    assert job.settings["settings"]["n"] == 7
    assert job.settings["settings"]["seed"] == 3
    assert job.settings["review"] is False
    assert job.settings["context"] == 0
    assert at.button(key="extract").disabled
    assert project.settings("extract_frames")["n"] == 7


def test_a_shared_range_reaches_the_job(run, project):
    from castle_core.trims import Skip, Trims

    project.save_settings("extract_frames", {"trims": Trims(Skip(1.0, 2.0, ((2.0, 3.0),))).to_json()})
    at = run("mice")
    at.button(key="extract").click().run()
    (job,) = JobTable().list()
    assert job.settings["videos"] == [{"name": "walk", "start": "10f", "stop": "40f", "exclude": [["20f", "30f"]]}]


def test_board_waits_and_is_written_by_a_job(run, project):
    board_of(project, [3, 20, 41])
    at = run("mice")
    assert "Look at the frames" in [header.value for header in at.subheader]
    assert "3 frames wait to be looked at:** [go there](#look-at-the-frames)" in at.caption[0].value
    write = at.button(key="write-foot")
    assert write.label == "Write 3 frames"
    write.click().run()
    assert [job.kind for job in JobTable().list()] == ["write_board"]


@pytest.mark.parametrize(
    ("method", "gap", "said"),
    [
        ("by hand", 1, "Chosen to stand for a set of frames in the Inspector."),
        ("hard", 15, "Chosen where the model is least sure, at least 15 frames apart."),
    ],
)
def test_the_board_says_how_its_frames_were_chosen(run, project, method, gap, said):
    board = board_of(project, [3, 20, 41])
    save_board(project, replace(board, method=method, videos=(replace(board.videos[0], min_gap=gap),)))
    at = run("mice")
    assert any(text.value.startswith(said) for text in at.caption)


def test_discard_asks_first(run, project):
    board_of(project, [3, 20, 41])
    at = run("mice")
    at.button(key="discard-foot").click().run()
    assert len(list_boards(project)) == 1
    assert at.button(key="discard-really").label == "Discard"


def test_a_frame_is_added_by_its_index_and_a_second_time_refused(run, project):
    board_of(project, [3, 20, 41])
    at = run("mice")
    at.number_input(key="add-index").set_value(55)
    next(button for button in at.button if button.label == "Add").click().run()
    (board,) = list_boards(project)
    assert [entry.frame_index for entry in board.entries] == [3, 20, 41, 55]


def test_rounds_are_undone_and_single_frames_removed(run, project):
    export_frames(project, "walk", [5, 30], context=0, round_info=new_round("kmeans", who="ana"))
    at = run("mice")
    at.selectbox(key="remove-frame-walk").select(30).run()
    next(button for button in at.button if button.label == "Remove").click().run()
    assert list(project.selected("walk")) == [5]
    assert "Undo" not in labels(at.button)  # somebody else's round: asks first
    assert "Undo" in [popover.proto.popover.label for popover in at.get("popover")]
    next(button for button in at.button if button.label == "Take back what ana wrote").click().run()
    assert not project.selected("walk")
    assert not list(project.frames_folder("walk").glob("*.png"))


def test_undo_says_what_was_taken_back_where_the_board_cannot_come_back(run, project):
    board_of(project, [5, 30])
    write_board(project, "b1")
    (copy,) = project.path.rglob("written/b1.json")
    copy.write_text("{", encoding="utf-8")
    at = run("mice")
    next(button for button in at.button if button.label == "Take back what local wrote").click().run()
    assert not at.exception
    assert not project.selected("walk")
    (note,) = [text.value for text in at.info if "taken back" in text.value]
    assert note.startswith(plain("2 frames taken back. The board does not come back: "))
    assert plain("b1.json") in note


def test_a_failed_job_is_told_at_its_place_to_who_started_it(run, project):
    table = JobTable()
    ledger = Ledger(table)
    for owner in (ME, "ana"):
        number = table.submit("choose_frames", project=str(project.path), settings={}, owner=owner, title="Choose")
        assert ledger.begin_next("cpu", "w") is not None
        ledger.end(number, 1, "failed", error=f"No frames of {owner}'s video can be read.")
    at = run("mice")
    assert [text.value for text in at.main.error] == [f"No frames of {ME}'s video can be read."]
    next(button for button in at.button if button.label == "Dismiss").click().run()
    assert not at.main.error


def test_the_failed_check_of_a_dismissed_upload_is_not_told_any_more(run, project, tmp_path):
    table = JobTable()
    ledger = Ledger(table)

    def failed(name):
        (tmp_path / f"{name}.json").write_text("{}")
        settings = {"path": str(tmp_path / f"{name}.mp4"), "name": "torn.mp4"}  # the bytes themselves may be lost
        number = table.submit(
            "check_upload", project=str(project.path), settings=settings, owner=ME, title=f"Check {name}"
        )
        assert ledger.begin_next("cpu", "w") is not None
        ledger.end(number, 1, "failed", error="It cannot be read.")

    def told():
        return [text.value.split("**")[1] for text in run("mice").sidebar.markdown if "** failed" in text.value]

    failed("a1")
    failed("b2")
    assert told() == ["Check b2"]
    (tmp_path / "b2.json").unlink()
    assert told() == ["Check a1"]  # it was not seen so far
    (tmp_path / "a1.json").unlink()
    assert told() == []


def test_remove_names_who_uploaded_the_video(run, project):
    table = JobTable()
    ledger = Ledger(table)

    n_bytes = project.video("walk").path.stat().st_size

    def question(owner, n_bytes=n_bytes):
        settings = {"path": "/gone/1.mp4", "name": "walk.mp4"}
        number = table.submit("check_upload", project=str(project.path), settings=settings, owner=owner)
        assert ledger.begin_next("cpu", "w") is not None
        ledger.end(number, 1, "finished", result={"name": "walk.mp4", "n_bytes": n_bytes})
        (text,) = [each.value for each in run("mice").markdown if each.value.startswith("Take **walk.mp4** out")]
        return text

    assert "**ana** uploaded it." in question("ana")
    assert "uploaded it" not in question(ME)
    assert "uploaded it" not in question("ana", n_bytes + 1)  # another file has that name now


def test_a_zip_that_brings_nothing_new_is_told(run, project):
    table = JobTable()
    number = table.submit("import_zips", project=str(project.path), settings={}, owner=ME)
    ledger = Ledger(table)
    assert ledger.begin_next("cpu", "w") is not None
    ledger.end(number, 1, "finished", result={"written": 0, "kept": 5, "round_id": "none", "directories": []})
    at = run("mice")
    assert "All 5 frames were in the project already: nothing was written." in [text.value for text in at.info]
    assert not at.success
    next(button for button in at.button if button.label == "Dismiss").click().run()
    assert not at.info


def test_what_an_undo_did_stays_until_the_user_goes_on(run, project):
    export_frames(project, "walk", [3, 9], context=0, round_info=new_round("kmeans", who=ME))

    def told(at):
        return "2 frames taken back." in [text.value for text in at.info]

    at = run("mice")
    next(button for button in at.button if button.label == "Undo").click().run()
    assert told(at)
    assert told(at.run())
    assert not told(at.segmented_control(key="source").set_value(ZIPS).run())


def test_the_green_line_goes_with_the_next_action(run, project):
    def write(frame, owner=ME):
        done = export_frames(project, "walk", [frame], context=0, round_info=new_round("kmeans", who=owner))
        number = table.submit("choose_frames", project=str(project.path), settings={}, owner=owner)
        assert ledger.begin_next("cpu", "w") is not None
        ledger.end(number, 1, "finished", result={"written": len(done.written), "videos": ["walk"]})

    def shown(at):
        return any("frame written" in text.value for text in at.success)

    table = JobTable()
    ledger = Ledger(table)
    write(7, "ana")
    assert not shown(run("mice"))  # only the one who wrote sees it
    write(5)
    write(9, "ana")
    at = run("mice")
    assert shown(at)
    assert shown(at.number_input(key="frames-per-video").set_value(3).run())
    assert not shown(at.segmented_control(key="source").set_value(ZIPS).run())  # another source
    write(30)
    assert shown(at.run())
    at.segmented_control(key="source").set_value(VIDEOS).run()
    write(50)
    assert shown(at.run())
    assert not shown(at.button(key="extract").click().run())  # the next job


def test_a_video_that_is_gone_is_named(run, project, tmp_path, film):
    other = tmp_path / "far.mp4"
    other.write_bytes(film.read_bytes())
    project.link_video(other)
    other.unlink()
    at = run("mice")
    assert at.button(key="extract").disabled
    assert any("is gone" in text.value for text in (*at.caption, *at.error))


def test_the_newest_model_is_shown_first():
    from ui.hard_source import newest_model

    assert newest_model(["2026-01-12/09-30-00", "2026-01-19/14-05-00", "zebra"]) == 1
    assert newest_model(["ensemble", "zebra"]) == 0


def test_zip_and_hard_sources_teach_when_there_is_nothing(run, project):
    at = run("mice")
    at.segmented_control(key="source").set_value(ZIPS).run()
    assert not at.exception
    assert "What a zip looks like" in [header.value for header in at.subheader]
    at.segmented_control(key="source").set_value(HARD).run()
    assert not at.exception
    assert "No predictions yet" in [header.value for header in at.subheader]


def test_label_export_lists_what_was_written(run, project):
    at = run("mice", "pages/label_export.py")
    assert "No frames are written yet" in at.info[0].value
    export_frames(project, "walk", [5, 30], context=1, round_info=new_round("kmeans"))
    at.run()
    assert not at.exception
    assert str(project.frames_folder("walk")) in [code.value for code in at.code]
    assert any("**2 frames**" in text.value for text in at.markdown)
    order = [getattr(each, "value", "") for each in at.main]
    assert order.index(str(project.frames_folder("walk"))) < order.index("Connect to Label Studio")


def test_the_session_keeps_only_plain_values(run, project):
    from conftest_pages import own_state

    board_of(project, [3, 20, 41])
    at = run("mice")
    assert own_state(at)["project"] == str(project.path)


def test_a_video_is_removed_after_a_question_and_not_while_a_board_needs_it(run, project, tmp_path):
    (project.path / "videos" / "fake.mp4").symlink_to(tmp_path / "nowhere.mp4")
    at = run("mice")
    at.selectbox(key="trim-video").select("walk").run()
    board_of(project, [3, 20])
    at = at.button(key="remove-really-walk").click().run()
    assert any("wait to be looked at" in error.value for error in at.error)
    at.selectbox(key="trim-video").select("fake").run()
    at.button(key="remove-really-fake").click().run()
    assert not at.exception
    assert [video.stem for video in project.videos()] == ["walk"]
    assert "fake" not in at.multiselect[0].options
