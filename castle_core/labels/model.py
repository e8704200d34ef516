"""What a person said about the frames of a project: keypoints in pixels, without the format it was said in."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from castle_core.errors import LabelError
from castle_core.files import nfc

Floats = npt.NDArray[np.float64]
LABELED_DATA = "labeled-data"
_DIGITS = re.compile(r"(\d+)(?=\.[^.]*$|$)")


@dataclass(frozen=True, eq=False)
class Labels:
    """Labelled frames.

    A frame with a row is labelled; a frame without one is not. A row without any point, listed in `no_animal`, means
    that somebody has looked and no animal is there.

    Attributes
    ----------
    keypoints : tuple of str
        K names, each once.
    individuals : tuple of str
        I names of animals; ``("",)`` where there is one animal, which has no name.
    frames : tuple of str
        n paths of images from the project's folder, ``labeled-data/<stem>/img00000143.png``, with slashes, NFC, each
        once. This path is the frame's identity.
    xy : numpy.ndarray
        (n, I, K, 2) float64, pixels of the image, x to the right and y down, (0, 0) the centre of the upper left
        pixel, as every labelling tool writes it. NaN where a keypoint was not placed.
    visible : numpy.ndarray or None
        (n, I, K) float64, the ``visible`` columns as they stand in the file (0 not labelled, 1 occluded, 2 visible),
        NaN where the cell is empty; None where the file has none.
    scorer : str
        Who labelled; empty where nobody said.
    no_animal : frozenset of str
        The frames in which somebody saw that there is no animal.
    has : numpy.ndarray
        (I, K) bool: which animal has which keypoint. All True by default; animals and unique objects may differ.
    """

    keypoints: tuple[str, ...]
    individuals: tuple[str, ...]
    frames: tuple[str, ...]
    xy: Floats
    visible: Floats | None = None
    scorer: str = ""
    no_animal: frozenset[str] = frozenset()
    has: npt.NDArray[np.bool_] = field(default_factory=lambda: np.ones((0, 0), bool))

    def __post_init__(self) -> None:
        shape = (len(self.frames), len(self.individuals), len(self.keypoints))
        xy = np.array(self.xy, np.float64)
        if xy.shape != (*shape, 2):
            raise LabelError(f"Labels of shape {xy.shape} do not fit {shape} frames, animals and keypoints.")
        xy[~np.isfinite(xy).all(axis=3)] = np.nan
        has = np.array(self.has, bool) if np.size(self.has) else np.ones(shape[1:], bool)
        if has.shape != shape[1:] or (self.visible is not None and self.visible.shape != shape):
            raise LabelError("Labels whose parts have different numbers of animals or keypoints cannot be used.")
        for what, names in (("keypoint", self.keypoints), ("animal", self.individuals), ("frame", self.frames)):
            if len(set(names)) != len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise LabelError(f"The {what} {twice!r} is there twice. Remove one of them.")
        object.__setattr__(self, "xy", xy)
        object.__setattr__(self, "has", has)

    @property
    def n_frames(self) -> int:
        """Number of labelled frames."""
        return len(self.frames)

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """(n, I, K) bool: which points were placed."""
        return np.isfinite(self.xy[..., 0])

    @property
    def several_animals(self) -> bool:
        """Whether there is more than one animal."""
        return len(self.individuals) > 1

    def take(self, rows: Sequence[int]) -> "Labels":
        """Return the frames at these positions, in this order."""
        frames = tuple(self.frames[row] for row in rows)
        at = np.asarray(rows, np.int64)
        return replace(
            self,
            frames=frames,
            xy=self.xy[at],
            visible=None if self.visible is None else self.visible[at],
            no_animal=self.no_animal & set(frames),
        )

    def ordered(self) -> "Labels":
        """Return the same labels sorted by folder and frame."""
        return self.take(sorted(range(self.n_frames), key=lambda row: frame_order(self.frames[row])))

    def same_as(self, other: "Labels", *, tolerance: float = 0.0) -> bool:
        """Say whether `other` says the same: names, frames, points to within `tolerance` pixels, visibility."""
        if (self.keypoints, self.individuals, self.frames) != (other.keypoints, other.individuals, other.frames):
            return False
        if self.no_animal != other.no_animal or (self.visible is None) != (other.visible is None):
            return False
        if self.visible is not None and not np.array_equal(self.visible, other.visible, equal_nan=True):  # type: ignore[arg-type]
            return False
        return bool(np.array_equal(self.has, other.has)) and bool(
            np.allclose(self.xy, other.xy, rtol=0.0, atol=tolerance, equal_nan=True)
        )

    def for_one_animal(self, format_name: str) -> "Labels":
        """Return the labels themselves, after making sure that they are of one animal.

        Raises
        ------
        LabelError
            If there are several: `format_name` takes one animal only. The message names the animals.
        """
        if self.several_animals:
            names = ", ".join(name or "(no name)" for name in self.individuals)
            raise LabelError(
                f"{format_name} takes one animal, and these labels have {len(self.individuals)} ({names}). "
                "Use DeepLabCut, SLEAP or COCO, which keep them all."
            )
        return self


def no_labels(keypoints: Iterable[str] = (), *, scorer: str = "") -> Labels:
    """Return labels of no frame."""
    names = tuple(keypoints)
    return Labels(names, ("",), (), np.empty((0, 1, len(names), 2)), scorer=scorer)


def image_path(stem: str, name: str) -> str:
    """Return the path of an image from the project's folder; an empty `stem` means flat in ``labeled-data``."""
    return nfc("/".join(part for part in (LABELED_DATA, stem, name) if part))


def folder_and_name(frame: str) -> tuple[str, str]:
    """Split a frame's path into what is below ``labeled-data`` (the video's stem; may be empty) and the file name."""
    parts = frame.split("/")
    return "/".join(parts[1:-1] if parts[0] == LABELED_DATA else parts[:-1]), parts[-1]


def frame_order(frame: str) -> tuple[str, str, int, str]:
    """Return a key that sorts frames by folder, then by the number in the name."""
    folder, name = folder_and_name(frame)
    found = _DIGITS.search(name)
    return (folder, name[: found.start()], int(found[1]), name) if found else (folder, name, -1, name)


def frame_twins(frames: Collection[str]) -> dict[tuple[Any, ...], str]:
    """Map what stays the same under another zero-padding (folder, name, number, ending) to the frame.

    ``img5.png`` and ``img00000005.png`` of one video are one frame under two names. Frames that share a key with
    another one of the same collection are left out: they are different images.
    """
    found: dict[tuple[Any, ...], str] = {}
    twice = set()
    for frame in frames:
        key = twin_key(frame)
        if found.setdefault(key, frame) != frame:
            twice.add(key)
    return {key: frame for key, frame in found.items() if key not in twice}


def twin_key(frame: str) -> tuple[Any, ...]:
    """Return what stays the same when only the zero-padding of a frame's name changes."""
    folder, name = folder_and_name(frame)
    found = _DIGITS.search(name)
    if not found:
        return (folder, name, -1, "")
    return (folder, name[: found.start()], int(found[1]), name[found.end() :].lower())
