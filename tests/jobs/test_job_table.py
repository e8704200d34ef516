import sqlite3
import threading
import time

import pytest
from castle_test_kinds import KINDS

from castle_core.errors import JobError
from castle_core.jobs import JobTable
from castle_core.jobs import ledger as ledger_module
from castle_core.jobs import table as table_module
from castle_core.jobs.ledger import MAX_LINE_LENGTH, MAX_LOG_LINES, Ledger, RecordedProcess, Report


@pytest.fixture
def ledger(table):
    ledger = Ledger(table)
    ledger.sort_into_pools(has_gpu=False)
    return ledger


def submit(table, owner="ann", kind="talk", **settings):
    return table.submit(kind, project="/data/p", settings=settings, owner=owner)


def report(job, attempt, *, done=0, total=0, lines=(), first_line=0, rate=None):
    return Report(job, attempt, done, total, "m", rate, None, first_line, tuple(lines))


def test_a_submitted_job_is_queued_as_it_was_given(table):
    job = table.get(table.submit("talk", project="/data/p", settings={"n": 3, "name": "Mäuse '1'"}, owner="ann"))
    assert (job.kind, job.title, job.state, job.owner, job.project) == ("talk", "Talk", "queued", "ann", "/data/p")
    assert job.settings == {"n": 3, "name": "Mäuse '1'"}
    assert job.active
    assert job.share == 0
    assert table.get(submit(table)).id > job.id


@pytest.mark.parametrize("settings", [{"x": float("nan")}, {"x": object()}, {"x": b"1"}])
def test_settings_that_json_cannot_hold_are_refused(table, settings):
    with pytest.raises(JobError, match="cannot be stored"):
        table.submit("talk", project="p", settings=settings, owner="ann")
    assert table.list() == []


def test_unknown_kinds_jobs_and_states_are_refused_with_what_there_is(table):
    with pytest.raises(JobError, match=r"'sing'.*talk"):
        submit(table, kind="sing")
    with pytest.raises(JobError, match="no job 5"):
        table.get(5)
    with pytest.raises(JobError, match=r"'done'.*finished"):
        table.list(states=["done"])


def test_list_filters_and_shows_the_newest_first(table):
    ids = [submit(table, owner) for owner in ("ann", "bob", "ann")]
    table.cancel(ids[0], by="ann")
    assert [job.id for job in table.list()] == ids[::-1]
    assert [job.id for job in table.list(owner="ann")] == [ids[2], ids[0]]
    assert [job.id for job in table.list(states=["queued"])] == [ids[2], ids[1]]
    assert [job.id for job in table.list(limit=1)] == [ids[2]]
    other = submit(table, kind="refuse")
    assert [job.id for job in table.list(kinds=["talk"], limit=2)] == [ids[2], ids[1]]  # others do not use it up
    assert [job.id for job in table.list(kinds=["refuse", "stumble"])] == [other]
    assert table.list(kinds=[]) == []
    assert table.list(project="/other") == []


def test_an_attempt_from_start_to_end(table, ledger):
    number = submit(table)
    job = ledger.begin_next("cpu", "cpu-0")
    assert (job.id, job.state, job.attempt, job.worker) == (number, "running", 1, "cpu-0")
    assert ledger.begin_next("cpu", "cpu-1") is None
    ledger.report(report(number, 1, done=3, total=10, rate=2.0, lines=["hello"]))
    job = table.get(number)
    assert (job.done, job.total, job.rate, job.share) == (3, 10, 2.0, 0.3)
    assert ledger.end(number, 1, "finished", result={"n": 1}, run_time_s=5.0)
    job = table.get(number)
    assert (job.state, job.result, job.run_time_s, job.active, job.share) == ("finished", {"n": 1}, 5.0, False, 1.0)
    assert table.log(number) == ["hello"]


def test_what_an_old_attempt_says_does_not_count(table, ledger):
    number = submit(table)
    ledger.begin_next("cpu", "cpu-0")
    ledger.lose(number, 1, "it was killed", max_attempts=3)
    ledger.begin_next("cpu", "cpu-0")
    ledger.report(report(number, 1, done=9, total=10))
    assert not ledger.end(number, 1, "finished", result={})
    assert (table.get(number).done, table.get(number).state) == (0, "running")
    ledger.report(report(number, 2, done=1, total=10))
    assert table.get(number).done == 1


