"""castle jobs, with and without the app."""

import getpass
import json
import subprocess
import sys

import pytest
from castle_test_kinds import KINDS
from castle_test_waiting import wait_for, wait_for_end

from castle_core.cli.app import app
from castle_core.cli.output import run_app
from castle_core.jobs import JobTable
from castle_core.jobs.ledger import Ledger

pytestmark = pytest.mark.xdist_group("jobs")


@pytest.fixture
def castle(capsys):
    def castle(*arguments):
        code = run_app(app, ["jobs", *arguments])
        output = capsys.readouterr()
        return code, output.out, output.err

    return castle


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("CASTLE_STATE", str(tmp_path))
    table = JobTable(tmp_path / "jobs.sqlite", kinds=KINDS)
    yield table
    table.close()


def test_list_and_show_need_no_app(castle, state):
    assert castle("list") == (0, "", "No jobs.\n")
    job = state.submit("talk", project="/data/mice", settings={"n": 3}, owner="ann", title="Talk a lot")
    code, out, _ = castle("list")
    assert code == 0
    for word in (str(job), "queued", "ann", "Talk a lot", "/data/mice"):
        assert word in out
    Ledger(state).sort_into_pools(has_gpu=False)
    Ledger(state).begin_next("cpu", "cpu-0")
    Ledger(state).end(job, 1, "failed", error="mouse.mp4 is not a video.")
    code, out, _ = castle("show", str(job))
    assert code == 0
    assert "reason: mouse.mp4 is not a video." in out
    assert "setting n: 3" in out


def test_json_is_one_object(castle, state):
    job = state.submit("talk", project="/data/mice", settings={"n": 3}, owner="ann")
    code, out, err = castle("list", "--json", "--state", "queued", "--state", "running")
    assert (code, err) == (0, "")
    listed = json.loads(out)
    assert [entry["id"] for entry in listed["jobs"]] == [job]
    assert listed["app_process"] is None
    code, out, err = castle("show", str(job), "--json")
    shown = json.loads(out)
    assert (shown["state"], shown["settings"], shown["log"], shown["queue_position"]) == ("queued", {"n": 3}, [], 0)


def test_wrong_numbers_and_states_are_one_line(castle, state):
    for arguments in (("show", "7"), ("cancel", "7"), ("retry", "7"), ("list", "--state", "done")):
        code, out, err = castle(*arguments)
        assert (code, out) == (1, "")
        assert err.startswith("castle: ")
        assert err.count("\n") == 1
    assert castle("show", "seven")[0] == 2


def test_without_the_app_a_request_waits_for_it(castle, state):
    job = state.submit("talk", project="p", settings={}, owner="ann")
    code, _, err = castle("cancel", str(job))
    assert code == 0
    assert "will cancel job 1 when it starts" in err
    assert state.get(job).state == "queued"
    Ledger(state).answer_requests()
    assert state.get(job).state == "cancelled"
    assert state.get(job).cancelled_by == getpass.getuser()


def test_the_app_does_what_the_command_asks(castle, running_table, monkeypatch, tmp_path):
    monkeypatch.setenv("CASTLE_STATE", str(running_table.folder))
    job = running_table.submit("wait_for_file", project=tmp_path, settings={}, owner="ann")
    wait_for(lambda: running_table.get(job).state == "running", "the start")
    code, _, err = castle("retry", str(job))
    assert code == 1
    assert "is running; only a failed or cancelled job" in err
    code, out, _ = castle("cancel", str(job), "--json")
    assert code == 0
    assert json.loads(out)["done"] is True
    assert wait_for_end(running_table, job).state == "cancelled"
    (tmp_path / "go").touch()
    code, _, err = castle("retry", str(job))
    assert (code, err) == (0, f"Job {job} is {running_table.get(job).state}.\n") or "Job" in err
    assert wait_for_end(running_table, job).state == "finished"


def test_the_command_imports_no_dask(state):
    program = (
        "import sys; from castle_core.cli import main; sys.argv = ['castle', 'jobs', 'list']\n"
        "try:\n    main()\nexcept SystemExit: pass\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'dask', 'distributed', 'torch', 'pandas'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
