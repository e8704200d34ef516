"""kill -9 of the whole app in the middle of a job: nothing of it lives on, and the next app finishes the job."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest
from castle_test_kinds import KINDS
from castle_test_waiting import HERE, wait_for, wait_for_end

from castle_core.jobs import JobTable, running_app
from castle_core.jobs.processes import birth

pytestmark = pytest.mark.xdist_group("jobs")


@pytest.fixture
def start_app(tmp_path):
    """Start apps on one state folder; whatever is left of them at the end is killed."""
    apps = []

    def start():
        with open(tmp_path / "app.log", "ab") as log:
            app = subprocess.Popen(
                [sys.executable, str(HERE / "castle_test_app.py"), str(tmp_path)],
                env={**os.environ, "PYTHONPATH": str(HERE)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        apps.append(app)
        return app

    yield start
    for app in apps:
        app.kill()
        app.wait()
    if (tmp_path / "jobs.sqlite").exists():
        table = JobTable(tmp_path / "jobs.sqlite", kinds=KINDS)
        for row in table.database.read("SELECT pid, birth FROM processes"):
            if birth(row["pid"]) == row["birth"]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(row["pid"], signal.SIGKILL)
        table.close()


def children(table):
    return [(row["pid"], row["birth"]) for row in table.database.read("SELECT pid, birth FROM processes")]


def files(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.txt")}


def kill_the_app_and_finish(start_app, table, project, *, kills, step=3):
    """Kill the app `kills` times during one job, each time some files later."""
    project.mkdir()
    n = step * (kills + 2)
    job = table.submit("write_steps", project=project, settings={"n": n, "pause_s": 0.03, "hold": True}, owner="ann")
    for kill in range(kills):
        app = start_app()
        wait_for(lambda kill=kill: len(files(project)) > step * kill + 1, "some files", 60)
        family = children(table)
        assert len(family) == 2, "a scheduler and a worker"
        assert all(birth(pid) == born for pid, born in family)
        assert table.get(job).state == "running"
        app.send_signal(signal.SIGKILL)
        app.wait()
        wait_for(lambda family=family: all(birth(pid) != born for pid, born in family), "the end of the children", 10)
        assert running_app(table.folder) is None
        there = files(project)
        assert len(there) < n, "the job was over before the kill"
        assert files(project) == there
    (project / "finish").touch()
    app = start_app()
    found = wait_for_end(table, job, 60)
    assert (found.state, found.attempt, found.result) == ("finished", kills + 1, {"n": n})
    assert files(project) == {f"{i:03}.txt": f"file {i} of {n}\n".encode() * 50 for i in range(n)}
    return app


def test_three_kills_of_the_app_in_the_middle_of_a_job(start_app, table, tmp_path):
    kill_the_app_and_finish(start_app, table, tmp_path / "project", kills=3)
    second = start_app()  # on the same folder, beside the one that runs
    assert second.wait(30) != 0
    assert "Another castle app (process" in (tmp_path / "app.log").read_text()


@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_twenty_kills_of_the_app_in_the_middle_of_a_job(start_app, table, tmp_path):
    for i in range(4):
        app = kill_the_app_and_finish(start_app, table, tmp_path / f"project {i}", kills=5)
        app.kill()
        app.wait()


def test_a_leftover_that_escaped_is_ended_before_the_job_is_repeated(start_app, table, tmp_path):
    """A worker is stopped when its app is killed, so it could not even hear of it; the next app ends it."""
    project = tmp_path / "project"
    project.mkdir()
    escaped = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    try:
        with table.database.transaction() as connection:
            connection.execute("INSERT INTO processes VALUES (?, ?, 'cpu-0')", (escaped.pid, birth(escaped.pid)))
            connection.execute("INSERT INTO processes VALUES (?, 'another boot:5', 'cpu-1')", (stranger.pid,))
        job = table.submit("write_steps", project=project, settings={"n": 3, "pause_s": 0.0}, owner="ann")
        start_app()
        assert escaped.wait(60) == -signal.SIGKILL
        assert wait_for_end(table, job, 60).state == "finished"
        assert stranger.poll() is None  # it only has the number that a worker once had
    finally:
        for process in (escaped, stranger):
            process.kill()
            process.wait()


def test_an_app_that_is_stopped_in_order_repeats_its_job_next_time(table, tmp_path):
    from castle_core.jobs import Runner

    project = tmp_path / "project"
    project.mkdir()
    job = table.submit("write_steps", project=project, settings={"n": 8, "pause_s": 0.05, "hold": True}, owner="ann")
    runner = Runner(table, n_cpu_workers=1, gpus=[], environment={"PYTHONPATH": str(HERE)})
    for last in (False, True):
        runner.start()
        try:
            if last:
                assert wait_for_end(table, job, 60).state == "finished"
            else:
                wait_for(lambda: len(files(project)) > 2, "some files", 60)
                (project / "finish").touch()
            family = children(table)
        finally:
            runner.stop()
        assert runner.state == "stopped"
        assert len(family) == 2
        assert all(birth(pid) != born for pid, born in family)
        assert children(table) == []
        assert running_app(table.folder) is None
        assert last or table.get(job).state == "queued"
    assert files(project) == {f"{i:03}.txt": f"file {i} of 8\n".encode() * 50 for i in range(8)}


def test_stop_while_the_workers_still_start(table):
    from castle_core.jobs import Runner

    runner = Runner(table, n_cpu_workers=1, gpus=[])
    runner.start()
    wait_for(lambda: len(children(table)) > 0, "the first child")
    runner.stop()
    assert children(table) == []
