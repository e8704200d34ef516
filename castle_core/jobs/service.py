"""One life of the cluster: hands out jobs, passes on cancels, replaces workers that die, writes the table."""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from castle_core.errors import JobError
from castle_core.jobs.certificates import make_certificates
from castle_core.jobs.gpus import visible_gpus
from castle_core.jobs.job import Job
from castle_core.jobs.lease import LeaseBook
from castle_core.jobs.ledger import Ledger, RecordedProcess, Report
from castle_core.jobs.processes import describe_exit, kill_group
from castle_core.jobs.table import JobTable

if TYPE_CHECKING:
    from castle_core.jobs.cluster import Cluster

_LOG = logging.getLogger(__name__)
_POLL_SECONDS = 1.0  # other processes cannot wake us; this is how long their requests may lie
RESTART_SECONDS = (0.0, 0.0, 1.0, 5.0, 15.0, 60.0)  # pauses before what keeps dying is started again
STABLE_SECONDS = 60.0
_GUEST_SECONDS = 1.5  # short jobs end by themselves in that time


@dataclass(frozen=True)
class ServiceSettings:
    """What `Runner` was given; see there. `run_mark` marks all processes of this table."""

    n_cpu_workers: int
    n_guest_workers: int
    gpus: tuple[str, ...] | None
    cancel_grace_s: float
    max_attempts: int
    environment: Mapping[str, str]
    run_mark: str


@dataclass(frozen=True)
class WorkerStatus:
    """A worker as the machine's panel shows it: `pool` is "cpu" or "gpu", `job` the id of what it does."""

    name: str
    pool: str
    pid: int | None
    ready: bool
    job: int | None


@dataclass
class _Worker:
    """A worker as the service knows it: `address` is None while it starts, `job` the attempt that it has now."""

    name: str
    pool: str
    for_guests: bool = False
    pid: int | None = None
    address: str | None = None
    started: float = 0.0
    n_idle_deaths: int = 0
    job: Job | None = None
    job_began: float = 0.0
    cancel_told: float | None = None
    watcher: "asyncio.Task[None] | None" = field(default=None, repr=False)


