"""The panels of the page without a browser and without a server: what they show, and the jobs that they ask for."""

import json
from pathlib import Path

import pytest
from lab import make_project, write_model

from castle_core.jobs import JobTable
from castle_core.label_studio import save_credentials
from castle_core.projects import Project

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


def test_a_project_without_keypoints_cannot_be_pushed_yet(run):
    make_project(keypoints=())
    save_credentials(URL, "secret-token", owner=OWNER)
    at = run()
    assert at.button(key="ls-push-button").disabled
    Project.open("mice").save_keypoints(["nose"])
    at.run()
    assert not at.button(key="ls-push-button").disabled
