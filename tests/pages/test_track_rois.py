"""Track ROIs without a browser: drawing by numbers and by the canvas's JSON, what is saved, which job is asked for."""

import numpy as np
import pytest

from castle_core.job_functions.read_masks import read_masks
from castle_core.jobs import JobTable
from castle_core.jobs.ledger import Ledger
from castle_core.mask_writer import MaskListWriter
from castle_core.progress import QUIET
from castle_core.projects import Project
from castle_core.prompts import Prompt, labelled_frames, read_prompts, save_prompts

PAGE = "pages/track_rois.py"


def masks_of(project, stem="walk", *, n=60, lost=(), read=True):
    """Write masks of a square as ROI 1, and of a dot as ROI 2 that is lost on some frames; have them read."""
    path = project.path / "track" / f"{stem}.mp4" / "mask_list.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with MaskListWriter(path, width=64, height=48, n_rois=2) as writer:
        for index in range(n):
            mask = np.zeros((48, 64), np.uint8)
            mask[10:20, 10:20] = 1
            if index not in lost:
                mask[30:33, 30:33] = 2
            writer.write(mask, (0, 0, 64, 48))
    if read:
        read_masks(QUIET, project=str(project.path), owner="ana", videos=[stem])


def test_without_videos_the_page_says_where_to_add_them(run):
    Project.create("empty")
    at = run("empty", PAGE)
    assert "no videos yet" in at.info[0].value


def test_a_box_is_drawn_by_numbers_and_removed_again(run, project):
    at = run("mice", PAGE)
    assert at.button(key="track").disabled
    for name, value in (("Left", 4), ("Top", 5), ("Right", 20), ("Bottom", 25)):
        at.number_input(key=f"draw-{name}").set_value(value)
    at.button(key="draw-numbers").click().run()
    assert not at.exception
    assert read_prompts(project, "walk") == (Prompt(0, 1, "box", [4, 5, 20, 25]),)
    assert not at.button(key="track").disabled
    at.button(key="draw-remove-0").click().run()
    assert read_prompts(project, "walk") == ()


def test_polygons_and_points_are_typed_and_a_wrong_line_is_named(run, project):
    at = run("mice", PAGE)
    at.selectbox(key="draw-shape").set_value("Polygon").run()
    at.text_area(key="draw-pairs").set_value("1, 2\n30 2\nabc")
    at.button(key="draw-numbers").click().run()
    assert any("Line 3" in error.value for error in at.error)
    at.text_area(key="draw-pairs").set_value("1, 2\n30 2\n15; 40")
    at.button(key="draw-numbers").click().run()
    at.selectbox(key="draw-shape").set_value("Points beside it").run()
    at.text_area(key="draw-pairs").set_value("60, 40")
    at.button(key="draw-numbers").click().run()
    polygon, point = read_prompts(project, "walk")
    assert polygon == Prompt(0, 1, "polygon", [[1, 2], [30, 2], [15, 40]])
    assert point == Prompt(0, 1, "point", [[60, 40]], False)


def test_a_point_outside_the_picture_is_refused_and_nothing_is_lost(run, project):
    save_prompts(project, "walk", 0, [Prompt(0, 1, "box", [1, 1, 9, 9])])
    at = run("mice", PAGE)
    at.selectbox(key="draw-shape").set_value("Points on the ROI").run()
    at.text_area(key="draw-pairs").set_value("70, 4")
    at.button(key="draw-numbers").click().run()
    assert any("outside the 64 x 48" in error.value.replace("\\", "") for error in at.error)
    assert read_prompts(project, "walk") == (Prompt(0, 1, "box", [1, 1, 9, 9]),)


def test_whole_frame_a_second_roi_and_its_name(run, project):
    at = run("mice", PAGE)
    at.button(key="draw-whole").click().run()
    at.button(key="roi-add").click().run()
    at.text_input(key="roi-name-2").set_value("tail").run()
    at.button(key="roi-save-2").click().run()
    at.button(key="draw-whole").click().run()
    assert [prompt.roi for prompt in read_prompts(project, "walk")] == [1, 2]
    assert any("2 · tail" in str(radio.options) for radio in at.radio)
    assert project.settings("track_rois")["rois"] == {"1": "", "2": "tail"}


