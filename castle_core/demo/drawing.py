"""Paints the animal into its arena, and its masks from the same outlines."""

from dataclasses import dataclass

import cv2
import numpy as np

from castle_core.demo.body import Shapes
from castle_core.demo.motion import animal_scale

ROI_BODY, ROI_TAIL, ROI_HEAD = 1, 2, 3

_SHIFT = 4  # cv2 takes outlines in 1/16 pixels

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Coat:
    """Colours of one animal, RGB."""

    dark: Colour
    middle: Colour
    light: Colour
    skin: Colour
    paw: Colour


COATS = (
    Coat((44, 42, 48), (58, 56, 63), (78, 76, 84), (196, 150, 142), (206, 160, 152)),
    Coat((92, 66, 44), (114, 84, 58), (140, 106, 76), (206, 160, 146), (214, 168, 152)),
    Coat((120, 116, 112), (146, 142, 138), (172, 168, 163), (210, 164, 156), (218, 176, 166)),
)


@dataclass(frozen=True)
class Painted:
    """One frame.

    Attributes
    ----------
    rgb : numpy.ndarray
        (H, W, 3) uint8, RGB. The scene's own buffer: it changes with the next frame.
    mask : numpy.ndarray
        (H, W) uint8, 0 background, 1 body (with limbs), 2 tail, 3 head (with ears). Also the scene's own buffer.
    i420 : numpy.ndarray
        (3 H / 2, W) uint8: the same picture as planes Y, U, V for the encoder. Also the scene's own buffer.
    box : tuple of int
        (x0, y0, x1, y1), half open: outside of it the mask is 0.
    """

    rgb: np.ndarray
    i420: np.ndarray
    mask: np.ndarray
    box: tuple[int, int, int, int]


