"""The colour of each ROI: CASTLE's seven, then colours that differ from their neighbours."""

import colorsys
import functools

_CASTLE = ("7ae4f0", "ffd0ec", "6ee368", "c1b5ea", "9e83e3", "a7cced", "fbc471")
_GOLDEN_TURN = 0.618033988749895  # each next hue lies in the largest gap that is left


@functools.lru_cache(maxsize=256)
def roi_colour(roi: int) -> str:
    """Return the colour of ROI 1 … 255 as ``#rrggbb``; no two ROIs have the same."""
    if not 1 <= roi <= 255:
        raise ValueError(f"ROI {roi} has no colour: ids run from 1 to 255.")
    if roi <= len(_CASTLE):
        return f"#{_CASTLE[roi - 1]}"
    step = roi - len(_CASTLE) - 1
    red, green, blue = colorsys.hsv_to_rgb(
        step * _GOLDEN_TURN % 1.0, 0.45 + 0.05 * (step % 5), 0.95 - 0.07 * (step % 3)
    )
    # The lowest bits hold the id's own, so that rounding never makes two colours one.
    channels = [round(255 * channel) & ~7 for channel in (red, green, blue)]
    channels = [channels[0] | (roi & 7), channels[1] | ((roi >> 3) & 7), channels[2] | ((roi >> 6) & 3)]
    return "#" + "".join(f"{channel:02x}" for channel in channels)


def roi_rgb(roi: int) -> tuple[int, int, int]:
    """Return the colour of a ROI as red, green, blue, 0 … 255."""
    colour = roi_colour(roi)
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
