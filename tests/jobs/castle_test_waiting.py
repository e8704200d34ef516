"""Waiting for what other processes do."""

from pathlib import Path

from castle_core.jobs.processes import wait_until

HERE = Path(__file__).resolve().parent


def wait_for(condition, what="", timeout_s=40.0):
    assert wait_until(condition, timeout_s=timeout_s), f"waited {timeout_s} s for {what or 'something'}"


def wait_for_end(table, job, timeout_s=40.0):
    wait_for(lambda: not table.get(job).active, f"the end of {table.get(job)}", timeout_s)
    return table.get(job)
