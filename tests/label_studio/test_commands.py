"""`castle labels push` and `pull`, and the jobs, on the demo and on real data against the real server."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from lab import NAMES, make_project, region, sha, submit, tasks, write_model

from castle_core.errors import LabelStudioError
from castle_core.job_functions import JOB_KINDS, job_function
from castle_core.label_studio import save_credentials
from castle_core.labels import project_labels
from castle_core.progress import QUIET
from castle_core.projects import Project


def castle(*arguments, token="", ok=True):
    """Run the command line; return its JSON, or what it says when it fails."""
    done = subprocess.run(
        [sys.executable, "-c", "from castle_core.cli import main; main()", *map(str, arguments)],
        env={**os.environ, "LABEL_STUDIO_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode == 0) is ok, done.stderr
    assert "Traceback" not in done.stderr
    if token:
        assert token not in done.stdout + done.stderr
    return json.loads(done.stdout) if ok else done.stderr


def test_real_project_there_and_back(label_studio, server, shared_data, tmp_path):
    source = shared_data / "lp_mirror_mouse"
    home = tmp_path / "mirror"
    (home / "videos").mkdir(parents=True)
    shutil.copytree(source / "labeled-data", home / "labeled-data")
    shutil.copyfile(source / "CollectedData.csv", home / "CollectedData.csv")
    where = ["--project", home, "--url", label_studio.url, "--json"]
    sent = castle("labels", "push", *where, token=label_studio.token)
    assert (sent["created"], sent["skipped"], sent["labelled"], sent["warnings"]) == (90, 0, 90, [])
    for task in server.task_overview(sent["ls_project"]):
        served = server.request("GET", task["data"]["image"]).content
        assert served == (home / task["data"]["lp_path"]).read_bytes()
        assert task["data"]["sha256"] == sha(home / task["data"]["lp_path"])
    again = castle("labels", "push", *where, token=label_studio.token)
    assert (again["created"], again["skipped"], again["labelled"]) == (0, 90, 0)
    want = project_labels(Project.open(home))
    (home / "CollectedData.csv").unlink()
    Project.open(home).save_keypoints(want.keypoints)
    back = castle("labels", "pull", *where, token=label_studio.token)
    assert (back["labelled"] + back["empty"], back["created"]) == (90, 90)
    got = project_labels(Project.open(home))
    assert (got.keypoints, got.frames) == (want.keypoints, want.frames)
    np.testing.assert_allclose(got.xy, want.xy, rtol=0, atol=1e-6)
    sio = pytest.importorskip("sleap_io")
    loaded = sio.load_dlc(str(home / "CollectedData.csv"))
    names = [node.name for node in loaded.skeletons[0].nodes]
    order = [names.index(name) for name in want.keypoints]
    rows = {path.rpartition("/")[2]: row for row, path in enumerate(want.frames)}
    seen = 0
    for frame in loaded.labeled_frames:
        name = str(frame.video.filename[frame.frame_idx]).rpartition("/")[2]
        points = frame.instances[0].numpy()[order]
        np.testing.assert_allclose(points, want.xy[rows[name], 0], rtol=0, atol=1e-6)
        seen += 1
    assert seen == int(np.isfinite(want.xy[:, 0]).any(axis=(1, 2)).sum())


def test_demo_with_pre_labels(label_studio, server):
    from castle_core.demo import make_demo
    from castle_core.frames import export_frames
    from castle_core.state import castle_home

    made = make_demo(castle_home() / "demo", seconds=1, size=(128, 96), n_videos=1, encoder=False)
    project = Project.open("demo")
    export_frames(project, "mouse_day1", [2, 9, 20], context=2)
    options = ["--project", "demo", "--url", label_studio.url, "--predictions", made["models"][0], "--json"]
    sent = castle("labels", "push", *options, token=label_studio.token)
    assert (sent["created"], sent["predictions"]) == (3, 3)
    there = tasks(server, sent["ls_project"])
    for task in there.values():
        submit(server, task["id"], [{**r, "origin": "prediction"} for r in task["predictions"][0]["result"]])
    back = castle("labels", "pull", "--project", "demo", "--json", token=label_studio.token)
    assert (back["created"], back["labelled"]) == (3, 3)
    assert all(row["corrected"] == row["new"] == 0 for row in back["statistics"])
    from castle_core.predictions import find_predictions, load_predictions

    (file,) = find_predictions(project.path, ["mouse_day1"], model=made["models"][0])
    predictions = load_predictions(file.path)
    labels = project_labels(project)
    inside = np.isfinite(labels.xy[:, 0])
    expected = predictions.xy[[2, 9, 20]]
    np.testing.assert_allclose(labels.xy[:, 0][inside], expected[inside], rtol=0, atol=1e-6)


def test_one_line_for_what_is_wrong(label_studio):
    project = make_project()
    where = ["--project", project.path]
    assert "--url" in castle("labels", "push", *where, ok=False)
    assert "LABEL_STUDIO_TOKEN" in castle("labels", "pull", *where, "--url", label_studio.url, ok=False)
    said = castle("labels", "push", *where, "--url", label_studio.url, token="secret-but-wrong", ok=False)
    assert "does not accept the token" in said
    assert said.count("\n") == 1


def test_jobs_carry_the_id_of_a_token_and_nothing_more(label_studio, server):
    project = make_project()
    write_model(project, "m1")
    kept = save_credentials(label_studio.url, label_studio.token, owner="anna")
    said = {}

    class Log(type(QUIET)):
        def log(self, line):
            said.setdefault("log", []).append(line)

    push_labels, pull_labels = job_function("push_labels"), job_function("pull_labels")
    settings = {"credentials": kept.id, "model": "m1"}
    sent = push_labels(Log(), project=str(project.path), owner="anna", **settings)
    assert (sent["created"], sent["predictions"]) == (3, 3)
    there = tasks(server, sent["ls_project"])
    submit(server, next(iter(there.values()))["id"], [region(NAMES[0], 3, 4), region("what", 1, 1)])
    back = pull_labels(Log(), project=str(project.path), owner="anna", credentials=kept.id)
    assert (back["created"], back["n_details"]) == (1, 1)
    everything = json.dumps([sent, back, said, settings]) + "".join(
        path.read_text() for path in (project.path / ".castle").rglob("*.json")
    )
    assert label_studio.token not in everything
    with pytest.raises(LabelStudioError, match="is not here"):
        push_labels(Log(), project=str(project.path), owner="bert", **settings)
    assert {"push_labels", "pull_labels"} <= set(JOB_KINDS)
