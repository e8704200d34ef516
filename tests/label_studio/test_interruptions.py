"""Servers that die, wires that are cut, projects that are deleted: a clear line, and a second run completes."""

import contextlib
import random
import threading

import pytest
from lab import NAMES, Wire, allow, logged_in, make_project, region, submit, tasks, write_model

from castle_core.errors import LabelStudioError, LockHeldError
from castle_core.label_studio import LabelStudio, PushConfig, pull, push
from castle_core.label_studio.target import one_writer
from castle_core.labels import project_labels
from castle_core.progress import Task


class After(Task):
    """Does something once, when so many units are done."""

    def __init__(self, done, action):
        self._at, self._action = done, action

    def progress(self, done, total, message=""):
        if self._action is not None and done >= self._at:
            action, self._action = self._action, None
            action()


def complete(project, server, model="m1"):
    """Push until all is there, and check that it is, once each, with pre-labels."""
    report = push(project, server, PushConfig(model=model))
    overview = server.task_overview(report.ls_project)
    paths = [task["data"]["lp_path"] for task in overview]
    assert len(paths) == len(set(paths)) == report.created + report.skipped
    assert all(task["predictions_model_versions"] == model for task in overview)
    again = push(project, server, PushConfig(model=model))
    assert (again.created, again.predictions) == (0, 0)
    return report


@pytest.mark.timeout(400)  # two starts of a server
def test_server_killed_in_the_middle_of_a_push_and_of_a_pull(label_studio):
    project = make_project(indices=range(60))
    write_model(project, "m1", n=60)
    with label_studio.client() as server:
        with pytest.raises(LabelStudioError, match="No connection to Label Studio"):
            push(project, server, PushConfig(model="m1"), After(50, label_studio.kill))
        label_studio.start()
        report = complete(project, server)
        assert (report.created, report.skipped) == (10, 50)
        there = tasks(server, report.ls_project)
        for path in list(there)[:5]:
            submit(server, there[path]["id"], [region("nose", 10, 10)])
        with pytest.raises(LabelStudioError, match="No connection to Label Studio"):
            pull(project, server, task=After(0, label_studio.kill))
        assert project_labels(project).n_frames == 0
        label_studio.start()
        assert pull(project, server).labelled == 5
        assert project_labels(project).n_frames == 5


def test_network_cut_in_the_middle_of_an_upload(label_studio):
    project = make_project(indices=range(60))
    write_model(project, "m1", n=60)
    wire = Wire(label_studio.port, cut_after=600_000)
    try:
        with label_studio.client(wire.url) as server:
            with pytest.raises(LabelStudioError, match="the rest follows"):
                push(project, server, PushConfig(model="m1"))
            wire.mend()
            assert complete(project, server).created > 0
    finally:
        wire.close()


def test_network_cut_in_the_middle_of_a_pull(label_studio):
    project = make_project(indices=range(20))
    write_model(project, "m1", n=20)
    with label_studio.client() as server:
        report = push(project, server, PushConfig(model="m1"))
        for task in tasks(server, report.ls_project).values():
            submit(server, task["id"], [region("nose", 10, 10)])
    wire = Wire(label_studio.port, cut_after=12_000, back=True)
    try:
        with label_studio.client(wire.url) as server:
            with pytest.raises(LabelStudioError, match="the connection broke"):
                pull(project, server, ls_project=report.ls_project)
            assert not (project.path / "CollectedData.csv").exists()
            wire.mend()
            assert pull(project, server, ls_project=report.ls_project).created == 20
    finally:
        wire.close()
    with label_studio.client() as server:
        assert pull(project, server).created == 0
    assert project_labels(project).n_frames == 20


def test_tokens_revoked_in_the_middle_of_a_push(label_studio):
    """Of a personal token and of a legacy one: a clear line, and the rest follows with another token."""
    legacy, personal = (make_project(name, indices=range(60)) for name in ("legacy", "personal"))
    with logged_in(label_studio) as session, label_studio.client() as server:

        def new_token():
            answer = session.post(f"{label_studio.url}/api/token/")
            answer.raise_for_status()
            return LabelStudio(label_studio.url, answer.json()["token"])

        def revoke(client):
            answer = session.post(f"{label_studio.url}/api/token/blacklist/", json={"refresh": client._token})
            answer.raise_for_status()
            client._access = ""  # what was bought with it lives five minutes more

        allow(session, label_studio)
        try:
            with pytest.raises(LabelStudioError, match="takes no legacy tokens"):
                push(legacy, server, PushConfig(), After(50, lambda: allow(session, label_studio, legacy=False)))
            with new_token() as first, pytest.raises(LabelStudioError, match="wrong, or was revoked"):
                push(personal, first, PushConfig(), After(50, lambda: revoke(first)))
            with new_token() as second:
                for project in (legacy, personal):
                    report = push(project, second, PushConfig())
                    assert (report.created, report.skipped) == (10, 50)
                    paths = [task["data"]["lp_path"] for task in second.task_overview(report.ls_project)]
                    assert len(paths) == len(set(paths)) == 60
                revoke(second)
        finally:
            allow(session, label_studio)


