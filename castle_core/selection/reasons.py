"""Why a frame was picked, in plain words."""

from castle_core.selection.config import Method


def _share(share: float) -> str:
    return f"{share:.0%}" if share >= 0.095 else f"{share:.1%}" if share >= 0.001 else "less than 0.1%"


def describe_pick(
    method: Method,
    *,
    share: float,
    typical_share: float,
    motion: float | None,
    place: int,
    n: int,
    distance: float | None = None,
    covered: bool = False,
) -> str:
    """Say why one frame was picked.

    Parameters
    ----------
    method : Method
    share : float
        0 … 1: frames to which this pick is the nearest.
    typical_share : float
        1 / n: the share that a pick has on average.
    motion : float, optional
        0 … 1 around the frame.
    place : int
        Which pick it is: in time for ``uniform``, in the order of choice for ``kcenter``; from 1.
    n : int
        Picks in all.
    distance : float, optional
        For ``kcenter``: how far it is from all that were chosen before it.
    covered : bool
        Frames were selected or labelled before.
    """
    if method == "uniform":
        return f"middle of part {place} of {n}"
    if method == "random":
        return "drawn at random"
    if method == "kcenter":
        if distance is None or distance == float("inf"):
            return "closest to the average frame"
        return f"most unlike all frames {'labelled or ' if covered else ''}chosen before it (no. {place} of {n})"
    if share < 0.25 * typical_share:
        what = f"rare: only {_share(share)} of frames look like this"
    elif share > 2 * typical_share:
        what = f"common: typical of {_share(share)} of frames"
    else:
        what = f"typical of {_share(share)} of frames"
    if motion is not None and motion >= 0.75:
        what += ", much movement"
    elif motion is not None and motion <= 0.1:
        what += ", hardly any movement"
    return what
