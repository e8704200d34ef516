"""Which part of an animal's outline each ROI is: learned from one drawing, found again in every frame.

The outline (blob) is split by a morphological opening into a core (trunk and head) and thin parts (tail, legs, ears). A
ROI is either a thin part, or a stretch of the core along its long axis with what sticks out of it there.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
# The opening's radius as a share of the core's largest inner radius: a tail is thinner than that, a neck is not.
_OPENING_SHARE = 0.45
_BINS = 40


@dataclass(frozen=True)
class Part:
    """What one ROI is of the outline.

    Attributes
    ----------
    roi : int
    thin : bool
        Whether it is made of thin parts.
    begin, end : float
        For the others: the stretch of the core's axis, 0 (tail end) … 1 (head end).
    sticking_out : bool
        Whether thin parts beside that stretch (ears, legs) belong to it.
    area : float
        Pixels in the drawing.
    """

    roi: int
    thin: bool
    begin: float
    end: float
    sticking_out: bool
    area: float


@dataclass(frozen=True)
class Anatomy:
    """One animal as it was drawn.

    Attributes
    ----------
    parts : tuple of Part
    opening : int
        Radius of the opening (pixels).
    area : float
        Pixels of the whole outline.
    """

    parts: tuple[Part, ...]
    opening: int
    area: float


def core_of(blob: Flags, opening: int) -> Flags:
    """Return the largest piece of an outline after an opening with a disc of that radius."""
    if opening < 1:
        return blob
    opened = cv2.morphologyEx(blob.astype(np.uint8), cv2.MORPH_OPEN, disc(opening))
    return largest(opened)


def disc(radius: int) -> Mask:
    """Return a disc-shaped kernel."""
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def largest(mask: Mask) -> Flags:
    """Return the largest 8-connected piece of a mask (all False if it is empty)."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        return np.zeros(mask.shape, bool)
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])))


