"""What a worker process does with one attempt of a job."""

import contextlib
import importlib
import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

from castle_core.errors import CastleError, JobCancelled, JobError, LeaseLostError
from castle_core.jobs.lease import Lease
from castle_core.jobs.worker_task import WorkerTask

REPORTS_TOPIC = "castle-job-reports"
_REASON_LENGTH = 500


def run_attempt(order: dict[str, Any]) -> dict[str, Any]:
    """Run a job's function in this process and return how it ended; never raises.

    Parameters
    ----------
    order : dict
        ``job``, ``attempt``, ``key``, ``lease_path``, ``lease_token``, ``function``, ``project``, ``owner`` and
        ``settings``.

    Returns
    -------
    dict
        ``state`` ("finished", "failed", "cancelled" or "lost"), ``error``, ``result``, ``spoiled`` (this process should
        not be used again), and ``report``, the last report.
    """
    lease = Lease(order["lease_path"], order["lease_token"], order["job"])
    task = WorkerTask(lease, order["attempt"], _sender(), key=order.get("key", ""))
    state, error, result, spoiled = "failed", None, None, False
    try:
        lease.check()
        function = load_function(order["function"])
        result = checked_result(
            function(task, project=order["project"], owner=order["owner"], **order["settings"]), order["function"]
        )
        state = "finished"
    except JobCancelled:
        state = "cancelled"
    except LeaseLostError:
        state = "lost"
    except CastleError as problem:
        error = str(problem)
    except MemoryError:
        error = "The memory of this machine is full. Close other programs or choose smaller settings, then press Retry."
        task.log(traceback.format_exc())
    except BaseException as problem:  # also SystemExit: a function must not end its worker
        error = one_line(problem)
        task.log(traceback.format_exc())
        spoiled = "CUDA error" in str(problem)  # every later use of the GPU in this process would fail too
    finally:
        _free_memory()
    return {"state": state, "error": error, "result": result, "spoiled": spoiled, "report": task.close()}


def _sender() -> Callable[[dict[str, Any]], None]:
    from distributed import get_worker

    worker = get_worker()

    def send(report: dict[str, Any]) -> None:
        with contextlib.suppress(RuntimeError, OSError):  # the loop is closing; the lease decides what still counts
            worker.log_event(REPORTS_TOPIC, {"report": report})

    return send


def load_function(name: str) -> Callable[..., Any]:
    """Import the function called ``"module:function"``.

    Raises
    ------
    JobError
        If it cannot be imported.
    """
    module_name, _, function_name = name.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise JobError(f"The function of this job ({name}) cannot be loaded: {error}.") from error
    if not callable(function):
        raise JobError(f"The function of this job ({name}) is not a function.")
    return function  # type: ignore[no-any-return]


def checked_result(result: Any, name: str) -> dict[str, Any]:
    """Return `result` if it is a dict that JSON can hold; None counts as an empty one. Else raise JobError."""
    if result is None:
        return {}
    if not isinstance(result, dict):
        raise JobError(f"{name} returned a {type(result).__name__} instead of a dict. Please report this.")
    try:
        json.dumps(result, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise JobError(f"{name} returned something that cannot be stored ({error}). Please report this.") from error
    return result


def one_line(problem: BaseException) -> str:
    """Describe an exception that nobody foresaw in one line; the log holds the rest."""
    if isinstance(problem, OSError) and problem.strerror:
        what = f"{problem.strerror}: {problem.filename}" if problem.filename else problem.strerror
        return f"{what}. The log says more."[:_REASON_LENGTH]
    text = " ".join(str(problem).split())
    what = f"{type(problem).__name__}: {text}" if text else type(problem).__name__
    return f"Unexpected error ({what[: _REASON_LENGTH - 60]}). The log says more."


def _free_memory() -> None:
    """Give back what the job's models held on a GPU, for the next job and for other programs."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        import gc

        gc.collect()
        torch.cuda.empty_cache()
