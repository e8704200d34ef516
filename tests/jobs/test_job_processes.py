import os
import signal
import subprocess
import sys

import pytest
from castle_test_waiting import wait_for

from castle_core.errors import JobError
from castle_core.jobs.app_lock import AppLock, running_app
from castle_core.jobs.gpus import parse_listing, visible_gpus
from castle_core.jobs.processes import RUN_VARIABLE, birth, describe_exit, end_leftovers
from castle_core.jobs.runner import Runner

SLEEPER = "import time; time.sleep(600)"
PARENT = """
import os, subprocess, sys
from castle_core.jobs.processes import birth
program = (
    "import sys, time; from castle_core.jobs.processes import end_with_parent;"
    "end_with_parent(int(sys.argv[1]), sys.argv[2]); print('watching', flush=True); time.sleep(600)"
)
child = subprocess.Popen(
    [sys.executable, "-c", program, str(os.getpid()), birth(os.getpid())],
    stdout=subprocess.PIPE,
    start_new_session=True,
)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def sleeper():
    processes = []

    def start(**environment):
        processes.append(subprocess.Popen([sys.executable, "-c", SLEEPER], env={**os.environ, **environment}))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_birth_tells_processes_apart_and_a_zombie_is_gone(sleeper):
    first, second = sleeper(), sleeper()
    assert birth(first.pid) == birth(first.pid) is not None
    assert birth(os.getpid()) != birth(first.pid)
    first.kill()
    wait_for(lambda: birth(first.pid) is None, "the zombie")  # not waited for yet: its number is still taken
    assert birth(second.pid) is not None
    assert birth(2**22 + 1) is None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_ends_with_its_parent_however_that_ends(how):
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        child = int(parent.stdout.readline())
        born = birth(child)
        assert born is not None
        parent.send_signal(how)
        parent.wait()
        wait_for(lambda: birth(child) != born, "the child's end", 10)
    finally:
        parent.kill()
        parent.communicate()


def test_a_child_whose_parent_is_gone_already_ends_at_once(sleeper):
    program = (
        "import sys; from castle_core.jobs.processes import end_with_parent;"
        "end_with_parent(int(sys.argv[1]), sys.argv[2]); print('alive')"
    )
    for parent, born in ((os.getpid(), "another boot:1"), (2**22 + 1, "x")):
        done = subprocess.run(
            [sys.executable, "-c", program, str(parent), born], capture_output=True, timeout=60, check=False
        )
        assert (done.returncode, done.stdout) == (1, b"")


def test_leftovers_are_ended_by_number_and_birth_or_by_their_mark(sleeper):
    recorded, reused, marked, other = (
        sleeper(),
        sleeper(),
        sleeper(**{RUN_VARIABLE: "r1"}),
        sleeper(**{RUN_VARIABLE: "r11"}),
    )
    processes = [(recorded.pid, birth(recorded.pid)), (reused.pid, "another boot:1"), (2**22 + 1, "x")]
    ended = end_leftovers(processes, run_mark="r1")
    assert ended == sorted([recorded.pid, marked.pid])
    assert recorded.wait(5) == marked.wait(5) == -signal.SIGKILL
    assert reused.poll() is None
    assert other.poll() is None
    assert end_leftovers(processes, run_mark="r1") == []


def test_one_app_a_folder_and_the_lock_goes_with_its_process(tmp_path):
    assert running_app(tmp_path) is None
    lock = AppLock(tmp_path)
    lock.acquire()
    assert running_app(tmp_path) == os.getpid()
    with pytest.raises(JobError, match=str(os.getpid())):
        AppLock(tmp_path).acquire()
    lock.release()
    lock.release()
    assert running_app(tmp_path) is None
    program = (
        "import sys, time; from pathlib import Path; from castle_core.jobs.app_lock import AppLock;"
        "lock = AppLock(Path(sys.argv[1])); lock.acquire(); print('held', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        assert running_app(tmp_path) == holder.pid
    finally:
        holder.kill()
        holder.communicate()
    assert running_app(tmp_path) is None
    again = AppLock(tmp_path)
    again.acquire()
    again.release()


def test_gpus_come_from_the_environment_or_the_driver(monkeypatch, tmp_path):
    for value, expected in (("", []), ("-1", []), ("0,2", ["0", "2"]), ("GPU-a, MIG-b", ["GPU-a", "MIG-b"])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
        assert visible_gpus() == expected
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus() == []
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)'\n")
    fake.chmod(0o755)
    assert visible_gpus() == ["GPU-1"]


def test_a_divided_gpu_counts_as_its_parts():
    listing = """GPU 0: NVIDIA A100 (UUID: GPU-0)
  MIG 3g.20gb     Device  0: (UUID: MIG-a)
  MIG 3g.20gb     Device  1: (UUID: MIG-b)
GPU 1: NVIDIA A100 (UUID: GPU-1)
nothing of interest
"""
    assert parse_listing(listing) == ["MIG-a", "MIG-b", "GPU-1"]


def test_ends_of_processes_in_words():
    assert "memory" in describe_exit(-9)
    assert "segmentation" in describe_exit(-11)
    assert describe_exit(-15) == "the process was ended by signal 15"
    assert describe_exit(3) == "the process ended with code 3"


def test_at_least_one_worker(table):
    with pytest.raises(JobError, match="at least one worker"):
        Runner(table, n_cpu_workers=0)


def test_a_worker_counts_as_silent_after_several_looks_whatever_the_clock_says():
    from castle_core.jobs.child import Silence

    silence, sign = Silence(), 1000.0
    for look in range(20):  # one gives signs of life (once the clock is set back), the other never does
        sign += -500.0 if look == 9 else 10.0
        assert silence.look({"alive": sign, "stuck": 1000.0}) == (["stuck"] if look >= 6 else []), look
    assert silence.look({"alive": sign + 1, "stuck": 1000.5}) == []
    assert silence.look({"alive": sign + 2}) == []
    assert silence.look({"alive": sign + 3, "stuck": 1000.5}) == []  # a new one of the same name starts afresh
