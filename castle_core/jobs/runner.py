"""The app's part that runs jobs: starts the cluster, hands out jobs, watches workers, writes the table."""

import asyncio
import contextlib
import hashlib
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from castle_core.errors import JobError
from castle_core.jobs.app_lock import AppLock
from castle_core.jobs.certificates import make_certificates
from castle_core.jobs.gpus import visible_gpus
from castle_core.jobs.job import Job
from castle_core.jobs.lease import LeaseBook
from castle_core.jobs.ledger import Ledger, RecordedProcess, Report
from castle_core.jobs.processes import end_leftovers
from castle_core.jobs.table import JobTable

if TYPE_CHECKING:
    from castle_core.jobs.cluster import Cluster

_LOG = logging.getLogger(__name__)
_POLL_SECONDS = 1.0
_RESTART_SECONDS = (0.0, 1.0, 5.0, 15.0, 60.0)  # pauses before a process that keeps dying is started again
_STABLE_SECONDS = 60.0


@dataclass
class _Worker:
    """What the runner knows about one worker.

    `address` is None while it starts; `job` is the attempt that it has now.
    """

    name: str
    pool: str
    pid: int | None = None
    address: str | None = None
    job: Job | None = None
    began: float = 0.0
    started: float = 0.0
    n_quick_deaths: int = 0
    cancel_told: float | None = None
    watcher: "asyncio.Task[None] | None" = None


@dataclass(frozen=True)
class WorkerStatus:
    """A worker as the machine's panel shows it."""

    name: str
    pid: int | None
    ready: bool
    job: int | None


