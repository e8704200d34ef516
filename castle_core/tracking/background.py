"""The tracker that needs no download: what differs from the empty scene, followed with a simple model of motion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from castle_core.errors import RoiError
from castle_core.progress import QUIET, Task
from castle_core.prompts import Prompt, prompt_mask
from castle_core.tracking.anatomy import Anatomy, Part, axis_of, core_of, learn_anatomy, paint_parts
from castle_core.tracking.background_model import BackgroundModel, learn_background
from castle_core.tracking.settings import TrackedFrame
from castle_core.video import Video

Mask = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
_SMALLEST = 0.2  # of the drawn area: a smaller piece is not the animal
_LARGEST = 4.0
_BELIEVED_AFTER = 12


@dataclass
class Animal:
    """One animal and where it was seen last.

    Attributes
    ----------
    anatomy : Anatomy
    centre, velocity : (2,) float64, or None where it has not been seen yet
        Pixels, pixels a frame.
    heading : (2,) float64, or None
    lost : int
        Frames since it was seen.
    doubt : int
        Frames in a row in which the tail seemed to be at the other end.
    """

    anatomy: Anatomy
    centre: npt.NDArray[np.float64] | None = None
    velocity: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    heading: npt.NDArray[np.float64] | None = None
    lost: int = 0
    doubt: int = 0

    def expected(self) -> npt.NDArray[np.float64] | None:
        """Return where it should be in the next frame; it slows down where it is not seen."""
        if self.centre is None:
            return None
        return self.centre + self.velocity * min(self.lost + 1, 3)

    def seen(self, centre: npt.NDArray[np.float64], heading: npt.NDArray[np.float64]) -> None:
        """Take note of where it is."""
        if self.centre is not None and self.lost == 0:
            self.velocity = 0.5 * self.velocity + 0.5 * (centre - self.centre)
        else:
            self.velocity = np.zeros(2)
        self.centre, self.heading, self.lost = centre, heading, 0


class BackgroundTracker:
    """Follows ROIs in a video of a camera that stands still.

    Parameters
    ----------
    video : Video
        What is tracked.
    prompts : sequence of Prompt
        Drawings with an area, at least one.
    source : Video, optional
        The video that was drawn on, where it is another one.
    task : Task

    Raises
    ------
    RoiError
        If nothing with an area was drawn, a drawing lies on nothing that differs from the empty scene, or a drawn frame
        cannot be decoded.
    """

    def __init__(
        self, video: Video, prompts: Sequence[Prompt], source: Video | None = None, *, task: Task = QUIET
    ) -> None:
        self.height, self.width = video.height, video.width
        drawn_on = source or video
        by_frame: dict[int, list[Prompt]] = {}
        for prompt in prompts:
            if prompt.kind != "point":
                by_frame.setdefault(prompt.frame_index, []).append(prompt)
        if not by_frame:
            raise RoiError(
                f"The background tracker needs a box, polygon, brush stroke or mask on a frame of "
                f"{drawn_on.path.name}; points alone do not tell the size. Draw one, or use SAM 2."
            )
        frames = sorted(by_frame)
        masks = {f: prompt_mask(by_frame[f], drawn_on.height, drawn_on.width) for f in frames}
        learned = learn_background(drawn_on, {f: mask > 0 for f, mask in masks.items()}, task=task)
        self.model = learned if source is None else learn_background(video, {}, task=task)
        self.rois = tuple(sorted({prompt.roi for prompt in prompts if prompt.kind != "point"}))
        self.drawn = {} if source is not None else {f: (masks[f], by_frame[f]) for f in frames}
        self.animals: list[Animal] = []
        if _takes_an_animal_for_shadow(learned, drawn_on, masks):
            learned, self.model = replace(learned, shadow=2.0), replace(self.model, shadow=2.0)
        self._learn(learned, drawn_on, masks, placed=source is None)
        if source is not None:  # a drawing on another video tells what it looks like, not where it is
            for animal in self.animals:
                animal.centre = animal.heading = None

    def _learn(self, model: BackgroundModel, video: Video, masks: Mapping[int, Mask], placed: bool) -> None:
        """Learn each animal from the first frame on which its ROIs are drawn: ROIs of one outline are one animal.

        ROIs that are first drawn on a later frame join the animal that they are part of (see `_part_of`).
        """
        known: set[int] = set()
        for frame_index, mask in masks.items():
            drawn = {int(roi): mask == roi for roi in np.unique(mask) if roi}
            new = drawn.keys() - known
            known.update(drawn)
            if not new:
                continue
            foreground = model.foreground(video.frame_at(frame_index))
            for roi in sorted(new):
                if (foreground[drawn[roi]] > 0).mean() < 0.05:
                    raise RoiError(
                        f"What is drawn as ROI {roi} on frame {frame_index} of {video.path.name} does not differ from "
                        "the empty scene. Draw it on another frame, where the animal moves, or use SAM 2."
                    )
            _, labels, stats, _ = cv2.connectedComponentsWithStats(foreground, connectivity=8)
            for rois, blob in _outlines(labels, drawn):
                fresh = [roi for roi in rois if roi in new]
                if not fresh:
                    continue
                anatomy, axis = learn_anatomy(blob, {roi: drawn[roi] for roi in rois})
                owner = self._part_of(anatomy, set(drawn), stats[1:, cv2.CC_STAT_AREA])
                if owner is not None:
                    owner.anatomy = _joined(owner.anatomy, anatomy)
                    continue
                if len(fresh) < len(rois):  # animals that touch: only the new one is learned here
                    anatomy, axis = learn_anatomy(blob, {roi: drawn[roi] for roi in fresh})
                animal = Animal(anatomy)
                if placed:
                    animal.seen(axis.centre, axis.heading)
                self.animals.append(animal)

    def _part_of(self, anatomy: Anatomy, drawn: set[int], areas: npt.NDArray[np.int32]) -> Animal | None:
        """Return the animal that ROIs on one outline are part of; None if they are another animal.

        It is the one with other ROIs on that outline. Where there is none: the one that is left, if the frame shows no
        more outlines of an animal's size than there are animals, and the ROIs are other parts than those it has.
        """
        rois = {part.roi for part in anatomy.parts}
        sharing = [animal for animal in self.animals if rois & {part.roi for part in animal.anatomy.parts}]
        if sharing:
            return sharing[0] if len(sharing) == 1 else None
        left = [animal for animal in self.animals if not drawn & {part.roi for part in animal.anatomy.parts}]
        if len(left) != 1:
            return None
        (animal,) = left
        size = animal.anatomy.area
        n_seen = int(((areas > 0.5 * size) & (areas < 1.6 * size)).sum())
        alike = 0.5 * size < anatomy.area < 1.6 * size
        same = any(_same_part(one, other) for one in anatomy.parts for other in animal.anatomy.parts)
        return animal if alike and n_seen <= len(self.animals) and not same else None

    def step(self, frame_index: int, picture: Mask) -> TrackedFrame:
        """Find the ROIs in the next frame.

        Parameters
        ----------
        frame_index : int
        picture : (H, W, 3) uint8
            RGB.
        """
        foreground = self.model.foreground(picture)
        mask = np.zeros((self.height, self.width), np.uint8)
        confidence = dict.fromkeys(self.rois, 0.0)
        count, labels, stats, centres = cv2.connectedComponentsWithStats(foreground, connectivity=8)
        claims = self._claims(count, stats, centres, self._at_drawing(frame_index, labels))
        for number, animal in enumerate(self.animals):
            label = claims.get(number)
            if label is None:
                animal.lost += 1
                continue
            x, y, w, h = (int(v) for v in stats[label, :4])
            window = (slice(y, y + h), slice(x, x + w))
            blob = labels[window] == label
            rivals = [self.animals[k] for k, other in claims.items() if other == label and k != number]
            if rivals:
                blob &= _nearer(animal, rivals, x, y, blob.shape)
                if not blob.any():
                    animal.lost += 1
                    continue
            self._find_parts(animal, blob, (x, y), mask[window], confidence)
        self._obey_drawing(frame_index, mask, confidence)
        return TrackedFrame(mask, confidence)

    def _find_parts(
        self, animal: Animal, blob: Flags, origin: tuple[int, int], window: Mask, confidence: dict[int, float]
    ) -> None:
        padded = np.pad(blob, animal.anatomy.opening + 1)
        inner = slice(animal.anatomy.opening + 1, -animal.anatomy.opening - 1)
        core = core_of(padded, animal.anatomy.opening)[inner, inner]
        if not core.any():
            core = blob
        axis = axis_of(core, blob & ~core, animal.heading)
        if animal.heading is not None and animal.lost == 0 and axis.heading @ animal.heading < 0:
            # No animal turns round within a frame: the outline deceives, unless it goes on saying so.
            animal.doubt += 1
            if animal.doubt < _BELIEVED_AFTER:
                axis = axis.reversed()
        else:
            animal.doubt = 0
        painted = np.zeros(blob.shape, np.uint8)
        paint_parts(animal.anatomy, blob, core, axis, painted)
        window[painted > 0] = painted[painted > 0]
        size = min(1.0, float(blob.sum()) / animal.anatomy.area, animal.anatomy.area / float(blob.sum()))
        for part in animal.anatomy.parts:
            area = float((painted == part.roi).sum())
            if area:
                likeness = min(area / part.area, part.area / area)
                confidence[part.roi] = float(np.sqrt(size * likeness)) * (1.0 if axis.sure else 0.7)
        animal.seen(axis.centre + np.array(origin), axis.heading)

    def _claims(self, count: int, stats: Any, centres: Any, drawn: Mapping[int, int]) -> dict[int, int]:
        """Return which connected piece of the foreground each animal is; a drawing decides where there is one."""
        claims = dict(drawn)
        for number, animal in enumerate(self.animals):
            if number in claims:
                continue
            best, best_score = None, 0.0
            expected = animal.expected()
            reach = np.sqrt(animal.anatomy.area) * (1.5 + 0.5 * min(animal.lost, 60))
            for label in range(1, count):
                ratio = float(stats[label, cv2.CC_STAT_AREA]) / animal.anatomy.area
                if not _SMALLEST <= ratio <= _LARGEST * len(self.animals):
                    continue
                score = min(ratio, 1 / ratio)
                if expected is not None:
                    x, y, w, h = stats[label, :4]
                    beside = np.maximum(0, np.maximum(np.array([x, y]) - expected, expected - np.array([x + w, y + h])))
                    far = float(np.hypot(*beside)) + 0.25 * float(np.hypot(*(centres[label] - expected)))
                    score *= float(np.exp(-((far / reach) ** 2)))
                if score > max(best_score, 0.02):
                    best, best_score = label, score
            if best is not None:
                claims[number] = best
        return claims

    def _at_drawing(self, frame_index: int, labels: npt.NDArray[np.int32]) -> dict[int, int]:
        """Return the pieces of foreground on which something was drawn in this frame, by animal."""
        if frame_index not in self.drawn:
            return {}
        mask = self.drawn[frame_index][0]
        claims: dict[int, int] = {}
        for number, animal in enumerate(self.animals):
            own = np.isin(mask, [part.roi for part in animal.anatomy.parts])
            if own.any():
                hits = np.bincount(labels[own], minlength=2)
                hits[0] = 0
                if hits.max() > 0:
                    claims[number] = int(hits.argmax())
        return claims

    def _obey_drawing(self, frame_index: int, mask: Mask, confidence: dict[int, float]) -> None:
        """Where an outline was drawn on this frame, it is the mask; a box only says where to look."""
        if frame_index not in self.drawn:
            return
        drawn, prompts = self.drawn[frame_index]
        for roi in {prompt.roi for prompt in prompts}:
            kinds = {prompt.kind for prompt in prompts if prompt.roi == roi}
            if kinds == {"box"}:
                mask[(mask == roi) & (drawn != roi)] = 0
            else:
                mask[mask == roi] = 0
                mask[drawn == roi] = roi
            confidence[roi] = 1.0 if (mask == roi).any() else 0.0

    def state(self) -> dict[str, Any]:
        """Return what the next frame depends on, as JSON."""
        return {
            "animals": [
                {
                    "centre": None if animal.centre is None else animal.centre.tolist(),
                    "velocity": animal.velocity.tolist(),
                    "heading": None if animal.heading is None else animal.heading.tolist(),
                    "lost": animal.lost,
                    "doubt": animal.doubt,
                }
                for animal in self.animals
            ]
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        for animal, values in zip(self.animals, state["animals"], strict=True):
            animal.centre = None if values["centre"] is None else np.array(values["centre"])
            animal.velocity = np.array(values["velocity"])
            animal.heading = None if values["heading"] is None else np.array(values["heading"])
            animal.lost, animal.doubt = int(values["lost"]), int(values["doubt"])


def _takes_an_animal_for_shadow(model: BackgroundModel, video: Video, masks: Mapping[int, Mask]) -> bool:
    """Say whether most of a drawn ROI is thrown away as shadow: a grey animal on a grey floor has its colour."""
    plain = replace(model, shadow=2.0)
    for frame_index, mask in masks.items():
        picture = video.frame_at(frame_index)
        kept, all_of = model.foreground(picture) > 0, plain.foreground(picture) > 0
        for roi in np.unique(mask[mask > 0]):
            if (kept & (mask == roi)).sum() < 0.5 * (all_of & (mask == roi)).sum():
                return True
    return False


def _same_part(one: Part, other: Part) -> bool:
    """Say whether two parts are the same stretch of an animal, or both thin."""
    if one.thin or other.thin:
        return one.thin and other.thin
    common = min(one.end, other.end) - max(one.begin, other.begin)
    return common > 0.6 * (max(one.end, other.end) - min(one.begin, other.begin))


def _joined(before: Anatomy, later: Anatomy) -> Anatomy:
    """Return an animal's anatomy after more of it was drawn; the later drawing of a ROI counts."""
    drawn = {part.roi for part in later.parts}
    kept = tuple(part for part in before.parts if part.roi not in drawn)
    return replace(later if drawn & {part.roi for part in before.parts} else before, parts=(*kept, *later.parts))