def test_a_job_whose_workers_die_is_repeated_and_at_last_fails(table, ledger):
    number = submit(table)
    for attempt in (1, 2):
        assert ledger.begin_next("cpu", "cpu-0").attempt == attempt
        ledger.lose(number, attempt, "the process was killed", max_attempts=3)
        assert table.get(number).state == "queued"
    ledger.begin_next("cpu", "cpu-0")
    ledger.lose(number, 3, "the process was killed", max_attempts=3)
    job = table.get(number)
    assert job.state == "failed"
    assert "3 times" in job.error
    assert "the process was killed" in job.error
    assert "\n" not in job.error
    table.retry(number, by="ann")
    assert ledger.begin_next("cpu", "cpu-0").attempt == 4  # numbers of attempts are never used again
    ledger.lose(number, 4, "x", max_attempts=3)
    assert table.get(number).state == "queued"  # and the count began anew


def test_restarts_of_the_app_do_not_make_a_job_fail(table, ledger):
    number = submit(table)
    for attempt in range(1, 12):
        ledger.begin_next("cpu", "cpu-0")
        ledger.lose(number, attempt, "the app was ended", max_attempts=3, counts=False)
    assert table.get(number).state == "queued"


def test_a_repeated_job_keeps_its_place(table, ledger):
    first, second = submit(table), submit(table)
    assert ledger.begin_next("cpu", "cpu-0").id == first
    ledger.lose(first, 1, "x", max_attempts=3)
    assert table.queue_position(first) == 0
    assert table.queue_position(second) == 1


def test_cancel_of_a_queued_job_is_immediate_and_of_a_running_one_a_wish(table, ledger):
    first, second = submit(table), submit(table)
    ledger.begin_next("cpu", "cpu-0")
    assert table.cancel(second, by="bob").state == "cancelled"
    assert table.get(second).cancelled_by == "bob"
    job = table.cancel(first, by="bob")
    assert (job.state, job.cancel_requested) == ("running", True)
    ledger.lose(first, 1, "x", max_attempts=3)
    job = table.get(first)
    assert (job.state, job.cancelled_by) == ("cancelled", "bob")
    assert table.cancel(first, by="cy").cancelled_by == "bob"
    assert table.queue_position(first) is None


def test_a_job_that_finishes_in_spite_of_cancel_is_finished(table, ledger):
    number = submit(table)
    ledger.begin_next("cpu", "cpu-0")
    table.cancel(number, by="bob")
    ledger.end(number, 1, "finished", result={})
    job = table.get(number)
    assert (job.state, job.cancelled_by, job.cancel_requested) == ("finished", None, False)


@pytest.mark.parametrize("state", ["queued", "running", "finished"])
def test_retry_is_only_for_what_failed_or_was_cancelled(table, ledger, state):
    number = submit(table)
    if state != "queued":
        ledger.begin_next("cpu", "cpu-0")
    if state == "finished":
        ledger.end(number, 1, "finished", result={})
    with pytest.raises(JobError, match=f"is {state}"):
        table.retry(number, by="ann")
    assert table.get(number).state == state


def test_retry_waits_at_the_end_of_the_owners_queue(table, ledger):
    first = submit(table)
    ledger.begin_next("cpu", "cpu-0")
    ledger.end(first, 1, "failed", error="no")
    second = submit(table)
    job = table.retry(first, by="bob")
    assert (job.state, job.error, job.ended) == ("queued", None, None)
    assert ledger.begin_next("cpu", "cpu-0").id == second
    assert "Started again by bob." in table.log(first)


def test_jobs_are_taken_in_turns(table, ledger):
    for owner in ("ann", "ann", "ann", "bob", "bob"):
        submit(table, owner)
    order = []
    while job := ledger.begin_next("cpu", "cpu-0"):
        order.append(job.owner)
        ledger.end(job.id, 1, "finished", result={})
    assert order == ["ann", "bob", "ann", "bob", "ann"]


