"""Labelled frames as pictures, with their points and the skeleton drawn on them."""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from castle_core.labels.contents import Contents
from castle_core.labels.images import image_file, read_image
from castle_core.labels.model import Labels

if TYPE_CHECKING:
    from castle_core.projects import Project

Bytes = npt.NDArray[np.uint8]
_SMALLEST = 640  # smaller images are enlarged, so that points and names can be told apart


def draw_labels(
    image: Bytes,
    labels: Labels,
    row: int,
    *,
    skeleton: Collection[tuple[str, str]] = (),
    marked: Collection[tuple[str, str]] = (),
    names: bool = True,
    width: int | None = None,
) -> Bytes:
    """Draw the labels of one frame.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB.
    labels : Labels
    row : int
        Which of its frames.
    skeleton : pairs of str
        Lines to draw.
    marked : pairs of str
        (individual, keypoint) of points to draw a ring around.
    names : bool
        Whether to write the keypoints' names (letters of the Latin alphabet; others become numbers).
    width : int, optional
        Of the picture in pixels; by default that of the image, or 640 for a smaller one.

    Returns
    -------
    (H', W', 3) uint8
        RGB.
    """
    import cv2

    from castle_core.label_studio.labels_config import colours

    wanted = width or max(image.shape[1], _SMALLEST)
    scale = wanted / image.shape[1]
    size = (wanted, max(1, round(image.shape[0] * scale)))
    shrink = scale < 1
    picture = np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC))
    palette = [tuple(int(text[at : at + 2], 16) for at in (1, 3, 5)) for text in colours(len(labels.keypoints))]
    radius = max(4, round(wanted / 150))
    thin = max(1, round(wanted / 800))
    place = {name: k for k, name in enumerate(labels.keypoints)}
    for i, individual in enumerate(labels.individuals):
        # a pixel's centre is at whole coordinates, before and after scaling
        points = (labels.xy[row, i] + 0.5) * scale - 0.5
        there = np.isfinite(points).all(axis=1)
        at = [(round(float(x)), round(float(y))) if ok else (0, 0) for (x, y), ok in zip(points, there, strict=True)]
        for one, other in skeleton:
            a, b = place.get(one, -1), place.get(other, -1)
            if a >= 0 and b >= 0 and there[a] and there[b]:
                cv2.line(picture, at[a], at[b], (0, 0, 0), 2 * thin + 1, cv2.LINE_AA)
                cv2.line(picture, at[a], at[b], (255, 255, 255), thin, cv2.LINE_AA)
        for k in np.flatnonzero(there):
            cv2.circle(picture, at[k], radius + 1, (0, 0, 0), -1, cv2.LINE_AA)
            cv2.circle(picture, at[k], radius, palette[k], -1, cv2.LINE_AA)
            if (individual, labels.keypoints[k]) in marked:
                cv2.circle(picture, at[k], 2 * radius + 3, (0, 0, 0), 2 * thin + 2, cv2.LINE_AA)
                cv2.circle(picture, at[k], 2 * radius + 3, (255, 230, 0), thin + 1, cv2.LINE_AA)
        for k in np.flatnonzero(there) if names else ():
            text = labels.keypoints[k] if labels.keypoints[k].isascii() else str(int(k) + 1)
            text = f"{individual} {text}" if labels.several_animals and individual.isascii() else text
            corner = (at[k][0] + radius + 3, at[k][1] - radius - 1)
            size_of_text = max(0.4, wanted / 1200)
            for colour, stroke in (((0, 0, 0), thin + 3), ((255, 255, 255), thin)):
                cv2.putText(picture, text, corner, cv2.FONT_HERSHEY_SIMPLEX, size_of_text, colour, stroke, cv2.LINE_AA)
    return np.asarray(picture, np.uint8)


def picture_contents(project: "Project", labels: Labels) -> Contents:
    """Return one JPEG for each labelled frame, in folders by video; each is made when it is written."""
    from castle_core.video.images import encode_jpeg

    contents = Contents()
    skeleton = project.skeleton

    def maker(row: int) -> Callable[[], bytes]:
        def make() -> bytes:
            image = read_image(image_file(project, labels.frames[row]))
            return encode_jpeg(draw_labels(image, labels, row, skeleton=skeleton), quality=90)

        return make

    for row, frame in enumerate(labels.frames):
        contents.add(f"{frame.rsplit('.', 1)[0]}.jpg", maker(row))
    return contents
