"""A runner that the tests share, and ways to wait for jobs."""

import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from castle_test_kinds import KINDS  # noqa: E402
from castle_test_waiting import wait_for  # noqa: E402

from castle_core.jobs import JobTable, Runner  # noqa: E402


@pytest.fixture(scope="session")
def runner(tmp_path_factory):
    """A runner with two CPU workers and a quick end for jobs that do not react to Cancel."""
    table = JobTable(tmp_path_factory.mktemp("jobs") / "jobs.sqlite", kinds=KINDS)
    began = time.monotonic()
    runner = Runner(
        table, n_cpu_workers=2, n_guest_workers=1, gpus=[], cancel_grace_s=1.0, environment={"PYTHONPATH": str(HERE)}
    )
    runner.start()
    runner.start_took_s = time.monotonic() - began
    try:
        runner.wait_ready(90)
        yield runner
    finally:
        runner.stop()
        table.close()


@pytest.fixture
def running_table(runner):
    """The table of the shared runner; at the end of the test nothing waits or runs in it."""
    table = runner._table
    yield table
    for job in table.list(states=["queued", "running"], limit=1000):
        table.cancel(job.id, by="test")
    wait_for(lambda: not table.list(states=["queued", "running"]), "the last jobs of the test")
    wait_for(lambda: all(worker.ready and worker.job is None for worker in runner.workers()), "the workers")


@pytest.fixture
def table(tmp_path):
    """A table that no runner serves."""
    table = JobTable(tmp_path / "jobs.sqlite", kinds=KINDS)
    yield table
    table.close()
