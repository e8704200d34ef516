"""Whose turn it is: a queue in which one person's hundred jobs do not hold up another person's first."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Waiting:
    """A queued job as the queue sees it: `order` is its place among the jobs of its owner."""

    job: int
    owner: str
    order: int


def choose_next(waiting: Iterable[Waiting], running: Mapping[str, int], turns: Mapping[str, int]) -> Waiting | None:
    """Return the job that the next free worker should take, None if nobody waits.

    Owners take turns. First comes who has the fewest running jobs; among equals who has waited longest since a job
    of theirs was started; then who came first. An owner's own jobs keep their order.

    Parameters
    ----------
    waiting : iterable of Waiting
        The queued jobs, in any order.
    running : mapping of owner to int
        How many jobs of each owner run now.
    turns : mapping of owner to int
        Number of the turn at which each owner was last served; it only grows. Owners without one come first.
    """
    return min(
        waiting,
        key=lambda item: (running.get(item.owner, 0), turns.get(item.owner, 0), item.order, item.job),
        default=None,
    )


def guests(waiting: Iterable[Waiting], running: Mapping[str, int]) -> list[Waiting]:
    """Return the jobs of those for whom nothing runs: a worker for guests takes no others."""
    return [item for item in waiting if not running.get(item.owner)]


def queue_order(waiting: Iterable[Waiting], running: Mapping[str, int], turns: Mapping[str, int]) -> list[int]:
    """Return the ids of the waiting jobs in the order in which they would start if none of them ended."""
    queues: dict[str, list[Waiting]] = {}
    for item in sorted(waiting, key=lambda item: (item.order, item.job), reverse=True):
        queues.setdefault(item.owner, []).append(item)
    counts, last = dict(running), dict(turns)
    turn = max(last.values(), default=0)
    result: list[int] = []
    while (chosen := choose_next((queue[-1] for queue in queues.values()), counts, last)) is not None:
        turn += 1
        counts[chosen.owner] = counts.get(chosen.owner, 0) + 1
        last[chosen.owner] = turn
        result.append(chosen.job)
        queues[chosen.owner].pop()
        if not queues[chosen.owner]:
            del queues[chosen.owner]
    return result