def test_turns_survive_a_restart(table, ledger, tmp_path):
    submit(table, "ann")
    ledger.end(ledger.begin_next("cpu", "cpu-0").id, 1, "finished", result={})
    submit(table, "ann")
    submit(table, "bob")
    again = JobTable(tmp_path / "jobs.sqlite", kinds=KINDS)
    assert Ledger(again).begin_next("cpu", "cpu-0").owner == "bob"
    again.close()


def test_jobs_for_a_gpu_wait_for_one_only_if_there_is_one(table):
    ledger = Ledger(table)
    number = submit(table, kind="on_gpu")
    ledger.sort_into_pools(has_gpu=True)
    assert ledger.begin_next("cpu", "cpu-0") is None
    ledger.sort_into_pools(has_gpu=False)
    assert table.queue_position(number) == 0
    ledger.sort_into_pools(has_gpu=True)
    assert ledger.begin_next("gpu", "gpu-0").id == number


def test_a_jumping_clock_changes_no_order(table, ledger, monkeypatch):
    moments = iter([5000.0, 10.0, 9000.0, -5.0, 3.0])
    monkeypatch.setattr(table_module.time, "time", lambda: next(moments, 1.0))
    ids = [submit(table) for _ in range(4)]
    assert [job.id for job in table.list()] == ids[::-1]
    taken = [ledger.begin_next("cpu", "cpu-0").id for _ in ids]
    assert taken == ids


def test_log_lines_are_limited_and_ordered_over_attempts(table, ledger):
    number = submit(table)
    ledger.begin_next("cpu", "cpu-0")
    ledger.report(report(number, 1, lines=["b"], first_line=1))
    ledger.report(report(number, 1, lines=["a", "b"], first_line=0))  # late, and a line twice
    ledger.lose(number, 1, "it was killed", max_attempts=3)
    ledger.begin_next("cpu", "cpu-0")
    ledger.report(report(number, 2, lines=["c" * 10_000]))
    ledger.report(report(number, 1, lines=["late"], first_line=2))
    ledger.report(report(number, 2, lines=["x"] * 5, first_line=MAX_LOG_LINES - 1))
    assert table.log(number) == [
        "a",
        "b",
        "late",
        "Attempt 1 ended: it was killed.",
        "c" * MAX_LINE_LENGTH,
        "x",
        "… the log is cut off here.",
    ]


def test_a_rate_that_is_no_number_is_not_stored(table, ledger):
    number = submit(table)
    ledger.begin_next("cpu", "cpu-0")
    ledger.report(report(number, 1, rate=float("inf")))
    assert table.get(number).rate is None


def test_requests_of_another_process_are_done_and_answered(table, ledger, tmp_path):
    number = submit(table)
    other = JobTable(tmp_path / "jobs.sqlite", kinds=KINDS)
    before = table.database.outside_changes()
    cancel, retry = other.request("cancel", number, by="root"), other.request("retry", number, by="root")
    wrong = other.request("retry", number, by="root")
    assert other.answer(cancel) is None
    assert table.database.outside_changes() != before
    ledger.answer_requests()
    assert (other.answer(cancel), other.answer(retry)) == ("", "")
    assert "is queued" in other.answer(wrong)
    with pytest.raises(JobError, match="no job 99"):
        other.request("cancel", 99, by="root")
    with pytest.raises(JobError, match="cancel and retry"):
        other.request("delete", number, by="root")
    other.close()


def test_listeners_hear_of_changes(table):
    heard = []
    listener = lambda: heard.append(1)  # noqa: E731
    table.add_listener(listener)
    number = submit(table)
    table.cancel(number, by="ann")
    table.retry(number, by="ann")
    assert len(heard) == 3
    table.remove_listener(listener)
    submit(table)
    assert len(heard) == 3


def test_processes_are_remembered(table, ledger):
    ledger.record_process(RecordedProcess(10, "b", "cpu-0"))
    ledger.record_process(RecordedProcess(11, "c", "cpu-1"))
    ledger.forget_process(10)
    assert ledger.recorded_processes() == [RecordedProcess(11, "c", "cpu-1")]


