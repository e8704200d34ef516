"""A Dask cluster of subprocesses: one scheduler, one worker a GPU, some workers for CPUs.

Dask's own `LocalCluster` starts workers by multiprocessing, which imports the app's main module again and does not
work under Streamlit. Here each process runs `castle_core.jobs.child`.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Only the runner's own thread imports this module, so the app does not wait for Dask.
from distributed.deploy.spec import ProcessInterface, SpecCluster  # noqa: TID253

from castle_core.errors import JobError
from castle_core.files import make_folder
from castle_core.jobs.certificates import Certificates
from castle_core.jobs.processes import RUN_VARIABLE, birth, kill_group

_START_SECONDS = 120.0
_LOG_BYTES = 2_000_000


@dataclass(frozen=True)
class Surroundings:
    """What all processes of a cluster share.

    Attributes
    ----------
    folder : Path
        The job table's folder; logs and scratch files lie in it.
    certificates : Certificates
        For TLS between the processes.
    run_mark : str
        Put into the environment of every process (see `processes.end_leftovers`).
    environment : mapping
        Added to the environment of every process.
    on_start : callable
        ``(name, pid, birth)``, right after a process was started.
    on_ready : callable
        ``(name, address)``, when its server is up.
    on_exit : callable
        ``(name, pid, return code)``, when it has ended; a negative code is minus the signal.
    """

    folder: Path
    certificates: Certificates
    run_mark: str
    environment: Mapping[str, str] = field(default_factory=dict)
    on_start: Callable[[str, int, str], None] = lambda name, pid, born: None
    on_ready: Callable[[str, str], None] = lambda name, address: None
    on_exit: Callable[[str, int, int], None] = lambda name, pid, code: None


class ChildProcess(ProcessInterface):  # type: ignore[misc]
    """One process of the cluster, as `SpecCluster` wants it.

    Must be started on a thread that lives as long as the process should (see `processes.end_with_parent`).
    """

    def __init__(
        self,
        scheduler: str | None = None,
        *,
        name: str,
        surroundings: Surroundings,
        resources: Mapping[str, float] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self._scheduler = scheduler
        self._around = surroundings
        self._resources = dict(resources or {})
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._exited = asyncio.Event()
        self._ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Start the process; for a scheduler, also wait until it can be reached."""
        self._launch()
        if self._scheduler is None:
            try:
                self.address = await asyncio.wait_for(self._ready, _START_SECONDS)
            except TimeoutError as error:
                raise JobError(f"The job scheduler did not start. See {self._log_path()}.") from error
        await super().start()

    async def close(self) -> None:
        """End the process and what it has started."""
        if self._process is not None and not self._exited.is_set():
            kill_group(self._process.pid)
            await self._exited.wait()
        await super().close()

    def _log_path(self) -> Path:
        return make_folder(self._around.folder / "logs") / f"{self.name}.log"

    def _launch(self) -> None:
        loop = asyncio.get_running_loop()
        ready_reader, ready_writer = os.pipe()
        order = {
            "name": self.name,
            "scheduler": self._scheduler,
            "resources": self._resources,
            "certificate": self._around.certificates.certificate,
            "key": self._around.certificates.key,
            "scratch": str(self._around.folder / "scratch"),
            "parent_pid": os.getpid(),
            "parent_birth": birth(os.getpid()),
            "ready_descriptor": ready_writer,
        }
        environment = {
            **os.environ,
            **self._around.environment,
            **self._environment,
            RUN_VARIABLE: self._around.run_mark,
        }
        try:
            with _open_log(self._log_path()) as log:
                self._process = subprocess.Popen(
                    # -P: modules are not looked for in the folder in which the app was started
                    [sys.executable, "-P", "-m", "castle_core.jobs.child", json.dumps(order)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    pass_fds=(ready_writer,),
                    start_new_session=True,  # Ctrl-C reaches the app, which ends its children in order
                )
        except BaseException:
            os.close(ready_reader)
            raise
        finally:
            os.close(ready_writer)
        pid = self._process.pid
        self._around.on_start(self.name, pid, birth(pid) or "")
        for target, arguments in ((self._read_address, (loop, ready_reader)), (self._wait, (loop, self._process))):
            threading.Thread(target=target, args=arguments, name=f"{target.__name__} {self.name}", daemon=True).start()

    def _read_address(self, loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
        with os.fdopen(descriptor, encoding="utf-8") as ready:
            address = ready.readline().strip()
        if address:
            _call(loop, self._set_ready, address)

    def _wait(self, loop: asyncio.AbstractEventLoop, process: "subprocess.Popen[bytes]") -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # leaves the number taken
        kill_group(process.pid)  # what the job had started must not go on without it
        code = process.wait()
        _call(loop, self._set_exited, process.pid, code)

    def _set_ready(self, address: str) -> None:
        if not self._ready.done():
            self._ready.set_result(address)
        self._around.on_ready(self.name, address)

    def _set_exited(self, pid: int, code: int) -> None:
        self._exited.set()
        if not self._ready.done():
            self._ready.set_exception(
                JobError(f"The process {self.name} ended while it started ({code}). See {self._log_path()}.")
            )
            self._ready.exception()  # mark as seen; a worker's start does not wait for it
        self._around.on_exit(self.name, pid, code)


class Cluster(SpecCluster):  # type: ignore[misc]
    """The cluster of one app; made and used on one event loop.

    Parameters
    ----------
    surroundings : Surroundings
        What the processes share.
    workers : mapping of name to dict
        ``resources`` and ``environment`` of each worker.
    on_removed : callable
        ``(name)``, when the scheduler has lost touch with a worker.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        workers: Mapping[str, Mapping[str, Any]],
        *,
        on_removed: Callable[[str], None],
    ) -> None:
        self._on_removed = on_removed
        self._surroundings = surroundings
        super().__init__(
            workers={name: self._specification(name, options) for name, options in workers.items()},
            scheduler={"cls": ChildProcess, "options": {"name": "scheduler", "surroundings": surroundings}},
            security=surroundings.certificates.security(),
            asynchronous=True,
            scheduler_sync_interval="60s",
            shutdown_on_close=False,
            name="castle",
        )

    def _specification(self, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
        return {"cls": ChildProcess, "options": {"name": name, "surroundings": self._surroundings, **options}}

    async def add(self, name: str, options: Mapping[str, Any]) -> None:
        """Start one more worker; `options` are its ``resources`` and ``environment``."""
        self.worker_spec[name] = self._specification(name, options)
        await self

    async def replace(self, name: str) -> None:
        """Start a new process for the worker `name`, whose process has ended."""
        self.workers.pop(name, None)
        await self

    async def end(self) -> None:
        """End all processes, without asking them."""
        workers = list(self.workers.values())
        self.worker_spec.clear()
        self.workers.clear()
        await asyncio.gather(*(process.close() for process in workers))
        with contextlib.suppress(Exception):  # whether the scheduler still answers does not matter
            await asyncio.wait_for(self._close(), 1.0)
        if self.scheduler is not None:
            await self.scheduler.close()

    def _update_worker_status(self, op: str, msg: Any) -> None:
        # SpecCluster would end and forget the worker of that name some seconds later, which by then is its successor.
        name = self.scheduler_info["workers"].get(msg, {}).get("name") if op == "remove" else None
        super(SpecCluster, self)._update_worker_status(op, msg)
        if name is not None:
            self._on_removed(str(name))


def _open_log(path: Path) -> Any:
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_suffix(".old.log"))
    return open(path, "ab")  # the caller closes it


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: Any) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: the app is ending
        loop.call_soon_threadsafe(function, *arguments)
