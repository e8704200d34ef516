"""The empty scene, from frames sampled over the whole video, and what differs from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from castle_core.errors import FrameDecodeError, RoiError
from castle_core.progress import QUIET, Task
from castle_core.video import Video

Bytes = npt.NDArray[np.uint8]

_MOST_SAMPLES = 40
_FEWEST_SAMPLES = 9
_SAMPLE_BYTES = 300 << 20
_ENOUGH_KEY_FRAMES = 25
# A shadow darkens all colours alike; compression and colour subsampling blur that by so much.
_SAME_COLOUR = 0.1
# Below this ratio between what two groups of dark pixels explain and what there is, they are not two groups.
_TWO_GROUPS = 0.72
_LIGHTING = 0.02
# Where a dark animal rests four fifths of the time, this rank still is the floor.
_RANK = 0.8


@dataclass(frozen=True, eq=False)
class BackgroundModel:
    """The empty scene.

    Attributes
    ----------
    picture : (H, W, 3) uint8 array
        RGB.
    threshold : float
        Grey levels (of 255) from which on a pixel differs.
    shadow : float
        Pixels of unchanged colour darkened to no less than this share of the background are shadow; 2 where there is
        no shadow to be told from an animal.
    """

    picture: Bytes
    threshold: float
    shadow: float

    def foreground(self, frame: Bytes, box: tuple[int, int, int, int] | None = None) -> Bytes:
        """Return which pixels of a box of the frame differ from the background: (h, w) uint8, 0 or 255.

        Parameters
        ----------
        frame : (H, W, 3) uint8 array
            RGB.
        box : tuple of int, optional
            (x0, y0, x1, y1), half open; by default the whole frame.
        """
        import cv2

        height, width = self.picture.shape[:2]
        x0, y0, x1, y1 = box or (0, 0, width, height)
        now = np.ascontiguousarray(frame[y0:y1, x0:x1])
        empty = np.ascontiguousarray(self.picture[y0:y1, x0:x1])
        gain = self._gain(frame)
        if abs(gain - 1) > _LIGHTING:
            now = cv2.convertScaleAbs(now, alpha=1 / gain)
        different = cv2.absdiff(now, empty)
        red, green, blue = cv2.split(different)
        largest = cv2.max(cv2.max(red, green), blue)
        found = cv2.compare(largest, float(self.threshold), cv2.CMP_GT)
        left, top, wide, high = cv2.boundingRect(found)
        if self.shadow < 1 and wide:
            window = (slice(top, top + high), slice(left, left + wide))
            inside = found[window]
            inside[_shadow_like(now[window], empty[window], self.shadow)] = 0
        return _cleaned(found)

    def _gain(self, frame: Bytes) -> float:
        """Return how much brighter the whole scene is than its model: the median over every eighth pixel."""
        now = frame[::8, ::8, 1].astype(np.float32) + 1
        return float(np.median(now / (self.picture[::8, ::8, 1].astype(np.float32) + 1)))


def _shadow_like(now: Bytes, empty: Bytes, shadow: float) -> npt.NDArray[np.bool_]:
    import cv2

    ratio = (now.astype(np.float32) + 1) / (empty.astype(np.float32) + 1)
    red, green, blue = cv2.split(ratio)
    highest = cv2.max(cv2.max(red, green), blue)
    lowest = cv2.min(cv2.min(red, green), blue)
    middle = (highest + lowest) / 2
    return np.asarray((middle > shadow) & (highest < 1.02) & (highest - lowest < _SAME_COLOUR))


def _cleaned(found: Bytes) -> Bytes:
    """Remove single pixels, close cracks, and fill holes."""
    import cv2

    small = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    found = cv2.morphologyEx(found, cv2.MORPH_OPEN, small)
    found = cv2.morphologyEx(found, cv2.MORPH_CLOSE, small, iterations=2)
    contours, _ = cv2.findContours(found, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(found, contours, -1, 255, -1)
    return np.asarray(found)


def learn_background(
    video: Video,
    drawn: Mapping[int, npt.NDArray[np.bool_]],
    *,
    threshold: float = 0.0,
    drop_shadows: bool = True,
    task: Task = QUIET,
) -> BackgroundModel:
    """Make the model of an empty scene.

    An animal that rests through half of the samples would become background. So where what was drawn is darker than
    its surroundings, the brighter samples of each pixel are taken, and the reverse; and where an animal was drawn and
    still nothing differs, those samples that do not show it there.

    Parameters
    ----------
    video : Video
        A camera that stands still.
    drawn : mapping of int to (H, W) bool array
        Frame index → where animals were drawn.
    threshold : float
        Grey levels; 0 for three times the noise of the samples, at least 14.
    drop_shadows : bool
        Whether shadows are looked for.

    Raises
    ------
    RoiError
        If too few frames can be decoded.
    """
    samples = _samples(video, task)
    frames = {frame_index: _drawn_frame(video, frame_index) for frame_index in drawn}
    polarity = int(np.sign(sum(polarity_of(frames[i], area) for i, area in drawn.items())))
    picture = _ranked(samples, {-1: _RANK, 0: 0.5, 1: 1 - _RANK}[polarity])
    if threshold <= 0:
        noise = np.median(np.abs(samples[::3, ::4, ::4].astype(np.int16) - picture[None, ::4, ::4]))
        threshold = float(max(14.0, 6.0 * noise))
    model = BackgroundModel(picture, threshold, 2.0)
    for frame_index, area in drawn.items():
        frame = frames[frame_index]
        different = model.foreground(frame) > 0
        if area.any() and (different & area).sum() < 0.05 * area.sum():
            picture = _without_sleeper(picture, samples, frame, area, threshold)
            model = BackgroundModel(picture, threshold, 2.0)
    shadow = _shadow_ratio(model, samples) if drop_shadows else 2.0
    return BackgroundModel(picture, threshold, shadow)


def _samples(video: Video, task: Task) -> Bytes:
    """Return (m, H, W, 3) uint8 frames spread over the video; from key frames where there are many, which is cheap."""
    n_bytes = video.height * video.width * 3
    wanted = int(np.clip(_SAMPLE_BYTES // n_bytes, _FEWEST_SAMPLES, _MOST_SAMPLES))
    pool: Sequence[int] | npt.NDArray[np.int64] = range(video.n_frames)
    if len(video.key_frame_indices) >= max(wanted, _ENOUGH_KEY_FRAMES):
        pool = video.key_frame_indices
    places = np.unique(np.linspace(0, len(pool) - 1, min(wanted, len(pool))).round().astype(np.int64))
    frames = []
    for number, place in enumerate(places):
        try:
            frames.append(video.frame_at(int(pool[place])))
        except FrameDecodeError:
            continue
        task.progress(number + 1, len(places), "learning the background")
    if len(frames) < 2:
        raise RoiError(
            f"Fewer than two frames of {video.path.name} can be decoded, so it has no background to compare with. "
            "Copy the video again."
        )
    return np.stack(frames)


def _drawn_frame(video: Video, frame_index: int) -> Bytes:
    try:
        return video.frame_at(frame_index)
    except FrameDecodeError as error:
        raise RoiError(
            f"Frame {frame_index} of {video.path.name} is drawn on, but cannot be decoded: the file is damaged "
            "there. Draw on another frame."
        ) from error


def polarity_of(frame: Bytes, drawn: npt.NDArray[np.bool_]) -> int:
    """Say whether what was drawn is darker (-1) or brighter (1) than what is around it; 0 if neither.

    Parameters
    ----------
    frame : (H, W, 3) uint8 array
        RGB; green is looked at.
    drawn : (H, W) bool array
        A box may hold floor as well.
    """
    import cv2

    around = cv2.dilate(drawn.astype(np.uint8), np.ones((31, 31), np.uint8)).astype(bool) & ~drawn
    if not drawn.any() or not around.any():
        return 0
    inside = frame[drawn, 1].astype(np.float32) - float(np.median(frame[around, 1]))
    darker, brighter = -float(inside[inside < 0].sum()), float(inside[inside > 0].sum())
    if max(darker, brighter) < 2 * min(darker, brighter):
        return 0
    return -1 if darker > brighter else 1


def _ranked(samples: Bytes, share: float) -> Bytes:
    """Return each pixel at that rank of its samples by brightness (mean of three), some rows at a time."""
    result = np.empty(samples.shape[1:], np.uint8)
    place = round(share * (len(samples) - 1))
    low, high = max(0, place - 1), min(len(samples), place + 2)
    for top in range(0, len(result), 16):
        rows = samples[:, top : top + 16]
        order = np.argsort(rows[..., 1], axis=0, kind="stable")[low:high]
        result[top : top + 16] = np.take_along_axis(rows, order[..., None], axis=0).mean(axis=0).round()
    # Noise makes a high rank a little too bright: most pixels of most samples are floor and tell by how much.
    shift = np.median(samples[::3, ::4, ::4].astype(np.int16) - result[None, ::4, ::4], axis=(0, 1, 2))
    return np.asarray(np.clip(result + shift, 0, 255).round(), np.uint8)


def _without_sleeper(
    picture: Bytes, samples: Bytes, frame: Bytes, area: npt.NDArray[np.bool_], threshold: float
) -> Bytes:
    """Replace the drawn area by the median of those samples that differ from the drawn frame there."""
    picture = picture.copy()
    values = samples[:, area].astype(np.int16)  # (m, pixels, 3)
    differs = np.abs(values - frame[area].astype(np.int16)).max(axis=2) > threshold
    often = differs.sum(axis=0) >= max(2, 0.1 * len(samples))
    masked = np.where(differs[..., None], values, -1)
    ordered = np.sort(masked, axis=0)  # those that do not differ come first
    n = differs.sum(axis=0)
    place = np.clip(len(samples) - n + n // 2, 0, len(samples) - 1)
    medians = np.take_along_axis(ordered, place[None, :, None], axis=0)[0]
    pixels = picture[area]
    pixels[often] = medians[often].astype(np.uint8)
    picture[area] = pixels
    return picture


def _shadow_ratio(model: BackgroundModel, samples: Bytes) -> float:
    """Return the brightness, as a share of the background, that parts animals from their shadows; 2 if nothing does.

    Otsu's threshold on the ratios of all pixels that are darker and of the same colour: N. Otsu, A threshold selection
    method from gray-level histograms, IEEE Trans. SMC 9 (1979).
    """
    histogram = np.zeros(100)
    for frame in samples:
        different = model.foreground(frame) > 0
        ratio = (frame[different].astype(np.float32) + 1) / (model.picture[different].astype(np.float32) + 1)
        high, low = ratio.max(axis=1, initial=0), ratio.min(axis=1, initial=2)
        alike = (high < 1) & (high - low < _SAME_COLOUR)
        histogram += np.histogram((high[alike] + low[alike]) / 2, bins=100, range=(0, 1))[0]
    total = histogram.sum()
    if total < 200:
        return 2.0
    centres = (np.arange(100) + 0.5) / 100
    weight = histogram / total
    below = np.cumsum(weight)
    mean_below = np.cumsum(weight * centres)
    mean = mean_below[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (mean * below - mean_below) ** 2 / (below * (1 - below))
    between[~np.isfinite(between)] = 0
    variance = float((weight * (centres - mean) ** 2).sum())
    best = int(between.argmax())
    if between[best] < _TWO_GROUPS * variance or not 0.05 < below[best] < 0.98:
        return 2.0
    # Both groups have a peak; the cut lies half way between the darker group's mean and the undarkened floor.
    dark = mean_below[best] / below[best]
    light = (mean - mean_below[best]) / (1 - below[best])
    return float(2.0 if light - dark < 0.15 else centres[best] + 0.005)
