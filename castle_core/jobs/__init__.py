"""Run a function elsewhere, say how far it is, survive a restart. Knows no video.

Pages and the command line use `JobTable` and `Job`; the app starts one `Runner`. Dask is imported by the runner's own
thread, so importing this package is quick.
"""

from castle_core.jobs.app_lock import running_app
from castle_core.jobs.job import ENDED_STATES, STATES, Job, Kind
from castle_core.jobs.runner import Runner
from castle_core.jobs.service import WorkerStatus
from castle_core.jobs.table import JobTable

__all__ = ["ENDED_STATES", "STATES", "Job", "JobTable", "Kind", "Runner", "WorkerStatus", "running_app"]