def _outlines(labels: npt.NDArray[np.int32], drawn: Mapping[int, Flags]) -> list[tuple[list[int], Flags]]:
    """Return the drawn ROIs by the outline on which they lie; a piece that came off (a tail) goes with its animal."""
    areas = np.bincount(labels.ravel())
    outlines: dict[int, tuple[list[int], set[int]]] = {}
    for roi, region in drawn.items():
        hits = np.bincount(labels[region], minlength=2)
        hits[0] = 0
        label = int(hits.argmax())
        whole = _came_off(labels, areas, label)
        rois, pieces = outlines.setdefault(whole, ([], {whole}))
        rois.append(roi)
        pieces.add(label)
    return [(rois, np.isin(labels, list(pieces))) for rois, pieces in outlines.values()]


def _came_off(labels: npt.NDArray[np.int32], areas: npt.NDArray[np.int64], piece: int) -> int:
    """Return the much larger outline right beside a piece of foreground; where there is none, the piece itself."""
    best, best_gap = piece, np.inf
    for label in range(1, len(areas)):
        if areas[label] < 3 * areas[piece]:
            continue
        gap = float(cv2.distanceTransform((labels != label).astype(np.uint8), cv2.DIST_L2, 3)[labels == piece].min())
        if gap < min(best_gap, 0.25 * float(np.sqrt(areas[label]))):
            best, best_gap = label, gap
    return best


def _nearer(animal: Animal, rivals: Sequence[Animal], x: int, y: int, shape: tuple[int, int]) -> Flags:
    """Return which pixels of a shared piece of foreground lie nearer to this animal's expected place."""
    ys, xs = np.mgrid[y : y + shape[0], x : x + shape[1]]

    def distance(other: Animal) -> npt.NDArray[np.float64]:
        place = other.expected()
        if place is None:
            return np.full(shape, np.inf)
        return np.asarray((xs - place[0]) ** 2 + (ys - place[1]) ** 2, np.float64)

    own = distance(animal)
    return np.asarray(np.all([own < distance(rival) for rival in rivals], axis=0))
