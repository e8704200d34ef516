"""Run a function elsewhere, say how far it is, survive a restart. Knows no video.

How it holds together:

- `table` is what people see and ask for; `ledger` is what the runner writes. Only the process with the `app_lock` does.
- `runner` keeps a `service` alive; a service is one life of a Dask `cluster` of `child` processes, and hands out jobs.
- In a worker, `work` runs the job's function with a `worker_task`, which publishes only under its attempt's `lease`.
- After any crash: leftover processes are ended (`processes`), then their leases, then their jobs are queued again.

Pages and the command line use `JobTable` and `Job`; the app starts one `Runner`. Dask is imported by the runner's own
thread, so importing this package is quick.
"""

from castle_core.jobs.app_lock import running_app
from castle_core.jobs.job import ENDED_STATES, STATES, Job, Kind
from castle_core.jobs.runner import Runner
from castle_core.jobs.service import WorkerStatus
from castle_core.jobs.table import JobTable

__all__ = ["ENDED_STATES", "STATES", "Job", "JobTable", "Kind", "Runner", "WorkerStatus", "running_app"]