@dataclass(frozen=True)
class Axis:
    """The long axis of a core.

    Attributes
    ----------
    centre : (2,) float64
        x, y (pixels).
    heading : (2,) float64
        Unit vector towards the head.
    low, high : float
        Where the core begins and ends along it (pixels from the centre).
    sure : bool
        Whether a tail or the movement told the two ends apart.
    """

    centre: npt.NDArray[np.float64]
    heading: npt.NDArray[np.float64]
    low: float
    high: float
    sure: bool

    def along(self, ys: npt.NDArray[np.int64], xs: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return where pixels lie along the axis: 0 at the tail's end of the core, 1 at the head's."""
        pixels = (xs - self.centre[0]) * self.heading[0] + (ys - self.centre[1]) * self.heading[1]
        return np.asarray((pixels - self.low) / max(self.high - self.low, 1e-9))

    def reversed(self) -> "Axis":
        """Return the same axis with the head at the other end."""
        return Axis(self.centre, -self.heading, -self.high, -self.low, self.sure)


def axis_of(core: Flags, thin: Flags, before: npt.NDArray[np.float64] | None) -> Axis:
    """Measure the axis of a core; the tail lies behind, else the heading is the one nearer to the one before.

    Parameters
    ----------
    core, thin : (h, w) bool
        `core` must hold a pixel.
    before : (2,) float64, optional
        Heading in the frame before.
    """
    ys, xs = np.nonzero(core)
    centre = np.array([xs.mean(), ys.mean()])
    points = np.column_stack((xs, ys)) - centre
    _, vectors = np.linalg.eigh(points.T @ points + 1e-9 * np.eye(2))
    heading = vectors[:, 1]
    sure = False
    root = _tail_root(core, thin)
    if root is not None:
        tail = root - centre
        sure = abs(float(tail @ heading)) > 0.35 * float(np.abs(points @ heading).max())
        if sure and tail @ heading > 0:
            heading = -heading
    if not sure and before is not None and heading @ before < 0:
        heading = -heading
    lengths = points @ heading
    return Axis(centre, heading, float(lengths.min()), float(lengths.max()), sure or before is not None)


def _tail_root(core: Flags, thin: Flags) -> npt.NDArray[np.float64] | None:
    """Return x, y where the largest thin part leaves the core: a curled tail may end anywhere, its root does not."""
    tail = largest(thin.astype(np.uint8))
    if tail.sum() < max(8, 0.02 * core.sum()):
        return None
    near = cv2.dilate(core.astype(np.uint8), disc(2)).astype(bool)
    ys, xs = np.nonzero(tail & near)
    return np.array([xs.mean(), ys.mean()]) if len(xs) else None


def learn_anatomy(blob: Flags, drawn: dict[int, Flags]) -> tuple[Anatomy, Axis]:
    """Work out what each drawn ROI is of an animal's outline.

    Parameters
    ----------
    blob : (H, W) bool
        The outline in the drawn frame; it must hold a pixel.
    drawn : dict of int to (H, W) bool
        Each ROI's drawing, not empty.
    """
    inner = float(cv2.distanceTransform(blob.astype(np.uint8), cv2.DIST_L2, 5).max())
    opening = round(_OPENING_SHARE * inner)
    core = core_of(blob, opening)
    thin = blob & ~core
    axis = axis_of(core, thin, None)
    ys, xs = np.nonzero(core)
    along = axis.along(ys, xs)
    bins = np.clip((along * _BINS).astype(np.int64), 0, _BINS - 1)
    all_of = np.bincount(bins, minlength=_BINS)
    parts = []
    for roi, region in drawn.items():
        n_thin, n_core = int((region & thin).sum()), int((region & core).sum())
        if n_thin > n_core:
            parts.append(Part(roi, True, 0.0, 0.0, False, float(n_thin)))
            continue
        share = np.bincount(bins, weights=region[ys, xs], minlength=_BINS) / np.maximum(all_of, 1)
        members = np.flatnonzero(share >= 0.5)
        begin, end = (members[0] / _BINS, (members[-1] + 1) / _BINS) if len(members) else (0.0, 1.0)
        # A drawing that reaches nearly to an end means that end.
        begin, end = 0.0 if begin < 0.08 else float(begin), 1.0 if end > 0.92 else float(end)
        beside = _beside(thin, axis, begin, end)
        sticking_out = bool(beside.sum() >= 0.03 * n_core and region[beside].mean() > 0.5)
        area = n_core + (int((region & beside).sum()) if sticking_out else 0)
        parts.append(Part(roi, False, begin, end, sticking_out, float(max(area, 1))))
    return Anatomy(tuple(parts), opening, float(blob.sum())), axis


def paint_parts(anatomy: Anatomy, blob: Flags, core: Flags, axis: Axis, mask: Mask) -> None:
    """Write the ROIs of one animal into `mask` (a window of the frame, changed in place).

    Stretches of the core that meet are cut in the middle of their overlap or gap; no pixel gets two ids.
    """
    ys, xs = np.nonzero(core)
    along = axis.along(ys, xs)
    stretches = sorted((part for part in anatomy.parts if not part.thin), key=lambda part: part.begin)
    ends = [part.end for part in stretches]
    begins = [part.begin for part in stretches]
    for k in range(len(stretches) - 1):
        if ends[k] > begins[k + 1] or begins[k + 1] - ends[k] < 2 / _BINS:
            ends[k] = begins[k + 1] = (ends[k] + begins[k + 1]) / 2
    for part, begin, end in zip(stretches, begins, ends, strict=True):
        inside = (along >= (begin if begin > 0 else -1)) & (along < (end if end < 1 else 2))
        mask[ys[inside], xs[inside]] = part.roi
    rest = blob & ~core
    thin_parts = [part for part in anatomy.parts if part.thin]
    if thin_parts:
        pieces = _thin_pieces(rest, axis, len(thin_parts))
        for part, piece in zip(sorted(thin_parts, key=lambda part: -part.area), pieces, strict=False):
            mask[piece] = part.roi
            rest &= ~piece
    for part, begin, end in zip(stretches, begins, ends, strict=True):
        if part.sticking_out:
            mask[_beside(rest, axis, begin, end)] = part.roi


def _beside(thin: Flags, axis: Axis, begin: float, end: float) -> Flags:
    """Return the thin pixels beside a stretch of the core; at its head end also those a little before it (a nose)."""
    ys, xs = np.nonzero(thin)
    along = axis.along(ys, xs)
    inside = (along >= begin) & (along < (end if end < 1 else 1.3))
    result = np.zeros(thin.shape, bool)
    result[ys[inside], xs[inside]] = True
    return result


def _thin_pieces(rest: Flags, axis: Axis, wanted: int) -> list[Flags]:
    """Return the `wanted` largest thin pieces; those behind the animal first, where the tail is."""
    count, labels, stats, centres = cv2.connectedComponentsWithStats(rest.astype(np.uint8), connectivity=8)
    order = []
    for label in range(1, count):
        behind = (centres[label] - axis.centre) @ axis.heading < 0
        order.append((float(stats[label, cv2.CC_STAT_AREA]) * (3.0 if behind else 1.0), label))
    order.sort(reverse=True)
    return [np.asarray(labels == label) for _, label in order[:wanted]]
