"""The panels of the page without a browser and without a server: what they show, and the jobs that they ask for."""

import json
from pathlib import Path

import numpy as np
import pytest
from lab import NAMES, make_project, write_model

from castle_core.jobs import JobTable
from castle_core.label_studio import save_credentials
from castle_core.label_studio.pictures import picture_at
from castle_core.labels import Labels
from castle_core.projects import Project
from ui.labels.push_choice import drawn_points

ROOT = Path(__file__).resolve().parents[2]
URL = "http://127.0.0.1:9"  # nothing answers there
OWNER = "test@example.com"  # whom AppTest logs in


@pytest.fixture
def run(castle_folders):
    from streamlit.testing.v1 import AppTest

    def start():
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        at.query_params["project"] = "mice"
        at.run()
        at.switch_page("pages/label_export.py").run()
        assert not at.exception, [error.value for error in at.exception]
        return at

    return start


def keys(elements):
    return {element.key for element in elements}


def test_without_a_token_the_page_asks_for_one_and_says_what_is_wrong(run):
    make_project()
    at = run()
    assert "ls-push-button" not in keys(at.button)
    at.text_input(key="ls-url").set_value(URL)
    at.text_input(key="ls-token").set_value("secret-token")
    next(button for button in at.button if button.label == "Check and save").click().run()
    assert any("nothing answers there" in error.value for error in at.error)
    assert "secret-token" not in json.dumps([error.value for error in at.error])


def test_push_and_pull_ask_for_jobs_with_the_id_of_the_token(run):
    project = make_project(stems=("day1", "day2"))
    write_model(project, "m1")
    kept = save_credentials(URL, "secret-token", owner=OWNER)
    at = run()
    at.number_input(key="push-threshold").set_value(0.7).run()
    at.button(key="ls-push-button").click().run()
    assert not at.exception
    (job,) = JobTable().list()
    assert (job.kind, job.owner) == ("push_labels", OWNER)
    assert job.settings["credentials"] == kept.id
    assert (job.settings["model"], job.settings["threshold"], len(job.settings["frames"])) == ("m1", 0.7, 6)
    assert "secret-token" not in json.dumps(job.to_json())
    assert at.button(key="ls-push-button").disabled
    assert at.button(key="ls-pull-button").disabled


def test_frames_by_video_and_no_keypoints(run):
    make_project(stems=("day1", "day2"))
    save_credentials(URL, "secret-token", owner=OWNER)
    at = run()
    at.button_group(key="push-how").set_value("By video").run()
    at.multiselect(key="push-videos").set_value(["day2"]).run()
    at.button(key="ls-push-button").click().run()
    (job,) = JobTable().list()
    assert [path.split("/")[1] for path in job.settings["frames"]] == ["day2"] * 3


def test_the_gallery_draws_what_is_sent_labels_before_pre_labels():
    project = make_project()
    write_model(project, "m1")
    frames = [f"labeled-data/day1/img{index:08d}.png" for index in (3, 7, 11)]
    xy = np.full((2, 1, 3, 2), np.nan)
    xy[0, 0, 1] = 32, 12
    labels = Labels(NAMES, ("",), tuple(frames[:2]), xy, no_animal=frozenset(frames[1:2]))
    pictures = [picture_at(project, frame) for frame in frames]
    drawn = drawn_points(project, labels, pictures, "m1", 0.5)
    (point,) = drawn[frames[0]]
    assert (point[0], point[1], point[3]) == (0.5, 0.25, "ear")
    assert drawn[frames[1]] == []  # no animal: nothing is drawn, and no pre-label is sent
    assert [name for *_, name in drawn[frames[2]]] == list(NAMES)
    assert drawn_points(project, labels, pictures, None, 0.5).keys() == set(frames[:2])


def test_a_project_without_keypoints_cannot_be_pushed_yet(run):
    make_project(keypoints=())
    save_credentials(URL, "secret-token", owner=OWNER)
    at = run()
    assert at.button(key="ls-push-button").disabled
    Project.open("mice").save_keypoints(["nose"])
    at.run()
    assert not at.button(key="ls-push-button").disabled
