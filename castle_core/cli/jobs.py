"""``castle jobs``: the app's queue, seen and asked from the command line."""

import datetime
import getpass
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from castle_core.cli.output import Failed, JsonFlag, print_json, say

if TYPE_CHECKING:
    from castle_core.jobs import Job, JobTable

_ANSWER_SECONDS = 10.0


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    jobs = typer.Typer(help="The app's queue of jobs.", no_args_is_help=True)
    jobs.command("list")(list_jobs)
    jobs.command("show")(show_job)
    jobs.command("cancel")(cancel_job)
    jobs.command("retry")(retry_job)
    app.add_typer(jobs, name="jobs")


def list_jobs(
    project: Annotated[str | None, typer.Option("--project", help="Only jobs of this project (its folder).")] = None,
    owner: Annotated[str | None, typer.Option("--owner", help="Only jobs of this person.")] = None,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", help="queued, running, finished, failed or cancelled; may be repeated."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, the newest.")] = 50,
    json: JsonFlag = False,
) -> None:
    """List jobs, the newest first."""
    table = _table()
    found = table.list(project=project, owner=owner, states=state or None, limit=limit)
    if json:
        print_json({"jobs": [job.to_json() for job in found], "app_process": _app(table)})
        return
    for job in found:
        print(f"{job.id:>6}  {job.state:<9}  {_how_far(job):<22}  {job.owner:<12}  {job.title}  {job.project}")
    if not found:
        say("No jobs.")


def show_job(
    job: Annotated[int, typer.Argument(metavar="JOB", help="The job's number.")], json: JsonFlag = False
) -> None:
    """Show one job with its settings and its log."""
    table = _table()
    found = table.get(job)
    lines = table.log(job)
    if json:
        print_json({**found.to_json(), "log": list(lines), "queue_position": table.queue_position(job)})
        return
    print(f"Job {found.id}: {found.title} ({found.kind}), {found.state} {_how_far(found)}".rstrip())
    facts: dict[str, Any] = {
        "project": found.project,
        "owner": found.owner,
        "created": _clock(found.created),
        "started": _clock(found.started),
        "ended": _clock(found.ended),
        "attempts": found.attempt or None,
        "cancelled by": found.cancelled_by,
        "reason": found.error,
        "result": found.result,
        **{f"setting {name}": value for name, value in found.settings.items()},
    }
    for name, value in facts.items():
        if value not in (None, ""):
            print(f"  {name}: {value}")
    for line in lines:
        print(f"  | {line}")


def cancel_job(
    job: Annotated[int, typer.Argument(metavar="JOB", help="The job's number.")], json: JsonFlag = False
) -> None:
    """Ask the app to cancel a job that waits or runs."""
    _ask("cancel", job, json)


def retry_job(
    job: Annotated[int, typer.Argument(metavar="JOB", help="The job's number.")], json: JsonFlag = False
) -> None:
    """Ask the app to start a failed or cancelled job again."""
    _ask("retry", job, json)


def _ask(action: str, job: int, json: bool) -> None:
    table = _table()
    request = table.request(action, job, by=_user())
    answer: str | None = None
    running = _app(table)
    if running is not None:
        deadline = time.monotonic() + _ANSWER_SECONDS
        while (answer := table.answer(request)) is None and time.monotonic() < deadline:
            time.sleep(0.05)
    state = table.get(job).state
    if json:
        print_json({"job": job, "state": state, "done": answer == "", "problem": answer or None})
    elif answer is None and running is None:
        say(f"Noted. The app is not running; it will {action} job {job} when it starts.")
    elif answer is None:
        say(f"Noted. The app is busy and will {action} job {job} soon.")
    elif answer == "":
        say(f"Job {job} is {state}." if action == "retry" or state != "running" else f"Job {job} was asked to stop.")
    if answer:
        if not json:
            say(f"castle: {answer}")
        raise Failed


def _table() -> "JobTable":
    from castle_core.jobs.table import JobTable

    return JobTable()


def _app(table: "JobTable") -> int | None:
    from castle_core.jobs.app_lock import running_app

    return running_app(table.folder)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "the command line"


def _how_far(job: "Job") -> str:
    if job.state != "running":
        return ""
    text = f"{job.done}/{job.total}" if job.total else "started"
    return text if job.time_left_s is None else f"{text}, {job.time_left_s:.0f} s left"


def _clock(unix_time: float | None) -> str | None:
    if unix_time is None:
        return None
    return datetime.datetime.fromtimestamp(unix_time).astimezone().isoformat(sep=" ", timespec="seconds")
