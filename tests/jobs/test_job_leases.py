import fcntl
import os
import subprocess
import sys
import threading
import time

import pytest

from castle_core.errors import JobCancelled, JobError, LeaseLostError
from castle_core.jobs import lease as lease_module
from castle_core.jobs.lease import LeaseBook
from castle_core.jobs.worker_task import WorkerTask


@pytest.fixture
def book(tmp_path):
    return LeaseBook(tmp_path / "leases")


@pytest.fixture
def publish(tmp_path):
    def publish(task):
        temporary = tmp_path / "x.part"
        temporary.write_text(f"attempt {task.attempt}")
        task.publish(temporary, tmp_path / "x")

    return publish


@pytest.fixture
def task_of():
    tasks = []

    def make(lease, attempt=1):
        tasks.append(WorkerTask(lease, attempt, lambda report: None))
        return tasks[-1]

    yield make
    for task in tasks:
        task.close()


def test_the_current_attempt_publishes_and_an_older_one_does_not(book, publish, task_of, tmp_path):
    first = task_of(book.grant(7, 1), 1)
    publish(first)
    second = task_of(book.grant(7, 2), 2)
    publish(second)
    with pytest.raises(LeaseLostError, match="Job 7"):
        publish(first)
    with pytest.raises(LeaseLostError):
        first.progress(1, 2)
    second.progress(1, 2)
    assert (tmp_path / "x").read_text() == "attempt 2"
    assert (tmp_path / "x.part").exists()  # what could not be published was not lost


def test_nothing_is_published_after_the_lease_was_taken_back(book, publish, task_of, tmp_path):
    task = task_of(book.grant(7, 1))
    book.take_back(7)
    with pytest.raises(LeaseLostError):
        publish(task)
    assert not (tmp_path / "x").exists()
    book.take_back(7)  # again is no error


def test_the_same_number_from_a_new_table_is_not_the_same_attempt(book, publish, task_of):
    old = task_of(book.grant(7, 1))
    book.take_back_all()
    new = task_of(book.grant(7, 1))
    with pytest.raises(LeaseLostError):
        publish(old)
    publish(new)


def test_a_cancelled_attempt_neither_goes_on_nor_publishes(book, publish, task_of):
    task = task_of(book.grant(7, 1))
    book.cancel(7)
    book.cancel(7)
    with pytest.raises(JobCancelled):
        publish(task)
    with pytest.raises(JobCancelled):
        task.progress(1, 2)
    book.cancel(8)  # no such job runs: no error


def test_taking_back_waits_for_a_rename_that_has_begun(book):
    lease = book.grant(7, 1)
    events = []
    with lease.held():
        thread = threading.Thread(target=lambda: (book.take_back(7), events.append("taken back")))
        thread.start()
        thread.join(0.2)
        events.append("renamed")
    thread.join(10)
    assert events == ["renamed", "taken back"]


def test_a_worker_that_hangs_in_a_rename_is_reported_and_freed_by_its_death(book, monkeypatch):
    monkeypatch.setattr(lease_module, "LOCK_SECONDS", 0.1)
    lease = book.grant(7, 1)
    program = (
        "import fcntl, os, sys, time; d = os.open(sys.argv[1], os.O_RDWR); fcntl.flock(d, fcntl.LOCK_EX);"
        "print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", program, lease.path], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(JobError, match="does not let go of job 7"):
            book.take_back(7)
        holder.kill()
        holder.wait()
        book.take_back(7)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with pytest.raises(LeaseLostError):
        lease.check()


def test_two_attempts_racing_for_one_file_leave_the_last_ones(book, publish, tmp_path, task_of):
    """While leases change hands as fast as they can, an attempt that was replaced never writes after its successor."""
    current = [book.grant(7, 0)]
    seen = []
    lock = threading.Lock()
    stop = threading.Event()

    def work(number):
        while not stop.is_set():
            lease = current[0]
            time.sleep(0.0005)
            try:
                with lease.held():
                    attempt = int(lease.token.split()[0])
                    with lock:
                        seen.append(attempt)
            except LeaseLostError:
                pass

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for attempt in range(1, 60):
        current[0] = book.grant(7, attempt)
        time.sleep(0.001)
    stop.set()
    for thread in threads:
        thread.join()
    assert seen == sorted(seen)
    assert len(set(seen)) > 3


def test_lease_files_are_private(book):
    lease = book.grant(7, 1)
    assert os.stat(lease.path).st_mode & 0o777 == 0o600
    descriptor = os.open(lease.path, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody has left it locked
    os.close(descriptor)
