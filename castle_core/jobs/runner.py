"""The app's part that runs jobs: one thread that keeps a cluster alive for as long as the app lives."""

import asyncio
import contextlib
import hashlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Literal

from castle_core.errors import JobError
from castle_core.jobs.app_lock import AppLock
from castle_core.jobs.lease import LeaseBook
from castle_core.jobs.ledger import Ledger
from castle_core.jobs.processes import end_leftovers
from castle_core.jobs.service import RESTART_SECONDS, STABLE_SECONDS, Service, ServiceSettings, WorkerStatus
from castle_core.jobs.table import JobTable

_LOG = logging.getLogger(__name__)


class Runner:
    """Runs the jobs of a table on this machine, on a thread with an event loop of its own.

    Parameters
    ----------
    table : JobTable
        The jobs; pages should use the same object, so that the runner hears of new jobs at once, not a second later.
    n_cpu_workers : int, optional
        Worker processes for jobs without a GPU; by default a quarter of the cores, 2 to 4.
    n_guest_workers : int
        How many more worker processes may be started for people for whom nothing runs while long jobs of others
        hold all CPU workers.
    gpus : sequence of str, optional
        Values for ``CUDA_VISIBLE_DEVICES``, one worker each; by default the GPUs that are visible.
    cancel_grace_s : float
        Seconds that a cancelled job has to stop before its worker is ended.
    max_attempts : int
        When so many workers have died during a job, it fails. Restarts of the app do not count.
    environment : mapping, optional
        Added to the environment of the worker processes.

    Raises
    ------
    JobError
        If there would be no CPU worker.
    """

    def __init__(
        self,
        table: JobTable,
        *,
        n_cpu_workers: int | None = None,
        n_guest_workers: int = 2,
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
        self._settings = ServiceSettings(
            n_cpu_workers=n_cpu_workers,
            n_guest_workers=n_guest_workers,
            gpus=None if gpus is None else tuple(gpus),
            cancel_grace_s=cancel_grace_s,
            max_attempts=max_attempts,
            environment=dict(environment or {}),
            # The same in each run on this table, so that a later run finds what an earlier one left behind.
            run_mark=hashlib.sha256(str(table.path.resolve()).encode()).hexdigest()[:16],
        )
        self._lock = AppLock(table.folder)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_event: asyncio.Event | None = None
        self._service: Service | None = None
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._failure: str | None = None

    # -- called from the app's threads

    def start(self) -> None:
        """Take the app's lock, and start the cluster in the background; returns at once.

        Raises
        ------
        JobError
            If another app runs the jobs of this table, or this one already does.
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

    def stop(self, timeout_s: float = 30.0) -> None:
        """End the workers and the scheduler. Running jobs wait for the next start, which repeats them.

        Raises
        ------
        JobError
            If that takes longer than `timeout_s`.
        """
        thread = self._thread
        if thread is None:
            return
        self._table.remove_listener(self._notify)
        self._stopping.set()
        loop, stop_event = self._loop, self._stop_event
        if loop is not None and stop_event is not None:
            with contextlib.suppress(RuntimeError):  # the loop has just been closed
                loop.call_soon_threadsafe(stop_event.set)
        thread.join(timeout_s)
        if thread.is_alive():
            raise JobError("The workers did not end in time.")
        self._thread = None
        self._ready.clear()
        self._lock.release()

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Wait until all workers can take jobs.

        Raises
        ------
        JobError
            If that takes longer than `timeout_s`.
        """
        if not self._ready.wait(timeout_s):
            why = self._failure or f"See {self._table.folder / 'logs'}."
            raise JobError(f"The workers are not ready after {timeout_s:.0f} s. {why}")

    @property
    def state(self) -> Literal["stopped", "starting", "ready", "failed"]:
        """What the runner is doing; with "failed", `failure` says why it cannot start (it goes on trying)."""
        if self._thread is None:
            return "stopped"
        if self._failure is not None:
            return "failed"
        return "ready" if self._ready.is_set() else "starting"

    @property
    def failure(self) -> str | None:
        """Why the cluster could not be started, in one line."""
        return self._failure

    def workers(self) -> list[WorkerStatus]:
        """Return the workers as they are now; empty while the cluster starts."""
        service = self._service
        return [] if service is None else service.status()

    def _notify(self) -> None:
        loop, service = self._loop, self._service
        if loop is not None and service is not None:
            with contextlib.suppress(RuntimeError):  # the loop has just been closed
                loop.call_soon_threadsafe(service.wake)

    # -- on the runner's own thread

    def _run(self) -> None:
        # A plain loop whatever policy the web server has set; Dask finds it as the running loop of this thread.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            try:
                runner.run(self._main())
            except Exception as error:
                self._failure = f"The jobs have stopped ({error}). Restart the app."
                _LOG.exception("the job runner stopped")
            finally:
                self._loop = None

    async def _main(self) -> None:
        self._stop_event = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        n_failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            await self._live_once()
            n_failures = 0 if time.monotonic() - began > STABLE_SECONDS else n_failures + 1
            pause = RESTART_SECONDS[min(n_failures, len(RESTART_SECONDS) - 1)]
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop_event.wait(), pause)

    async def _live_once(self) -> None:
        """Have one cluster, until it breaks or the app stops."""
        assert self._stop_event is not None
        service = Service(self._table, self._ledger, self._settings, on_ready=self._on_ready)
        try:
            service.leases = self._clear_away()
            self._service = service
            life = asyncio.ensure_future(service.run())
            stop = asyncio.ensure_future(self._stop_event.wait())
            await asyncio.wait([life, stop], return_when=asyncio.FIRST_COMPLETED)
            for task in (life, stop):
                task.cancel()
            await asyncio.gather(stop, return_exceptions=True)
            with contextlib.suppress(asyncio.CancelledError):
                await life
        except JobError as error:
            self._failure = str(error)
            _LOG.error("the jobs start anew: %s", error)
        except Exception as error:
            self._failure = f"The workers cannot start ({error})."
            _LOG.exception("the jobs start anew")
        finally:
            self._ready.clear()
            self._service = None
            await service.end(app_stops=self._stopping.is_set())

    def _on_ready(self) -> None:
        self._failure = None
        self._ready.set()

    def _clear_away(self) -> LeaseBook:
        """End what a former app or cluster has left, and put its running jobs back into the queue.

        The order matters: first the processes end, then their leases, then their jobs may be given to others.
        """
        recorded = self._ledger.recorded_processes()
        ended = end_leftovers([(item.pid, item.birth) for item in recorded], run_mark=self._settings.run_mark)
        if ended:
            _LOG.warning("ended %d processes of a former run", len(ended))
        for item in recorded:
            self._ledger.forget_process(item.pid)
        shutil.rmtree(self._table.folder / "scratch", ignore_errors=True)
        self._ledger.forget_old_jobs()
        leases = LeaseBook(self._table.folder / "leases")
        leases.take_back_all()
        for job in self._ledger.running():
            self._ledger.lose(
                job.id,
                job.attempt,
                "the app was ended",
                max_attempts=self._settings.max_attempts,
                counts=False,
            )
        return leases