def test_another_frame_keeps_its_own_drawings(run, project):
    at = run("mice", PAGE)
    at.button(key="draw-whole").click().run()
    at.number_input(key="track-number-walk").set_value(33).run()
    assert at.slider(key="track-slider-walk").value == 33
    at.button(key="draw-whole").click().run()
    assert [prompt.frame_index for prompt in read_prompts(project, "walk")] == [0, 33]
    at.run()
    assert at.button(key="track-go-0").label == "0,"
    said = [text.value for text in at.markdown]
    assert said.index(":small[drawn on frames]") < said.index(":small[**33**]")
    at.button(key="draw-clear").click().run()
    assert [prompt.frame_index for prompt in read_prompts(project, "walk")] == [0]
    assert at.button(key="track-go-0").label == "0"


def test_what_the_canvas_reports_is_saved_once(run, project):
    at = run("mice", PAGE)
    (key,) = [key for key in at.session_state._state.filtered_state if key.startswith("canvas-walk-0-")]
    rect = {"type": "Rect", "left": 60, "top": 60, "width": 120, "height": 60, "originX": "left", "originY": "top"}
    rect |= {"stroke": "#7ae4f0", "strokeWidth": 2, "scaleX": 1, "scaleY": 1, "angle": 0}
    at.session_state[key] = {"drawing": {"raw": {"objects": [rect]}, "data": None}, "backgroundFit": None}
    at.run()
    assert not at.exception
    (prompt,) = read_prompts(project, "walk")
    assert np.allclose(prompt.data, [6.4, 6.4, 19.2, 12.8], atol=0.01)
    save_prompts(project, "walk", 0, [Prompt(0, 2, "box", [1, 1, 9, 9])])  # somebody else, in another tab
    at.run()
    assert [prompt.roi for prompt in read_prompts(project, "walk")] == [2]


def test_tracked_masks_become_drawings_and_label_files_are_written(run, project):
    masks_of(project)
    at = run("mice", PAGE)
    at.button(key="draw-tracked").click().run()
    assert [(p.roi, p.kind, int(p.data.sum())) for p in read_prompts(project, "walk")] == [
        (1, "mask", 100),
        (2, "mask", 9),
    ]
    at.button(key="draw-labels").click().run()
    (path,) = labelled_frames(project, "walk").values()
    with np.load(path) as archive:
        assert archive["frame"].shape == (48, 64, 3)
        assert set(np.unique(archive["mask"])) == {0, 1, 2}


@pytest.mark.parametrize("where", ["all", "forward", "backward", "both"])
def test_track_asks_for_the_job(run, project, where):
    save_prompts(project, "walk", 7, [Prompt(7, 1, "box", [1, 1, 9, 9])])
    at = run("mice", PAGE)
    at.number_input(key="track-number-walk").set_value(7).run()
    at.segmented_control(key="track-where").set_value(where).run()
    at.button(key="track").click().run()
    assert not at.exception
    (job,) = JobTable().list()
    assert job.kind == "track"
    assert job.settings == {
        "videos": ["walk"],
        "prompts_from": "walk",
        "tracker": "background",
        "direction": "both" if where == "all" else where,
        "until_next_prompt": where != "all",
        "from_frame": None if where == "all" else 7,
        "settings": {},
    }
    assert at.button(key="track").disabled


def test_a_model_tracks_on_the_gpus_worker(run, project):
    save_prompts(project, "walk", 7, [Prompt(7, 1, "box", [1, 1, 9, 9])])
    at = run("mice", PAGE)
    at.segmented_control(key="tracker").set_value("sam2").run()
    at.text_input(key="sam2-model").set_value("owner/other").run()
    at.button(key="track").click().run()
    (job,) = JobTable().list()
    assert job.kind == "track_by_model"
    assert (job.settings["tracker"], job.settings["settings"]) == ("sam2", {"model": "owner/other"})
    assert at.button(key="track").disabled


def test_a_frame_without_drawings_cannot_be_tracked_from(run, project):
    save_prompts(project, "walk", 7, [Prompt(7, 1, "box", [1, 1, 9, 9])])
    at = run("mice", PAGE)
    at.segmented_control(key="track-where").set_value("forward").run()
    assert at.button(key="track").disabled
    assert any("Nothing is drawn on frame 0" in text.value for text in at.caption)


