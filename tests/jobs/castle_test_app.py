"""A castle app without pages: runs the jobs of a table until it is killed. python castle_test_app.py FOLDER."""

import sys
import time
from pathlib import Path

from castle_test_kinds import KINDS

from castle_core.jobs import JobTable, Runner

if __name__ == "__main__":
    table = JobTable(Path(sys.argv[1]) / "jobs.sqlite", kinds=KINDS)
    Runner(table, n_cpu_workers=1, gpus=[]).start()
    while True:
        time.sleep(60)