class Scene:
    """An arena filmed from above, in which one animal is painted frame by frame.

    Parameters
    ----------
    width, height : int
        Frame size in pixels, both even.
    seed : numpy.random.SeedSequence
        Decides about the floor's grain.
    coat : Coat
        The animal's colours.
    """

    def __init__(self, width: int, height: int, seed: np.random.SeedSequence, coat: Coat = COATS[0]) -> None:
        self._coat = coat
        self._scale = animal_scale(width, height)
        self._background = _arena(width, height, np.random.default_rng(seed))
        self._rgb = self._background.copy()
        # only the box around the animal is ever converted to the encoder's format
        empty = cv2.cvtColor(self._background, cv2.COLOR_RGB2YUV_I420)
        self._i420 = empty.copy()
        self._planes = list(zip(_planes(self._i420, width, height), _planes(empty, width, height), strict=True))
        self._mask = np.zeros((height, width), np.uint8)
        self._box = (0, 0, 0, 0)

    def paint(self, shapes: Shapes) -> Painted:
        """Paint one frame; only the box around the animal is touched, which keeps it quick."""
        height, width = self._mask.shape
        x0, y0, x1, y1 = self._box
        self._rgb[y0:y1, x0:x1] = self._background[y0:y1, x0:x1]
        self._mask[y0:y1, x0:x1] = 0
        for divisor, (plane, empty) in zip((1, 2, 2), self._planes, strict=True):
            box = slice(y0 // divisor, y1 // divisor), slice(x0 // divisor, x1 // divisor)
            plane[box] = empty[box]

        outlines = np.concatenate([shapes.body, shapes.head, shapes.tail, *shapes.paws, *shapes.ears])
        pad = int(14 * self._scale) + 6  # the shadow and the softened edge
        low, high = outlines.min(axis=0), outlines.max(axis=0)
        x0, y0 = max(0, int(low[0]) - pad), max(0, int(low[1]) - pad)
        x1, y1 = min(width, int(high[0]) + pad + 1), min(height, int(high[1]) + pad + 1)
        x0, y0, x1, y1 = x0 // 2 * 2, y0 // 2 * 2, (x1 + 1) // 2 * 2, (y1 + 1) // 2 * 2  # colour has half the size
        self._box = (x0, y0, max(x1, x0), max(y1, y0))
        if x1 <= x0 or y1 <= y0:
            return Painted(self._rgb, self._i420, self._mask, self._box)

        corner = np.array([x0, y0])
        crop, mask = self._rgb[y0:y1, x0:x1], self._mask[y0:y1, x0:x1]
        self._shadow(crop, shapes, corner)
        self._animal(crop, mask, shapes, corner)
        converted = cv2.cvtColor(crop, cv2.COLOR_RGB2YUV_I420)
        pieces = _planes(converted, x1 - x0, y1 - y0)
        for divisor, piece, (plane, _) in zip((1, 2, 2), pieces, self._planes, strict=True):
            plane[y0 // divisor : y1 // divisor, x0 // divisor : x1 // divisor] = piece
        return Painted(self._rgb, self._i420, self._mask, self._box)

    def _shadow(self, crop: np.ndarray, shapes: Shapes, corner: np.ndarray) -> None:
        small = np.full((crop.shape[0] // 4 + 1, crop.shape[1] // 4 + 1), 255, np.uint8)
        offset = corner - np.array([5.0, 7.0]) * self._scale
        for outline in (shapes.tail, shapes.body, shapes.head):
            cv2.fillPoly(small, [_fixed((outline - offset) / 4)], 150, cv2.LINE_8, _SHIFT)
        small = cv2.blur(cv2.blur(small, (3, 3)), (3, 3))
        shade = cv2.resize(small, (crop.shape[1], crop.shape[0]), interpolation=cv2.INTER_LINEAR)
        cv2.multiply(crop, cv2.merge([shade, shade, shade]), dst=crop, scale=1 / 255)

    def _animal(self, crop: np.ndarray, mask: np.ndarray, shapes: Shapes, corner: np.ndarray) -> None:
        coat = self._coat
        layers: list[tuple[np.ndarray, Colour, int]] = [(shapes.tail, coat.skin, ROI_TAIL)]
        layers += [(paw, coat.paw, ROI_BODY) for paw in shapes.paws]
        layers.append((shapes.body, coat.dark, ROI_BODY))
        layers += [(o, c, 0) for o, c in zip(shapes.body_light, (coat.middle, coat.light), strict=True)]
        layers.append((shapes.head, coat.dark, ROI_HEAD))
        layers += [(o, coat.middle, 0) for o in shapes.head_light]
        layers += [(ear, coat.skin, ROI_HEAD) for ear in shapes.ears]
        for outline, colour, roi in layers:
            points = _fixed(outline - corner)
            cv2.fillPoly(crop, [points], colour, cv2.LINE_AA, _SHIFT)
            if roi:
                cv2.fillPoly(mask, [points], roi, cv2.LINE_8, _SHIFT)
        dots = _fixed(np.concatenate([shapes.eyes, shapes.keypoints[:1]]) - corner)
        radius = int(2.2 * self._scale * (1 << _SHIFT))
        for eye in dots[:2]:
            cv2.circle(crop, eye.tolist(), radius, (12, 10, 12), -1, cv2.LINE_AA, _SHIFT)
        cv2.circle(crop, dots[2].tolist(), int(shapes.nose_radius * (1 << _SHIFT)), coat.skin, -1, cv2.LINE_AA, _SHIFT)
        cv2.GaussianBlur(crop, (3, 3), 0, dst=crop)


def _planes(i420: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return views of the planes Y (H, W), U and V (H/2, W/2) of one picture."""
    flat = i420.reshape(-1)
    size, half = width * height, (height // 2, width // 2)
    return (
        flat[:size].reshape(height, width),
        flat[size : size * 5 // 4].reshape(half),
        flat[size * 5 // 4 :].reshape(half),
    )


def _fixed(points: np.ndarray) -> np.ndarray:
    fixed: np.ndarray = np.rint(points * (1 << _SHIFT)).astype(np.int32)
    return fixed


def _arena(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """Return the empty arena, (H, W, 3) uint8 RGB: a matt floor between low walls, lit from above."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    light = 1.0 - 0.16 * (((x / width - 0.46) * 2) ** 2 + ((y / height - 0.44) * 2) ** 2)
    grain = rng.normal(0, 1, (height // 2 + 1, width // 2 + 1)).astype(np.float32)
    grain = cv2.resize(cv2.GaussianBlur(grain, (0, 0), 1.2), (width, height), interpolation=cv2.INTER_CUBIC)
    clouds = rng.normal(0, 1, (max(2, height // 60), max(2, width // 60))).astype(np.float32)
    clouds = cv2.resize(clouds, (width, height), interpolation=cv2.INTER_CUBIC)
    floor = np.array([203, 199, 190], np.float32) * (light + 0.022 * grain + 0.013 * clouds)[..., None]

    wall = max(3, round(0.035 * min(width, height)))
    image: np.ndarray = np.clip(floor, 0, 255).astype(np.uint8)
    for side, shade in (("top", 0.55), ("left", 0.62), ("right", 0.74), ("bottom", 0.80)):
        outer = {
            "top": [(0, 0), (width, 0), (width - wall, wall), (wall, wall)],
            "left": [(0, 0), (wall, wall), (wall, height - wall), (0, height)],
            "right": [(width, 0), (width, height), (width - wall, height - wall), (width - wall, wall)],
            "bottom": [(0, height), (wall, height - wall), (width - wall, height - wall), (width, height)],
        }[side]
        colour = tuple(int(c * shade) for c in (168, 172, 178))
        cv2.fillPoly(image, [np.array(outer, np.int32)], colour, cv2.LINE_AA)
    # the walls' soft contact shadow on the floor, and a rim of light
    inside = np.minimum.reduce([x - wall, y - wall, width - 1 - wall - x, height - 1 - wall - y])
    shadow = np.where(inside >= 0, 1.0 - 0.22 * np.exp(-np.clip(inside, 0, None) / (0.6 * wall)), 1.0)
    image = np.clip(image * shadow[..., None], 0, 255).astype(np.uint8)
    cv2.rectangle(image, (wall, wall), (width - 1 - wall, height - 1 - wall), (120, 122, 126), 1, cv2.LINE_AA)
    return image