class Runner:
    """Runs the jobs of a table on this machine, on a thread with an event loop of its own.

    Parameters
    ----------
    table : JobTable
        The jobs; pages must use the same object, so that the runner hears of new jobs at once.
    n_cpu_workers : int, optional
        Worker processes for jobs without a GPU; by default a quarter of the cores, 2 to 4.
    gpus : sequence of str, optional
        Values for ``CUDA_VISIBLE_DEVICES``, one worker each; by default the ones that are visible.
    cancel_grace_s : float
        Seconds that a cancelled job has to stop before its worker is ended.
    max_attempts : int
        When so many workers have died during a job, it fails. Restarts of the app do not count.
    environment : mapping, optional
        Added to the environment of the worker processes.
    """

    def __init__(
        self,
        table: JobTable,
        *,
        n_cpu_workers: int | None = None,
        gpus: Sequence[str] | None = None,
        cancel_grace_s: float = 10.0,
        max_attempts: int = 3,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if n_cpu_workers is None:
            n_cpu_workers = min(4, max(2, (os.cpu_count() or 1) // 4))
        if n_cpu_workers < 1:
            raise JobError(f"n_cpu_workers is {n_cpu_workers}, but at least one worker is needed.")
        self._table = table
        self._ledger = Ledger(table)
        self._n_cpu_workers = n_cpu_workers
        self._gpus = gpus
        self._cancel_grace_s = cancel_grace_s
        self._max_attempts = max_attempts
        self._environment = dict(environment or {})
        self._lock = AppLock(table.folder)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._failure: str | None = None
        self._workers: dict[str, _Worker] = {}
        self._cluster: Cluster | None = None
        self._client: Any = None
        self._leases: LeaseBook | None = None
        self._scheduler_lost = False
        self._tasks: set[asyncio.Task[None]] = set()

    # -- from the app's threads

    def start(self) -> None:
        """Take the app's lock, and start the cluster in the background; returns at once.

        Raises
        ------
        JobError
            If another app runs the jobs of this table.
        """
        if self._thread is not None:
            raise JobError("The jobs of this app are running already.")
        self._lock.acquire()
        self._stopping.clear()
        self._ready.clear()
        self._failure = None
        self._thread = threading.Thread(target=self._run, name="castle jobs", daemon=True)
        self._thread.start()
        self._table.add_listener(self._notify)

    def stop(self, timeout_s: float = 20.0) -> None:
        """End the workers and the scheduler. Running jobs wait for the next start, which repeats them."""
        thread = self._thread
        if thread is None:
            return
        self._table.remove_listener(self._notify)
        self._stopping.set()
        self._notify()
        thread.join(timeout_s)
        if thread.is_alive():
            raise JobError("The workers did not end in time.")
        self._thread = None
        self._lock.release()

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Wait until all workers can take jobs.

        Raises
        ------
        JobError
            If that takes longer than `timeout_s`, or the cluster cannot be started.
        """
        if not self._ready.wait(timeout_s):
            raise JobError(f"The workers are not ready after {timeout_s:.0f} s. See {self._table.folder / 'logs'}.")

    @property
    def state(self) -> Literal["stopped", "starting", "ready", "failed"]:
        """What the runner is doing; with "failed", `failure` says why it cannot start (it goes on trying)."""
        if self._thread is None or not self._thread.is_alive():
            return "stopped"
        if self._failure is not None:
            return "failed"
        return "ready" if self._ready.is_set() else "starting"

    @property
    def failure(self) -> str | None:
        """Why the cluster could not be started, in one line."""
        return self._failure

    def workers(self) -> list[WorkerStatus]:
        """Return the workers as they are now."""
        return [
            WorkerStatus(w.name, w.pid, w.address is not None, None if w.job is None else w.job.id)
            for w in list(self._workers.values())
        ]

    def _notify(self) -> None:
        loop, wake = self._loop, self._wake
        if loop is not None and wake is not None:
            with contextlib.suppress(RuntimeError):  # the loop has just been closed
                loop.call_soon_threadsafe(wake.set)

    # -- on the runner's own thread

    def _run(self) -> None:
        # A plain loop whatever policy the web server has set; Dask finds it as the running loop of this thread.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            try:
                runner.run(self._main())
            except Exception as error:
                self._failure = f"The jobs stopped: {error}"
                _LOG.exception("the job runner stopped")
            finally:
                self._loop = None

    async def _main(self) -> None:
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self._clear_away()
                await self._serve()
            except Exception as error:
                self._failure = str(error) if isinstance(error, JobError) else f"The workers cannot start: {error}"
                _LOG.exception("the cluster could not be used")
            finally:
                self._ready.clear()
                await self._end_cluster()
            failures = 0 if time.monotonic() - began > _STABLE_SECONDS else failures + 1
            await self._pause(failures)

    async def _pause(self, failures: int) -> None:
        deadline = time.monotonic() + _RESTART_SECONDS[min(failures, len(_RESTART_SECONDS) - 1)]
        while not self._stopping.is_set() and (left := deadline - time.monotonic()) > 0:
            await self._wait_for_news(left)

    @property
    def _run_mark(self) -> str:
        return hashlib.sha256(str(self._table.path.resolve()).encode()).hexdigest()[:16]

    def _clear_away(self) -> None:
        """End what a former app or cluster has left, and put its running jobs back into the queue."""
        recorded = self._ledger.recorded_processes()
        ended = end_leftovers([(item.pid, item.birth) for item in recorded], run_mark=self._run_mark)
        if ended:
            _LOG.warning("ended %d processes of a former run", len(ended))
        for item in recorded:
            self._ledger.forget_process(item.pid)
        self._leases = LeaseBook(self._table.folder / "leases")
        self._leases.take_back_all()
        for job in self._ledger.running():
            self._ledger.lose(job.id, job.attempt, "the app was stopped", max_attempts=self._max_attempts, counts=False)

    async def _serve(self) -> None:
        from castle_core.jobs.cluster import Cluster, Surroundings

        gpus = self._gpus if self._gpus is not None else await asyncio.to_thread(visible_gpus)
        options = self._worker_options(gpus)
        surroundings = Surroundings(
            folder=self._table.folder,
            certificates=make_certificates(self._table.folder / "tls"),
            run_mark=self._run_mark,
            environment=self._environment,
            on_start=self._on_start,
            on_ready=self._on_ready,
            on_exit=self._on_exit,
        )
        self._scheduler_lost = False
        self._workers = {
            name: _Worker(name, "gpu" if "GPU" in option["resources"] else "cpu") for name, option in options.items()
        }
        self._cluster = Cluster(surroundings, options, on_removed=self._on_removed)
        await self._cluster
        await self._connect(surroundings.certificates.security())
        changes = -1
        while not self._stopping.is_set() and not self._scheduler_lost:
            now_changes = self._table.database.outside_changes()
            if now_changes != changes:
                changes = now_changes
                self._ledger.answer_requests()
            self._ledger.sort_into_pools(has_gpu=bool(gpus))
            self._pass_on_cancels()
            self._hand_out()
            await self._wait_for_news(self._poll_seconds())

    async def _connect(self, security: Any) -> None:
        from distributed import Client

        from castle_core.jobs.work import REPORTS_TOPIC

        assert self._cluster is not None
        self._client = Client(
            self._cluster.scheduler.address, security=security, asynchronous=True, set_as_default=False, timeout="30s"
        )
        await self._client
        self._client.subscribe_topic(REPORTS_TOPIC, self._on_report)

    def _worker_options(self, gpus: Sequence[str]) -> dict[str, dict[str, Any]]:
        n_threads = max(1, (os.cpu_count() or 1) // (self._n_cpu_workers + len(gpus)))
        limits = {
            name: os.environ.get(name, str(n_threads))
            for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        }
        options: dict[str, dict[str, Any]] = {}
        for number in range(self._n_cpu_workers):
            options[f"cpu-{number}"] = {
                "resources": {"CPU": 1},
                "environment": {**limits, "CUDA_VISIBLE_DEVICES": ""},
            }
        for number, gpu in enumerate(gpus):
            options[f"gpu-{number}"] = {
                "resources": {"GPU": 1},
                "environment": {**limits, "CUDA_VISIBLE_DEVICES": gpu},
            }
        return options

    def _poll_seconds(self) -> float:
        deadlines = [
            worker.cancel_told + self._cancel_grace_s
            for worker in self._workers.values()
            if worker.cancel_told is not None
        ]
        return max(0.01, min([_POLL_SECONDS, *(deadline - time.monotonic() for deadline in deadlines)]))

    async def _wait_for_news(self, timeout_s: float) -> None:
        assert self._wake is not None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), timeout_s)
        self._wake.clear()

    def _pass_on_cancels(self) -> None:
        """Tell attempts that somebody wants them to stop, and end the workers of those that do not."""
        assert self._leases is not None
        assert self._cluster is not None
        now = time.monotonic()
        for worker in self._workers.values():
            if worker.job is None or not self._table.get(worker.job.id).cancel_requested:
                continue
            if worker.cancel_told is None:
                worker.cancel_told = now
                with contextlib.suppress(JobError):  # held by a stuck worker, which is ended below
                    self._leases.cancel(worker.job.id)
            elif now - worker.cancel_told >= self._cancel_grace_s:
                self._ledger.note(
                    worker.job, f"It did not stop within {self._cancel_grace_s:g} s; its worker was ended."
                )
                self._cluster.kill_worker(worker.name)
                worker.cancel_told = now  # should the process survive that, try again later

    def _hand_out(self) -> None:
        """Give every free worker the job whose turn it is."""
        from castle_core.jobs.work import run_attempt

        assert self._leases is not None
        for worker in self._workers.values():
            if worker.address is None or worker.job is not None:
                continue
            job = self._ledger.begin_next(worker.pool, worker.name)
            if job is None:
                continue
            worker.job, worker.began, worker.cancel_told = job, time.monotonic(), None
            kind = self._table.kinds.get(job.kind)
            if kind is None:  # a table of another version
                self._end(worker, "failed", error=f"This version has no jobs of kind {job.kind!r}.")
                continue
            lease = self._leases.grant(job.id, job.attempt)
            future = self._client.submit(
                run_attempt,
                {
                    "job": job.id,
                    "attempt": job.attempt,
                    "lease_path": lease.path,
                    "lease_token": lease.token,
                    "function": kind.function,
                    "project": job.project,
                    "owner": job.owner,
                    "settings": job.settings,
                },
                key=f"job-{job.id}-attempt-{job.attempt}-{lease.token[-8:]}",
                workers=[worker.address],
                resources={worker.pool.upper(): 1},
                pure=False,
                retries=0,
            )
            worker.watcher = self._spawn(self._watch(worker, future))

    async def _watch(self, worker: _Worker, future: Any) -> None:
        """Wait for the end of an attempt and store it. If the worker dies, `_on_exit` does that instead."""
        try:
            outcome = await future.result()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # the function itself never raises: its answer could not be sent, or Dask gave up
            if worker.address is not None:
                self._end(worker, "failed", error=f"The worker's answer was lost ({error}).")
            return
        finally:
            future.release()
        self._ledger.report(Report.from_message(outcome["report"]))
        if outcome["state"] == "lost":
            self._lose(worker, "it had lost its lease", counts=True)
        else:
            self._end(worker, outcome["state"], error=outcome["error"], result=outcome["result"])

    def _end(
        self, worker: _Worker, state: str, *, error: str | None = None, result: dict[str, Any] | None = None
    ) -> None:
        job, worker.job, worker.watcher, worker.cancel_told = worker.job, None, None, None
        if job is None:
            return
        run_time_s = time.monotonic() - worker.began
        self._ledger.end(job.id, job.attempt, state, error=error, result=result, run_time_s=run_time_s)
        self._take_back(job)
        self._table.notify()

    def _lose(self, worker: _Worker, why: str, *, counts: bool) -> None:
        job, watcher = worker.job, worker.watcher
        worker.job, worker.watcher, worker.cancel_told = None, None, None
        if watcher is not None and watcher is not asyncio.current_task():
            watcher.cancel()
        if job is None:
            return
        self._take_back(job)
        self._ledger.lose(job.id, job.attempt, why, max_attempts=self._max_attempts, counts=counts)
        self._table.notify()

    def _take_back(self, job: Job) -> None:
        assert self._leases is not None
        try:
            self._leases.take_back(job.id)
        except JobError:
            # Only a process that is stuck inside a rename holds it; the next grant for this job takes it back first.
            _LOG.warning("the lease of job %d is still held", job.id)

    def _on_report(self, event: Any) -> None:
        _, message = event
        self._ledger.report(Report.from_message(message["report"]))

    def _on_start(self, name: str, pid: int, born: str) -> None:
        self._ledger.record_process(RecordedProcess(pid, born, name))
        worker = self._workers.get(name)
        if worker is not None:
            worker.pid, worker.address, worker.started = pid, None, time.monotonic()

    def _on_ready(self, name: str, address: str) -> None:
        worker = self._workers.get(name)
        if worker is None:
            return
        worker.address = address
        if all(item.address is not None for item in self._workers.values()):
            self._failure = None
            self._ready.set()
        self._notify()

    def _on_exit(self, name: str, pid: int, code: int) -> None:
        """Repeat the job of a worker that has ended, and start another worker in its place."""
        self._ledger.forget_process(pid)
        if self._stopping.is_set():
            return
        if name == "scheduler":
            self._scheduler_lost = True
            self._notify()
            return
        worker = self._workers.get(name)
        if worker is None or worker.pid != pid:
            return
        worker.address = None
        self._lose(worker, describe_exit(code), counts=True)
        quick = time.monotonic() - worker.started < _STABLE_SECONDS
        worker.n_quick_deaths = worker.n_quick_deaths + 1 if quick else 0
        self._spawn(self._replace(worker))

    async def _replace(self, worker: _Worker) -> None:
        pause = _RESTART_SECONDS[min(max(0, worker.n_quick_deaths - 2), len(_RESTART_SECONDS) - 1)]
        await asyncio.sleep(pause)
        if not self._stopping.is_set() and not self._scheduler_lost and self._cluster is not None:
            await self._cluster.replace(worker.name)

    def _on_removed(self, name: str) -> None:
        """End a worker that the scheduler has lost touch with; `_on_exit` does the rest."""
        if not self._stopping.is_set() and self._cluster is not None:
            self._cluster.kill_worker(name)

    def _spawn(self, work: Any) -> "asyncio.Task[None]":
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_log_failure)
        return task

    async def _end_cluster(self) -> None:
        """End all processes, then put their jobs back into the queue."""
        for task in list(self._tasks):
            task.cancel()
        client, cluster, self._client, self._cluster = self._client, self._cluster, None, None
        if cluster is not None:
            for worker in self._workers.values():
                cluster.kill_worker(worker.name)
        if client is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(client.close(timeout=2), 4)
        if cluster is not None:
            await cluster.end()
        why = "the app was stopped" if self._stopping.is_set() else "the job scheduler ended"
        for worker in self._workers.values():
            self._lose(worker, why, counts=not self._stopping.is_set())
        self._workers = {}


def describe_exit(code: int) -> str:
    """Say in words how a process ended; `code` is its exit code, or minus the signal that killed it."""
    if code == -9:
        return "the worker process was killed, as the system does when memory is full"
    if code == -11:
        return "the worker process crashed (segmentation fault)"
    if code < 0:
        return f"the worker process was ended by signal {-code}"
    return f"the worker process ended with code {code}"


def _log_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and task.exception() is not None:
        _LOG.error("a part of the job runner failed", exc_info=task.exception())
