"""What a job is: one row of the table, and the kinds of work that a job can do."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args

State = Literal["queued", "running", "finished", "failed", "cancelled"]
STATES: tuple[str, ...] = get_args(State)
ENDED_STATES = ("finished", "failed", "cancelled")


class Kind(Protocol):
    """One kind of job, as `castle_core.job_functions.JOB_KINDS` lists them."""

    @property
    def title(self) -> str:
        """What the job list shows for this kind of work."""

    @property
    def function(self) -> str:
        """Where the worker finds it: ``"module:function"``, called as ``f(task, *, project, owner, **settings)``."""

    @property
    def needs_gpu(self) -> bool:
        """Whether it should run on a GPU where the machine has one."""


@dataclass(frozen=True)
class Job:
    """One job as it was when it was read from the table.

    Attributes
    ----------
    id : int
        Grows with each submitted job and is never used again.
    kind, title : str
        Which function does the work, and what people see.
    project : str
        Path of the project folder.
    settings : dict
        Keyword arguments of the function (JSON values).
    owner : str
        Who asked for it.
    state : {"queued", "running", "finished", "failed", "cancelled"}
        Where it stands.
    done, total : int
        Units finished, and units in all; `total` is 0 while it is not known.
    message : str
        What the job is doing now.
    rate : float or None
        Units a second over the last seconds; None while it is not known.
    time_left_s : float or None
        Estimated seconds until it ends, as of the last report.
    error : str or None
        Why it failed, in one line for the person who asked for it.
    result : dict or None
        What the function returned.
    attempt : int
        How often the job was started; 0 before the first time.
    created, started, ended : float or None
        Unix times for people to read. Nothing is ordered by them, since clocks jump.
    end_order : int or None
        Place among the jobs that have ended: of two, the one that ended later has the larger number.
    run_time_s : float or None
        Seconds that the last attempt took, by a clock that does not jump; None while it runs.
    cancelled_by : str or None
        Who pressed Cancel.
    cancel_requested : bool
        Whether a running job has been asked to stop and has not stopped yet.
    worker : str or None
        Name of the worker that has or had the last attempt.
    """

    id: int
    kind: str
    title: str
    project: str
    owner: str
    state: State
    settings: dict[str, Any] = field(default_factory=dict)
    done: int = 0
    total: int = 0
    message: str = ""
    rate: float | None = None
    time_left_s: float | None = None
    error: str | None = None
    result: dict[str, Any] | None = None
    attempt: int = 0
    created: float | None = None
    started: float | None = None
    ended: float | None = None
    end_order: int | None = None
    run_time_s: float | None = None
    cancelled_by: str | None = None
    cancel_requested: bool = False
    worker: str | None = None

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state not in ENDED_STATES

    @property
    def share(self) -> float:
        """Return how much of it is done, 0 to 1; 0 while the total is not known, 1 once it is finished."""
        if self.state == "finished":
            return 1.0
        return min(1.0, max(0.0, self.done / self.total)) if self.total > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}