def test_damaged_drawings_are_named_and_not_overwritten(run, project):
    save_prompts(project, "walk", 0, [Prompt(0, 1, "mask", np.ones((48, 64)))])
    (picture,) = (project.path / "track" / "walk.mp4" / "prompts").glob("*.png")
    picture.write_bytes(b"nothing")
    at = run("mice", PAGE)
    assert not at.exception
    assert any("gone or damaged" in error.value for error in at.error)


def test_a_frame_that_cannot_be_decoded_is_named(run, project, monkeypatch):
    from castle_core.errors import FrameDecodeError
    from castle_core.video import Video

    def broken(self, frame_index):
        raise FrameDecodeError(f"Frame {frame_index} of walk.mp4 cannot be decoded.", frame_index=frame_index)

    monkeypatch.setattr(Video, "frame_at", broken)
    at = run("mice", PAGE)
    assert not at.exception
    assert any("Frame 0 of walk" in error.value.replace("\\", "") for error in at.error)


def test_damaged_masks_are_named_and_drawing_goes_on(run, project):
    path = project.path / "track" / "walk.mp4" / "mask_list.h5"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no HDF5")
    at = run("mice", PAGE)
    assert not at.exception
    assert any("cannot be read as HDF5" in error.value for error in at.error)
    assert at.button(key="draw-whole")


def test_a_read_only_project_can_be_looked_at(run, project, monkeypatch):
    masks_of(project)
    monkeypatch.setattr(Project, "read_only", property(lambda self: True))
    at = run("mice", PAGE)
    assert not at.exception
    assert at.button(key="track").disabled


def test_the_session_keeps_only_plain_values(run, project):
    from conftest_pages import own_state

    masks_of(project)
    at = run("mice", PAGE)
    at.button(key="draw-tracked").click().run()
    assert own_state(at)["canvas-turn"] == 1


def test_masks_from_elsewhere_are_read_once_by_a_job(run, project):
    masks_of(project, read=False)
    at = run("mice", PAGE)
    at.run()
    (job,) = JobTable().list()
    assert (job.kind, job.settings) == ("read_masks", {"videos": ["walk"]})
    read_masks(QUIET, project=str(project.path), owner="ana", videos=["walk"])
    at.run()
    assert "Look at the masks" in [header.value for header in at.subheader]


def test_videos_are_listed_by_what_was_lost(run, project, film):
    (project.path / "videos" / "run.mp4").write_bytes(film.read_bytes())
    masks_of(project, "run", lost=range(10, 40))
    masks_of(project, "walk", lost=range(10, 13))
    at = run("mice", PAGE)
    assert [each.label for each in at.button if str(each.key).startswith("track-open-")] == ["run.mp4", "walk.mp4"]


def test_a_finished_job_says_what_was_tracked_and_what_stays(run, project):
    masks_of(project)
    save_prompts(project, "walk", 7, [Prompt(7, 1, "box", [1, 1, 9, 9])])
    at = run("mice", PAGE)
    assert any("ROI 2 is not drawn here" in text.value for text in at.caption)
    at.button(key="track").click().run()
    ledger = Ledger(JobTable())
    job = ledger.begin_next("cpu", "a worker")
    report = {"video": "walk.mp4", "frames": 60, "rois": [1, 3], "lost": {"1": 0, "3": 4}}
    ledger.end(job.id, job.attempt, "finished", result={"tracked": [report], "failed": []})
    at.run()
    said = next(text.value for text in at.caption if "Last run" in text.value)
    assert said.endswith(r"60 frames of walk.mp4 tracked; ROI 1 never lost, ROI 3 lost on 4 frames.")


def test_a_video_that_browsers_cannot_play_gets_a_copy(run, project, monkeypatch):
    masks_of(project)
    monkeypatch.setattr("castle_core.timeline.needs_proxy", lambda video: True)
    at = run("mice", PAGE)
    at.button(key="proxy-walk").click().run()
    assert [(job.kind, job.settings) for job in JobTable().list()] == [("proxy", {"video": "walk"})]
    assert "proxy-walk" not in [button.key for button in at.button]