def test_many_threads_and_another_connection_submit_at_once(table, tmp_path):
    other = JobTable(tmp_path / "jobs.sqlite", kinds=KINDS)
    ids, lock = [], threading.Lock()

    def work(own):
        for _ in range(20):
            number = submit(own)
            with lock:
                ids.append(number)

    threads = [threading.Thread(target=work, args=(own,)) for own in (table, table, table, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ids) == list(range(1, 81))
    assert len({row[0] for row in table.database.read("SELECT queue_order FROM jobs")}) == 80
    other.close()


def test_a_failed_change_changes_nothing(table):
    with pytest.raises(JobError), table.database.transaction() as connection:
        connection.execute("INSERT INTO turns VALUES ('ann', 1)")
        connection.execute("INSERT INTO nowhere VALUES (1)")
    assert table.database.read("SELECT * FROM turns") == []
    submit(table)


def test_of_two_jobs_the_one_that_ended_later_is_known_though_the_clock_was_set_back(table, ledger, monkeypatch):
    first, second, third = (submit(table) for _ in range(3))
    table.cancel(third, by="ann")
    for number in (first, second):
        assert ledger.begin_next("cpu", "cpu-0").id == number
    now = time.time()
    assert ledger.end(second, 1, "finished")
    monkeypatch.setattr(ledger_module.time, "time", lambda: now - 86_400)
    assert ledger.end(first, 1, "failed", error="too late")
    ended = {number: table.get(number) for number in (first, second, third)}
    assert ended[first].ended < ended[second].ended
    assert sorted(ended, key=lambda number: ended[number].end_order) == [third, second, first]


def test_a_table_of_an_earlier_version_is_used_further(tmp_path):
    path = tmp_path / "jobs.sqlite"
    table = JobTable(path, kinds=KINDS)
    number = submit(table)
    table.close()
    connection = sqlite3.connect(path)
    connection.executescript("DROP INDEX jobs_by_end; ALTER TABLE jobs DROP COLUMN end_order;")
    connection.close()
    table = JobTable(path, kinds=KINDS)
    assert table.get(number).end_order is None
    assert table.cancel(number, by="ann").end_order == 1
    table.close()


def test_a_damaged_or_newer_table_is_named(tmp_path):
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(b"this is no table" * 1000)
    with pytest.raises(JobError, match=r"damaged\.sqlite"):
        JobTable(damaged)
    newer = tmp_path / "newer.sqlite"
    connection = sqlite3.connect(newer)
    connection.execute("PRAGMA user_version=999")
    connection.close()
    with pytest.raises(JobError, match="newer castle-studio"):
        JobTable(newer)


def test_the_table_is_private_and_quick_with_many_jobs(table):
    assert table.path.stat().st_mode & 0o777 == 0o600
    with table.database.transaction() as connection:
        for i in range(5000):
            connection.execute(
                "INSERT INTO jobs (kind, title, project, owner, settings, pool, state, queue_order, created)"
                " VALUES ('talk', 'T', 'p', ?, '{}', 'cpu', ?, ?, 0)",
                (f"user {i % 20}", "finished" if i > 200 else "queued", i),
            )
    began = time.process_time()
    for _ in range(20):
        table.list(limit=50)
        Ledger(table).begin_next("cpu", "cpu-0")
    assert (time.process_time() - began) / 20 < 0.02


def test_old_jobs_are_forgotten_but_never_those_that_wait(table, ledger, monkeypatch):
    monkeypatch.setattr(ledger_module, "KEPT_JOBS", 3)
    waiting = submit(table)
    ended = [submit(table, "bob") for _ in range(6)]
    for _ in ended:
        job = ledger.begin_next("cpu", "cpu-0")
        if job.id == waiting:
            ledger.lose(waiting, job.attempt, "x", max_attempts=9)
            job = ledger.begin_next("cpu", "cpu-0")
        ledger.report(report(job.id, job.attempt, lines=["hello"]))
        ledger.end(job.id, job.attempt, "finished", result={})
    ledger.forget_old_jobs()
    assert [job.id for job in table.list()] == [*ended[:-4:-1], waiting]
    assert table.log(ended[0]) == []
    assert table.log(ended[-1]) == ["hello"]
    assert submit(table) == ended[-1] + 1