class Service:
    """One cluster and the jobs that it runs. Made, used and ended on one event loop.

    Parameters
    ----------
    table, ledger : JobTable, Ledger
        Where the jobs are.
    settings : ServiceSettings
        How many workers, and so on.
    on_ready : callable
        Called when all workers can take jobs.

    Notes
    -----
    When anything goes wrong that is not a worker's death (the scheduler dies, the table cannot be written), `run`
    ends, and the `Runner` starts anew with another service: one way to recover, used for all that is rare.
    """

    def __init__(
        self, table: JobTable, ledger: Ledger, settings: ServiceSettings, *, on_ready: Callable[[], None]
    ) -> None:
        self.leases: LeaseBook | None = None
        self._table = table
        self._ledger = ledger
        self._settings = settings
        self._tell_ready = on_ready
        self._news = asyncio.Event()
        self._broken: str | None = None
        self._ending = False
        self._told_ready = False
        self._guests_since: float | None = None
        self._workers: dict[str, _Worker] = {}
        self._pids: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._cluster: Cluster | None = None
        self._client: Any = None

    def wake(self) -> None:
        """Look at the table now."""
        self._news.set()

    def status(self) -> list[WorkerStatus]:
        """Return the workers as they are; safe from any thread."""
        return [
            WorkerStatus(w.name, w.pool, w.pid, w.address is not None, None if w.job is None else w.job.id)
            for w in list(self._workers.values())
        ]

    async def run(self) -> None:
        """Start the cluster and run jobs, until cancelled.

        Raises
        ------
        JobError
            When the cluster cannot be used any more.
        """
        gpus = self._settings.gpus
        if gpus is None:
            gpus = tuple(await asyncio.to_thread(visible_gpus))
        await self._start_cluster(gpus)
        changes = -1
        while self._broken is None:
            now_changes = self._table.database.outside_changes()
            if now_changes != changes:
                changes = now_changes
                self._ledger.answer_requests()
            self._ledger.sort_into_pools(has_gpu=bool(gpus))
            self._pass_on_cancels()
            self._hand_out()
            self._invite_guests()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), self._seconds_to_next_look())
            self._news.clear()
        raise JobError(self._broken)

    async def end(self, *, app_stops: bool) -> None:
        """End all processes, then put their jobs back into the queue. Never raises."""
        self._ending = True
        for worker in self._workers.values():
            if worker.pid is not None:
                kill_group(worker.pid)
        for task in list(self._tasks):
            task.cancel()
        if self._client is not None:
            with contextlib.suppress(Exception):  # there is nobody left to say goodbye to
                await asyncio.wait_for(self._client.close(timeout=1), 2.0)
        if self._cluster is not None:
            with contextlib.suppress(Exception):
                await self._cluster.end()
        while self._pids:
            for pid in list(self._pids):
                kill_group(pid)
            await asyncio.sleep(0.01)
        for worker in self._workers.values():
            with contextlib.suppress(JobError):  # the next start repeats what cannot be stored now
                self._lose(worker, "the app was stopped" if app_stops else "the job scheduler ended", counts=False)

    # -- start

    async def _start_cluster(self, gpus: Sequence[str]) -> None:
        from distributed import Client

        from castle_core.jobs.cluster import Cluster, Surroundings
        from castle_core.jobs.work import REPORTS_TOPIC

        surroundings = Surroundings(
            folder=self._table.folder,
            certificates=make_certificates(self._table.folder / "tls"),
            run_mark=self._settings.run_mark,
            environment=self._settings.environment,
            on_start=self._on_start,
            on_ready=self._on_ready,
            on_exit=self._on_exit,
        )
        options = self._worker_options(gpus)
        self._workers = {
            name: _Worker(name, "gpu" if "GPU" in option["resources"] else "cpu") for name, option in options.items()
        }
        self._cluster = Cluster(surroundings, options, on_removed=self._on_removed)
        await self._cluster
        self._client = Client(
            self._cluster.scheduler.address,
            security=surroundings.certificates.security(),
            asynchronous=True,
            set_as_default=False,
            timeout="30s",
        )
        await self._client
        self._client.subscribe_topic(REPORTS_TOPIC, self._on_report)

    def _worker_options(self, gpus: Sequence[str]) -> dict[str, dict[str, Any]]:
        options = {f"cpu-{number}": self._cpu_options() for number in range(self._settings.n_cpu_workers)}
        for number, gpu in enumerate(gpus):
            options[f"gpu-{number}"] = {
                "resources": {"GPU": 1},
                "environment": {**self._thread_limits(), "CUDA_VISIBLE_DEVICES": gpu},
            }
        return options

    def _cpu_options(self) -> dict[str, Any]:
        return {"resources": {"CPU": 1}, "environment": {**self._thread_limits(), "CUDA_VISIBLE_DEVICES": ""}}

    def _thread_limits(self) -> dict[str, str]:
        """Share the cores between the CPU workers, unless the administrator has set limits."""
        n_threads = str(max(1, (os.cpu_count() or 1) // self._settings.n_cpu_workers))
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        return {name: os.environ.get(name, n_threads) for name in names}

    # -- jobs

    def _seconds_to_next_look(self) -> float:
        grace = self._settings.cancel_grace_s
        told = [worker.cancel_told for worker in self._workers.values() if worker.cancel_told is not None]
        return max(0.01, min([_POLL_SECONDS, *(moment + grace - time.monotonic() for moment in told)]))

    def _pass_on_cancels(self) -> None:
        """Tell attempts that somebody wants them to stop, and end the workers of those that do not."""
        assert self.leases is not None
        now = time.monotonic()
        for worker in self._workers.values():
            if worker.job is None or not self._table.get(worker.job.id).cancel_requested:
                continue
            if worker.cancel_told is None:
                worker.cancel_told = now
                with contextlib.suppress(JobError):  # held by a stuck worker, which is ended below
                    self.leases.cancel(worker.job.id)
            elif now - worker.cancel_told >= self._settings.cancel_grace_s:
                worker.cancel_told = now  # should the process survive that, try again later
                self._ledger.note(
                    worker.job, f"It did not stop within {self._settings.cancel_grace_s:g} s, so its worker was ended."
                )
                self._end_worker(worker)

    def _hand_out(self) -> None:
        """Give every free worker the job whose turn it is."""
        for worker in self._workers.values():
            while worker.address is not None and worker.job is None:
                job = self._ledger.begin_next(worker.pool, worker.name, for_guests=worker.for_guests)
                if job is None:
                    break
                worker.job, worker.job_began, worker.cancel_told = job, time.monotonic(), None
                self._submit(worker, worker.address, job)

    def _invite_guests(self) -> None:
        """Start another worker for people for whom nothing runs, where all others are held by long jobs.

        One person's long jobs would otherwise keep everybody else waiting for hours. Such workers come when they are
        first needed and then stay.
        """
        if self._cluster is None or not self._told_ready:
            return
        now = time.monotonic()
        there = [worker for worker in self._workers.values() if worker.for_guests]
        coming = [worker for worker in self._workers.values() if worker.pool == "cpu" and worker.job is None]
        if coming or len(there) >= self._settings.n_guest_workers or not self._ledger.n_guests("cpu"):
            self._guests_since = None
            return
        self._guests_since = self._guests_since or now
        if now - self._guests_since < _GUEST_SECONDS:
            return
        self._guests_since = None
        name = f"guest-{len(there)}"
        self._workers[name] = _Worker(name, "cpu", for_guests=True)
        self._spawn(self._cluster.add(name, self._cpu_options()))

    def _submit(self, worker: _Worker, address: str, job: Job) -> None:
        from castle_core.jobs.work import run_attempt

        assert self.leases is not None
        kind = self._table.kinds.get(job.kind)
        if kind is None:  # queued by another version
            self._end_job(worker, "failed", error=f"This version has no jobs of kind {job.kind!r}.")
            return
        lease = self.leases.grant(job.id, job.attempt)
        order = {
            "job": job.id,
            "attempt": job.attempt,
            "key": f"job-{job.id}-{round(1000 * (job.created or 0))}",  # the same for each attempt, even in a new table
            "lease_path": lease.path,
            "lease_token": lease.token,
            "function": kind.function,
            "project": job.project,
            "owner": job.owner,
            "settings": job.settings,
        }
        future = self._client.submit(
            run_attempt,
            order,
            key=f"job-{job.id}-{lease.token.replace(' ', '-')}",
            workers=[address],
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
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._break("The job scheduler forgot a job.")
            return
        except Exception as error:
            if future.status == "error":  # the function itself never raises, so its answer could not be packed
                self._end_job(worker, "failed", error=f"The worker's answer was lost ({error}). Press Retry.")
            else:
                self._break(f"The job scheduler cannot be reached ({error}).")
            return
        finally:
            future.release()
        self._ledger.report(Report.from_message(outcome["report"]))
        if outcome["state"] == "lost":
            self._lose(worker, "it had lost its lease", counts=True)
        else:
            self._end_job(worker, outcome["state"], error=outcome["error"], result=outcome["result"])
        if outcome["spoiled"]:
            self._end_worker(worker)

    def _end_job(
        self, worker: _Worker, state: str, *, error: str | None = None, result: dict[str, Any] | None = None
    ) -> None:
        job, worker.job, worker.watcher, worker.cancel_told = worker.job, None, None, None
        if job is None:
            return
        self._take_back(job)
        run_time_s = time.monotonic() - worker.job_began
        self._ledger.end(job.id, job.attempt, state, error=error, result=result, run_time_s=run_time_s)
        self._news.set()

    def _lose(self, worker: _Worker, why: str, *, counts: bool) -> None:
        job, watcher = worker.job, worker.watcher
        worker.job, worker.watcher, worker.cancel_told = None, None, None
        if watcher is not None and watcher is not asyncio.current_task():
            watcher.cancel()
        if job is None:
            return
        self._take_back(job)
        self._ledger.lose(job.id, job.attempt, why, max_attempts=self._settings.max_attempts, counts=counts)
        self._news.set()

    def _take_back(self, job: Job) -> None:
        assert self.leases is not None
        try:
            self.leases.take_back(job.id)
        except JobError:  # a process that is stuck in a rename holds it; the next grant takes it back first
            _LOG.warning("the lease of job %d is still held", job.id)

    # -- what happens to the processes

    def _on_report(self, event: Any) -> None:
        _, message = event
        self._ledger.report(Report.from_message(message["report"]))

    def _on_start(self, name: str, pid: int, born: str) -> None:
        self._pids.add(pid)
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
            self._told_ready = True
            self._tell_ready()
        self._news.set()

    def _on_exit(self, name: str, pid: int, code: int) -> None:
        """Repeat the job of a worker that has ended, and start another worker in its place."""
        self._pids.discard(pid)
        try:
            self._ledger.forget_process(pid)
            worker = self._workers.get(name)
            if self._ending:
                return
            if worker is None:
                self._break(f"The job scheduler ended ({describe_exit(code)}).")
            elif worker.pid == pid:
                # A job that ends its worker is limited by its attempts; what else ends workers is slowed down.
                worker.n_idle_deaths = worker.n_idle_deaths + 1 if worker.job is None else 0
                worker.address, worker.pid = None, None
                self._lose(worker, describe_exit(code), counts=True)
                self._spawn(self._replace(worker))
        except JobError as error:
            self._break(str(error))

    async def _replace(self, worker: _Worker) -> None:
        if time.monotonic() - worker.started > STABLE_SECONDS:
            worker.n_idle_deaths = 0
        await asyncio.sleep(RESTART_SECONDS[min(worker.n_idle_deaths, len(RESTART_SECONDS) - 1)])
        if self._cluster is not None:
            await self._cluster.replace(worker.name)

    def _on_removed(self, name: str) -> None:
        """End a worker that the scheduler has lost touch with; `_on_exit` does the rest."""
        worker = self._workers.get(name)
        if worker is not None and worker.address is not None and not self._ending:
            self._end_worker(worker)

    def _end_worker(self, worker: _Worker) -> None:
        """End the process of a worker, which gets no job any more; `_on_exit` does the rest."""
        worker.address = None
        if worker.pid is not None:
            kill_group(worker.pid)

    def _break(self, why: str) -> None:
        """Let `run` end, so that the runner starts anew."""
        self._broken = self._broken or why
        self._news.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def _on_task_done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _LOG.error("a part of the job runner failed", exc_info=error)
            self._break(f"The jobs could not go on ({error}).")
