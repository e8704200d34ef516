"""The program of the scheduler's and the workers' processes: ``python -m castle_core.jobs.child ORDER``.

ORDER is JSON; the app writes it (`cluster.ChildProcess`). When the server is up, its address goes to a pipe.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from castle_core.jobs.processes import end_with_parent

_LOOK_SECONDS = 10
_SILENT_LOOKS = 6
# Dask's own watching (profiles 100 times a second, health checks 50 times, …) costs more than idle workers may.
_QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.tick.limit": "60s",
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.system-monitor.disk": False,
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.admin.low-level-log-length": 100,
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.worker-ttl": f"{_LOOK_SECONDS}s",  # how often `_Silence` is asked
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.comm.retry.count": 3,
}


def main() -> None:
    """Run the server that the order asks for, until the app ends it or dies."""
    order = json.loads(sys.argv[1])
    end_with_parent(order["parent_pid"], order["parent_birth"])
    asyncio.run(_serve(order))


async def _serve(order: dict[str, Any]) -> None:
    import dask

    dask.config.set(_QUIET)
    from castle_core.jobs.certificates import Certificates

    security = Certificates(order["certificate"], order["key"]).security()
    if order["scheduler"] is None:
        server = _scheduler(security)
    else:
        server = _worker(order, security)
    async with server:
        with os.fdopen(order["ready_descriptor"], "w", encoding="utf-8") as ready:
            ready.write(server.address + "\n")
        await server.finished()


class Silence:
    """Tells which workers have not been heard for `_SILENT_LOOKS` looks in a row, about a minute.

    Workers send a sign of life twice a second, from another thread than the job's. Dask compares the time of the last
    one with the wall clock, so that a clock that jumps, or a machine that wakes from sleep, ends all workers and their
    jobs. Looks are counted instead: while the scheduler itself stands still, it does not look.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, int]] = {}

    def look(self, last_seen: Mapping[str, float]) -> list[str]:
        """Return the silent ones of the workers; `last_seen` is address → time of the last sign of life."""
        counts = {}
        for address, moment in last_seen.items():
            before, n_looks = self._last.get(address, (moment, -1))
            counts[address] = (moment, n_looks + 1 if before == moment else 0)
        self._last = counts
        return [address for address, (_, n_looks) in counts.items() if n_looks >= _SILENT_LOOKS]


def _scheduler(security: Any) -> Any:
    from distributed import Scheduler

    class QuietScheduler(Scheduler):  # type: ignore[misc]
        """A scheduler without the HTTP server, which would answer anybody on this machine, and with patience."""

        _silence = Silence()

        def start_http_server(self, *args: Any, **kwargs: Any) -> None:
            """Start none."""

        async def check_worker_ttl(self) -> None:
            """Give up the workers that have been silent for too long; the app ends their processes."""
            for address in self._silence.look({a: worker.last_seen for a, worker in self.workers.items()}):
                await self.remove_worker(address, stimulus_id="castle-silence", close=False)

    return QuietScheduler(host="127.0.0.1", port=0, protocol="tls", security=security, dashboard=False)


def _worker(order: dict[str, Any], security: Any) -> Any:
    from distributed import Worker

    class QuietWorker(Worker):  # type: ignore[misc]
        """A worker without the HTTP server."""

        def start_http_server(self, *args: Any, **kwargs: Any) -> None:
            """Start none."""

    return QuietWorker(
        order["scheduler"],
        name=order["name"],
        nthreads=1,
        resources=order["resources"],
        memory_limit=None,
        host="127.0.0.1",
        security=security,
        dashboard=False,
        local_directory=order["scratch"],
        death_timeout=60,
    )


if __name__ == "__main__":
    main()
