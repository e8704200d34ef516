"""Why a frame was picked, in plain words."""

from dataclasses import dataclass

from castle_core.selection.config import Method


@dataclass(frozen=True)
class Circumstances:
    """What is known about one pick.

    Attributes
    ----------
    share : float
        0 … 1: frames to which this pick is the nearest.
    place, n : int
        Which pick it is, from 1, and how many there are: in time, or for ``kcenter`` in the order of choice.
    motion : float
        0 … 1 around the frame.
    distance : float, optional
        For ``kcenter``: how far it is from all that were chosen before; infinite for the first of all.
    """

    share: float
    place: int
    n: int
    motion: float
    distance: float | None = None


def describe_pick(method: Method, known: Circumstances) -> str:
    """Say in a few words why a frame was picked."""
    if method == "uniform":
        return f"middle of part {known.place} of {known.n}"
    if method == "random":
        return "drawn at random"
    if method == "kcenter":
        if known.distance is None or known.distance == float("inf"):
            return "closest to the average frame"
        return f"no. {known.place} of {known.n}: most unlike all chosen before it"
    if known.share < 0.25 / known.n:
        what = f"rare: only {percent(known.share)} of the frames look like this"
    elif known.share > 2 / known.n:
        what = f"common: {percent(known.share)} of the frames look like this"
    else:
        what = f"typical of {percent(known.share)} of the frames"
    if known.motion >= 0.75:
        return f"{what}, much movement"
    return f"{what}, hardly any movement" if known.motion <= 0.1 else what


def percent(share: float) -> str:
    """Write a share for people: 12%, 3.4%, less than 0.1%."""
    if share < 0.001:
        return "less than 0.1%"
    return f"{100 * share:.0f}%" if share >= 0.0995 else f"{100 * share:.1f}%"