def test_pictures_of_an_interrupted_push_are_not_sent_again(label_studio, monkeypatch):
    project = make_project(indices=range(10))
    with label_studio.client() as server:

        def cut(*arguments):
            raise LabelStudioError("cut")

        with monkeypatch.context() as patch:
            patch.setattr(server, "import_tasks", cut)
            with pytest.raises(LabelStudioError, match="cut"):
                push(project, server, PushConfig())
        (ls_project,) = (each["id"] for each in server.projects())
        assert len(server.uploads(ls_project)) == 10
        assert push(project, server, PushConfig()).created == 10
        assert len(server.uploads(ls_project)) == 10
        for task in server.task_overview(ls_project):
            assert (
                server.request("GET", task["data"]["image"]).content
                == (project.path / task["data"]["lp_path"]).read_bytes()
            )


def test_project_deleted_in_the_middle_of_a_push(label_studio):
    project = make_project(indices=range(60))
    with label_studio.client() as server, label_studio.client() as other:

        def delete():
            for each in list(other.projects()):
                other.request("DELETE", f"/api/projects/{each['id']}")

        with pytest.raises(LabelStudioError, match="deleted while frames were sent"):
            push(project, server, PushConfig(), After(50, delete))
        with pytest.raises(LabelStudioError, match="was deleted there"):
            push(project, server, PushConfig())
        assert push(project, server, PushConfig()).created == 60


def test_project_deleted_in_the_middle_of_a_pull(label_studio):
    project = make_project()
    with label_studio.client() as server:
        report = push(project, server, PushConfig())
        there = tasks(server, report.ls_project)
        for task in there.values():
            submit(server, task["id"], [region("nose", 10, 10)])
        assert pull(project, server).created == 3
        before = (project.path / "CollectedData.csv").read_bytes()
        submit(server, next(iter(there.values()))["id"], [region("nose", 20, 20)])

        def delete():
            server.request("DELETE", f"/api/projects/{report.ls_project}")

        with pytest.raises(LabelStudioError, match="deleted while labels were pulled"):
            pull(project, server, task=After(0, delete))
        assert (project.path / "CollectedData.csv").read_bytes() == before
        with pytest.raises(LabelStudioError, match="was deleted there"):
            push(project, server, PushConfig())
        again = push(project, server, PushConfig())
        assert (again.created, again.labelled) == (3, 3)
        assert pull(project, server).created == 0
        assert (project.path / "CollectedData.csv").read_bytes() == before


def test_one_writer_at_a_time(server, monkeypatch):
    project = make_project()
    report = push(project, server, PushConfig())
    monkeypatch.setattr("castle_core.label_studio.target.WAIT_S", 0.2)
    with one_writer(project, server.url), pytest.raises(LockHeldError):
        push(project, server, PushConfig())
    with one_writer(project, server.url, report.ls_project), pytest.raises(LockHeldError):
        push(project, server, PushConfig())
    assert push(project, server, PushConfig()).skipped == 3


@pytest.mark.heavy
def test_two_pushes_at_the_same_time_make_every_task_once(label_studio):
    project = make_project(indices=range(30))
    write_model(project, "m1", n=30)
    failures = []

    def run():
        with label_studio.client() as server:
            try:
                push(project, server, PushConfig(model="m1"))
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(isinstance(error, LockHeldError) for error in failures)
    with label_studio.client() as server:
        assert complete(project, server).skipped == 30


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(8))
def test_killed_at_any_moment(label_studio, seed):
    project = make_project(indices=range(150), keypoints=NAMES)
    write_model(project, "m1", n=150)
    chance = random.Random(seed)
    with label_studio.client() as server:
        for _ in range(2):
            timer = threading.Timer(chance.uniform(0.05, 2.5), label_studio.kill)
            timer.start()
            with contextlib.suppress(LabelStudioError):
                push(project, server, PushConfig(model="m1"))
            timer.join()
            label_studio.ensure()
        complete(project, server)
        (ls_project,) = (each["id"] for each in server.projects())
        there = tasks(server, ls_project)
        assert len(there) == 150
        for path in list(there)[:40]:
            submit(server, there[path]["id"], [region("nose", 10, 10)])
        timer = threading.Timer(chance.uniform(0.0, 0.6), label_studio.kill)
        timer.start()
        with contextlib.suppress(LabelStudioError):
            pull(project, server)
        timer.join()
        label_studio.ensure()
        assert pull(project, server).labelled == 40
        assert project_labels(project).n_frames == 40


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(8))
def test_wire_cut_at_any_byte(label_studio, seed):
    project = make_project(indices=range(100))
    write_model(project, "m1", n=100)
    chance = random.Random(seed)
    for _ in range(3):
        wire = Wire(label_studio.port, cut_after=chance.randrange(1_000, 1_200_000))
        try:
            with label_studio.client(wire.url) as server, contextlib.suppress(LabelStudioError):
                push(project, server, PushConfig(model="m1"))
        finally:
            wire.close()
    with label_studio.client() as server:
        complete(project, server)
        found = tasks(server, next(each["id"] for each in server.projects()))
        assert len(found) == 100
