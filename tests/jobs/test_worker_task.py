import time

import pytest

from castle_core.jobs.lease import LeaseBook
from castle_core.jobs.processes import wait_until
from castle_core.jobs.worker_task import REPORT_SECONDS, Speed, WorkerTask


@pytest.fixture
def sent():
    return []


@pytest.fixture
def task(tmp_path, sent):
    task = WorkerTask(LeaseBook(tmp_path / "leases").grant(3, 1), 1, sent.append)
    yield task
    task.close()


def test_reports_are_few_and_the_last_is_not_lost(task, sent):
    began = time.monotonic()
    for i in range(20_000):
        task.progress(i, 20_000, "counting")
    took = time.monotonic() - began
    assert wait_until(lambda: sent and sent[-1]["done"] == 19_999, timeout_s=5)
    assert len(sent) <= 3 + took / REPORT_SECONDS
    assert sent[-1]["message"] == "counting"


def test_progress_is_cheap(task):
    began = time.process_time()
    for i in range(20_000):
        task.progress(i, 20_000)
    assert (time.process_time() - began) / 20_000 < 50e-6


def test_every_log_line_arrives_once_and_in_order(task, sent):
    for i in range(500):
        task.log(f"line {i}")
        if i % 100 == 0:
            time.sleep(0.02)
    task.log("two\nlines")
    reports = [*sent, task.close()]
    lines = {}
    for report in reports:
        for offset, line in enumerate(report["lines"]):
            assert lines.setdefault(report["first_line"] + offset, line) == line
    assert [lines[i] for i in sorted(lines)] == [*(f"line {i}" for i in range(500)), "two", "lines"]


def test_nothing_is_sent_while_nothing_happens(task, sent):
    task.progress(1, 2)
    assert wait_until(lambda: len(sent) == 1, timeout_s=5)
    time.sleep(2.5 * REPORT_SECONDS)
    assert len(sent) == 1


def test_speed_of_steady_work():
    speed = Speed()
    for i in range(100):
        speed.add(1000 + i * 0.1, i, 100)
    assert speed.rate() == pytest.approx(10, rel=0.05)


def test_speed_forgets_what_is_long_ago():
    speed = Speed()
    for i in range(100):
        speed.add(i, i, 10_000)
    for i in range(100):
        speed.add(100 + i, 100 + 10 * i, 10_000)
    assert speed.rate() == pytest.approx(10, rel=0.05)


def test_work_that_was_done_before_makes_no_speed():
    speed = Speed()
    speed.add(0.0, 5000, 10_000)
    assert speed.rate() is None
    for i in range(1, 20):
        speed.add(float(i), 5000 + i, 10_000)
    assert speed.rate() == pytest.approx(1)


def test_a_new_part_of_the_work_starts_a_new_speed():
    speed = Speed()
    for i in range(10):
        speed.add(float(i), 100 * i, 1000)
    speed.add(10.0, 0, 50)
    assert speed.rate() is None
    speed.add(12.0, 4, 50)
    assert speed.rate() == pytest.approx(2)


def test_speed_keeps_little_when_asked_very_often():
    speed = Speed()
    for i in range(100_000):
        speed.add(i * 1e-4, i, 100_000)
    assert len(speed._points) < 100
    assert speed.rate() == pytest.approx(1e4, rel=0.05)
