"""Jobs on real worker processes."""

import os
import signal
import socket
import ssl
import stat
import time

import psutil
import pytest
from castle_test_kinds import KINDS
from castle_test_waiting import wait_for, wait_for_end

from castle_core.errors import JobError
from castle_core.jobs import JobTable, Runner, running_app
from castle_core.jobs.processes import birth

pytestmark = pytest.mark.xdist_group("jobs")


@pytest.fixture
def submit(running_table, tmp_path):
    def submit(kind, owner="ann", **settings):
        return running_table.submit(kind, project=tmp_path, settings=settings, owner=owner)

    return submit


def wait_for_start(table, *jobs):
    for job in jobs:
        project = table.get(job).project
        wait_for(lambda job=job, project=project: os.path.exists(f"{project}/started-{job}"), f"the start of job {job}")


def test_start_does_not_keep_the_app_waiting(runner):
    assert runner.start_took_s < 1
    assert runner.state == "ready"
    assert [worker.name for worker in runner.workers()] == ["cpu-0", "cpu-1"]


def test_a_job_writes_its_files_and_tells_how_far_it_is(running_table, submit, tmp_path):
    job = submit("write_steps", n=20, pause_s=0.05)
    seen = []

    def look():
        found = running_table.get(job)
        seen.append((found.done, found.total, found.rate))
        return not found.active

    wait_for(look, "the end")
    job = running_table.get(job)
    assert (job.state, job.result, job.done, job.total, job.attempt) == ("finished", {"n": 20}, 20, 20, 1)
    assert running_table.log(job.id) == ["wrote 20 files"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{i:03}.txt" for i in range(20)]
    middle = [entry for entry in seen if entry[1] == 20 and 0 < entry[0] < 20]
    assert middle, "no progress was seen"
    assert any(rate and 1 < rate < 30 for _, _, rate in middle)
    assert 0.9 < job.run_time_s < 20


def test_what_goes_wrong_becomes_one_line(running_table, submit):
    jobs = {kind: submit(kind) for kind in ("refuse", "stumble", "leave", "answer_badly", "not_there")}
    found = {kind: wait_for_end(running_table, job) for kind, job in jobs.items()}
    assert {job.state for job in found.values()} == {"failed"}
    assert found["refuse"].error == "mouse.mp4 is not a video. Choose another file."
    assert running_table.log(jobs["refuse"]) == []
    assert found["stumble"].error == "Unexpected error (ZeroDivisionError: frames over zero). The log says more."
    assert "ZeroDivisionError: frames over zero" in running_table.log(jobs["stumble"])
    assert "SystemExit" in found["leave"].error
    assert "cannot be stored" in found["answer_badly"].error
    assert "castle_test_functions:not_there" in found["not_there"].error
    assert all("\n" not in job.error for job in found.values())
    assert all(job.attempt == 1 for job in found.values())  # not repeated: it would go wrong again


def test_workers_see_no_gpu_and_share_the_cores(running_table, submit):
    job = wait_for_end(running_table, submit("talk"))
    assert job.result["environment"]["CUDA_VISIBLE_DEVICES"] == ""
    assert int(job.result["environment"]["OMP_NUM_THREADS"]) >= 1
    assert running_table.log(job.id) == [f"line {i}" for i in range(10)]


def test_a_job_for_a_gpu_runs_without_one_too(running_table, submit):
    assert wait_for_end(running_table, submit("on_gpu")).state == "finished"


def test_one_job_a_worker_and_nobody_is_held_up_by_another(running_table, submit, runner, tmp_path):
    holding = [submit("wait_for_file", "ann"), submit("wait_for_file", "ann")]
    wait_for_start(running_table, *holding)
    mine = [submit("talk", "ann") for _ in range(4)]
    others = [submit("talk", "bob"), submit("talk", "cy"), submit("talk", "bob")]
    assert running_table.queue_position(mine[0]) >= 1
    for job in others:  # while ann's jobs hold all workers but the one for guests
        assert wait_for_end(running_table, job).worker == "guest-0"
    assert [running_table.get(job).state for job in mine] == ["queued"] * 4
    assert running_table.queue_position(mine[0]) == 0
    assert running_table.queue_position(mine[3]) == 3
    (tmp_path / "go").touch()
    for job in mine:
        assert wait_for_end(running_table, job).state == "finished"
    assert len(runner.workers()) == 3


def test_cancel_of_a_running_job_stops_it_and_the_worker_goes_on(running_table, submit, runner):
    pids = {worker.pid for worker in runner.workers()}
    job = submit("wait_for_file")
    wait_for_start(running_table, job)
    began = time.monotonic()
    running_table.cancel(job, by="bob")
    found = wait_for_end(running_table, job)
    assert (found.state, found.cancelled_by, found.error) == ("cancelled", "bob", None)
    assert time.monotonic() - began < 10
    assert {worker.pid for worker in runner.workers()} == pids


def test_a_job_that_does_not_react_to_cancel_loses_its_worker(running_table, submit, runner, tmp_path):
    pids = {worker.pid for worker in runner.workers()}
    job = submit("wait_for_file", beat=False)
    wait_for_start(running_table, job)
    running_table.cancel(job, by="ann")
    found = wait_for_end(running_table, job)
    assert (found.state, found.attempt) == ("cancelled", 1)
    assert any("did not stop within 1 s" in line for line in running_table.log(job))
    wait_for(lambda: len(pids - {worker.pid for worker in runner.workers()}) == 1, "another worker")
    wait_for(lambda: all(worker.ready for worker in runner.workers()), "that it is ready")


def test_a_cancelled_job_publishes_nothing_even_if_it_hears_late(running_table, submit, tmp_path):
    job = submit("publish_after_file")
    wait_for_start(running_table, job)
    running_table.cancel(job, by="ann")
    wait_for(lambda: " cancelled" in (running_table.folder / "leases" / f"job-{job}").read_text(), "the lease")
    (tmp_path / "go").touch()
    assert wait_for_end(running_table, job).state == "cancelled"
    assert not (tmp_path / "late.txt").exists()


def test_a_cancelled_job_can_be_started_again(running_table, submit, tmp_path):
    job = submit("wait_for_file")
    wait_for_start(running_table, job)
    running_table.cancel(job, by="ann")
    wait_for_end(running_table, job)
    (tmp_path / "go").touch()
    running_table.retry(job, by="ann")
    found = wait_for_end(running_table, job)
    assert (found.state, found.attempt, found.cancelled_by) == ("finished", 2, None)


def test_a_stuck_worker_that_wakes_after_it_was_replaced_writes_nothing(running_table, submit, runner, tmp_path):
    """The process is stopped (as by a debugger, or a sleeping machine), believed dead, and then goes on."""
    from castle_core.jobs.lease import LeaseBook

    job = submit("publish_after_file")
    wait_for_start(running_table, job)
    LeaseBook(running_table.folder / "leases").grant(job, 2)  # what the app does for the next attempt
    (tmp_path / "go").touch()
    wait_for(lambda: running_table.get(job).attempt == 2 or not running_table.get(job).active, "the old attempt's end")
    found = wait_for_end(running_table, job)
    assert (found.state, found.attempt) == ("finished", 2)
    assert any("Attempt 1 ended: it had lost its lease" in line for line in running_table.log(job))


def files(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.txt")}


def steps_without_kill(n):
    return {f"{i:03}.txt": f"file {i} of {n}\n".encode() * 50 for i in range(n)}


def kill_worker_once(table, runner, project, n=12):
    job = table.submit("write_steps", project=project, settings={"n": n, "pause_s": 0.03, "hold": True}, owner="ann")
    wait_for(lambda: 3 <= len(files(project)) < n, "the middle of the job")
    worker = next(worker for worker in runner.workers() if worker.job == job)
    os.kill(worker.pid, signal.SIGKILL)
    (project / "finish").touch()
    found = wait_for_end(table, job)
    assert (found.state, found.attempt, found.error) == ("finished", 2, None)
    assert any("Attempt 1 ended" in line for line in table.log(job))
    assert files(project) == steps_without_kill(n)
    assert birth(worker.pid) is None
    wait_for(lambda: all(worker.ready for worker in runner.workers()), "the new worker")


@pytest.mark.parametrize("time_", range(3))
def test_a_killed_worker_costs_nothing_but_time(running_table, runner, tmp_path, time_):
    kill_worker_once(running_table, runner, tmp_path)


@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_twenty_killed_workers_cost_nothing_but_time(running_table, runner, tmp_path):
    for i in range(20):
        project = tmp_path / str(i)
        project.mkdir()
        kill_worker_once(running_table, runner, project, n=12 + i)


@pytest.mark.heavy
def test_the_job_of_a_worker_that_stands_still_is_repeated_within_two_minutes(running_table, runner, tmp_path):
    job = running_table.submit(
        "write_steps", project=tmp_path, settings={"n": 12, "pause_s": 0.03, "hold": True}, owner="ann"
    )
    wait_for(lambda: 3 <= len(files(tmp_path)) < 12, "the middle of the job")
    worker = next(worker for worker in runner.workers() if worker.job == job)
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        (tmp_path / "finish").touch()
        began = time.monotonic()
        found = wait_for_end(running_table, job, 120)
        assert time.monotonic() - began > 50
        assert (found.state, found.attempt) == ("finished", 2)
        assert files(tmp_path) == steps_without_kill(12)
        assert birth(worker.pid) is None
    finally:
        if birth(worker.pid) is not None:
            os.kill(worker.pid, signal.SIGCONT)


def test_a_job_that_always_kills_its_worker_fails_and_says_so(running_table, submit):
    job = wait_for_end(running_table, submit("die"), timeout_s=60)
    assert (job.state, job.attempt) == ("failed", 3)
    assert "3 times" in job.error
    assert "code 7" in job.error
    assert wait_for_end(running_table, running_table.submit("talk", project="p", settings={}, owner="ann")).state == (
        "finished"
    )


def test_what_a_job_has_started_ends_with_its_worker(running_table, submit, runner, tmp_path):
    job = submit("have_child")
    wait_for_start(running_table, job)
    child = int((tmp_path / "child").read_text())
    born = birth(child)
    assert born is not None
    os.kill(next(worker for worker in runner.workers() if worker.job == job).pid, signal.SIGKILL)
    wait_for(lambda: birth(child) != born, "the end of the job's own child")


def test_the_cluster_survives_the_death_of_its_scheduler(running_table, submit, runner, tmp_path):
    job = submit("write_steps", n=12, pause_s=0.03, hold=True)
    wait_for(lambda: len(files(tmp_path)) >= 2, "the middle of the job")
    rows = running_table.database.read("SELECT pid, name FROM processes")
    pids = {row["name"]: row["pid"] for row in rows}
    os.kill(pids["scheduler"], signal.SIGKILL)
    (tmp_path / "finish").touch()
    found = wait_for_end(running_table, job, 60)
    assert found.state == "finished"
    assert files(tmp_path) == steps_without_kill(12)
    assert all(birth(pid) is None for pid in pids.values())
    runner.wait_ready(60)
    assert runner.state == "ready"


@pytest.mark.heavy
def test_when_the_table_cannot_be_written_all_starts_anew_and_the_job_is_repeated(
    running_table, submit, runner, monkeypatch, tmp_path
):
    """The disk is full at the moment at which the end of a job is to be stored."""
    ledger, end, failures = runner._ledger, runner._ledger.end, []

    def full(*arguments, **keywords):
        if not failures:
            failures.append(arguments)
            raise JobError("The job table could not be written (disk full).")
        return end(*arguments, **keywords)

    monkeypatch.setattr(ledger, "end", full)
    found = wait_for_end(running_table, submit("write_steps", n=3, pause_s=0.0), 60)
    assert failures
    assert (found.state, found.attempt) == ("finished", 2)
    assert files(tmp_path) == steps_without_kill(3)
    wait_for(lambda: runner.state == "ready", "the new cluster", 60)
    assert runner.failure is None


def test_a_second_app_on_the_same_folder_is_told_so(running_table, runner):
    assert running_app(running_table.folder) == os.getpid()
    second = Runner(running_table, n_cpu_workers=1)
    with pytest.raises(JobError, match=rf"Another castle app \(process {os.getpid()}\).*CASTLE_STATE"):
        second.start()
    second.stop()  # without effect
    with pytest.raises(JobError, match="running already"):
        runner.start()
    assert runner.state == "ready"


def test_another_process_asks_by_the_table(running_table, submit, runner):
    job = submit("wait_for_file")
    wait_for_start(running_table, job)
    other = JobTable(running_table.path, kinds=KINDS)
    request = other.request("cancel", job, by="root")
    assert wait_for_end(running_table, job).cancelled_by == "root"
    assert other.answer(request) == ""
    other.close()


def test_all_listen_on_loopback_only_and_speak_only_tls_with_our_key(running_table, runner):
    pids = [row["pid"] for row in running_table.database.read("SELECT pid FROM processes")]
    assert len(pids) >= 3
    listening = [
        connection.laddr
        for pid in pids
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) == len(pids)  # one each: no dashboard
    assert {address.ip for address in listening} == {"127.0.0.1"}
    key = running_table.folder / "tls" / "key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    for address in listening:
        context = ssl.create_default_context(cafile=running_table.folder / "tls" / "certificate.pem")
        context.check_hostname = False
        # without a certificate of our own the handshake fails at once, or (TLS 1.3) at the first read
        with (
            socket.create_connection(address, timeout=10) as connection,
            pytest.raises(OSError, match=r"(?i)certificate|reset|closed|alert"),
            context.wrap_socket(connection) as encrypted,
        ):
            encrypted.settimeout(10)
            encrypted.recv(1)
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            try:
                answer = connection.recv(100)
            except OSError:
                answer = b""
            assert b"HTTP" not in answer
    for pid in pids:
        assert "key" not in " ".join(psutil.Process(pid).cmdline()).replace("key.pem", "").replace('"key"', "")


def test_an_idle_runner_costs_next_to_nothing(running_table, runner):
    processes = [psutil.Process(row["pid"]) for row in running_table.database.read("SELECT pid FROM processes")]
    began, before = time.monotonic(), sum(sum(process.cpu_times()[:2]) for process in processes)
    own = time.thread_time()
    time.sleep(2)
    used = sum(sum(process.cpu_times()[:2]) for process in processes) - before
    assert used / (time.monotonic() - began) < 0.08
    assert time.thread_time() - own < 0.5
