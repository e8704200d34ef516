"""From a pose to shapes and keypoints: the geometry that the picture, the masks and the ground truth share."""

import math
from dataclasses import dataclass

import numpy as np

from castle_core.demo.motion import Pose

KEYPOINTS = (
    "nose",
    "left_ear",
    "right_ear",
    "neck",
    "spine",
    "tail_base",
    "tail_mid",
    "tail_tip",
    "left_forepaw",
    "right_forepaw",
    "left_hindpaw",
    "right_hindpaw",
)
SKELETON = (
    ("nose", "left_ear"),
    ("nose", "right_ear"),
    ("left_ear", "neck"),
    ("right_ear", "neck"),
    ("neck", "spine"),
    ("spine", "tail_base"),
    ("tail_base", "tail_mid"),
    ("tail_mid", "tail_tip"),
    ("neck", "left_forepaw"),
    ("neck", "right_forepaw"),
    ("tail_base", "left_hindpaw"),
    ("tail_base", "right_hindpaw"),
)

_BODY_LENGTH, _HALF_WIDTH, _HEAD_LENGTH, _TAIL_LENGTH = 108.0, 25.5, 52.0, 112.0

# Along the spine from tail base (-0.5) to neck (0.5): pear shaped, wider at the hips.
_S = np.linspace(-0.5, 0.5, 17)
_PROFILE = np.sqrt(np.clip(1.0 - (2 * _S) ** 4, 0.0, None)) * (0.92 - 0.3 * _S)
_PROFILE[-1], _PROFILE[0] = 0.45, 0.28
# Along the head from the neck (0) to the nose (1): a rounded wedge.
_H = np.linspace(0.0, 1.0, 10)
_HEAD_PROFILE = np.array([0.50, 0.72, 0.82, 0.84, 0.80, 0.70, 0.56, 0.42, 0.28, 0.10])
# Along the tail from its base (0) to the tip (1).
_T = np.linspace(0.0, 1.0, 15)
_TAIL_PROFILE = 4.6 * (1.0 - _T) + 1.3
_CIRCLE = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_UNIT_CIRCLE = np.stack([np.cos(_CIRCLE), np.sin(_CIRCLE)], axis=1)


@dataclass(slots=True)
class Shapes:
    """Outlines of one frame, each (n, 2) float64 in pixels, x then y.

    Attributes
    ----------
    body, head, tail : numpy.ndarray
        Closed outlines.
    body_light, head_light : tuple of numpy.ndarray
        Narrower outlines inside, painted lighter.
    paws, ears : tuple of numpy.ndarray
        Outlines of the four paws and of the two ears.
    eyes : numpy.ndarray
        (2, 2) centres.
    nose_radius : float
        Radius of the nose's dot in pixels.
    keypoints : numpy.ndarray
        (12, 2) float64, in the order of `KEYPOINTS`.
    """

    body: np.ndarray
    head: np.ndarray
    tail: np.ndarray
    body_light: tuple[np.ndarray, ...]
    head_light: tuple[np.ndarray, ...]
    paws: tuple[np.ndarray, ...]
    ears: tuple[np.ndarray, ...]
    eyes: np.ndarray
    nose_radius: float
    keypoints: np.ndarray


def _walk(start: np.ndarray, angles: np.ndarray, step: float) -> np.ndarray:
    """Return the points of a line that starts at `start` and turns to `angles`, (n, 2)."""
    points = np.empty((angles.size, 2))
    points[0] = start
    half = 0.5 * (angles[1:] + angles[:-1])
    points[1:, 0] = start[0] + np.cumsum(np.cos(half)) * step
    points[1:, 1] = start[1] + np.cumsum(np.sin(half)) * step
    return points


def _ribbon(line: np.ndarray, normals: np.ndarray, widths: np.ndarray) -> np.ndarray:
    side = normals * widths[:, None]
    return np.concatenate([line + side, (line - side)[::-1]])


def _ellipse(centre: np.ndarray, angle: float, long: float, short: float) -> np.ndarray:
    c, s = math.cos(angle), math.sin(angle)
    turn = np.array([[c * long, s * long], [-s * short, c * short]])
    return np.asarray(centre + _UNIT_CIRCLE @ turn)


def shapes(pose: Pose, scale: float) -> Shapes:
    """Work out every outline and keypoint of one pose.

    Parameters
    ----------
    pose : Pose
        The animal's state.
    scale : float
        Size of the animal, see `castle_core.demo.motion.animal_scale`.
    """
    length = _BODY_LENGTH * scale * pose.length
    width = _HALF_WIDTH * scale * pose.width
    angles = pose.heading + pose.curl * _S
    spine = _walk(np.zeros(2), angles, length / (_S.size - 1))
    spine += np.array([pose.x, pose.y]) - spine[8]
    normals = np.stack([-np.sin(angles), np.cos(angles)], axis=1)
    profile = _PROFILE * width
    tangents = np.stack([normals[:, 1], -normals[:, 0]], axis=1)

    head_angle = angles[-1] + pose.head_turn
    forward = np.array([math.cos(head_angle), math.sin(head_angle)])
    right = np.array([-forward[1], forward[0]])
    head_length = _HEAD_LENGTH * scale * pose.head_scale
    neck = spine[-1]
    head_line = neck + np.outer(_H * head_length - 0.12 * head_length, forward)
    head_width = _HEAD_PROFILE * 0.37 * head_length
    head_normals = np.broadcast_to(right, head_line.shape)
    nose = head_line[-1]

    tail_angles = angles[0] + math.pi + pose.tail_bend * _T + 0.28 * np.sin(pose.sway + 3.2 * _T) * _T
    tail_line = _walk(spine[0] + tangents[0] * 2.0 * scale, tail_angles, _TAIL_LENGTH * scale / (_T.size - 1))
    tail_normals = np.stack([-np.sin(tail_angles), np.cos(tail_angles)], axis=1)

    paw_centres, paws = [], []
    swing = 9.0 * scale * pose.stride
    for index, side, phase, reach in (
        (14, -1, 0.0, 0.98),
        (14, 1, math.pi, 0.98),
        (3, -1, math.pi, 1.02),
        (3, 1, 0, 1.02),
    ):
        along = swing * math.sin(pose.gait + phase)
        ahead = (6.0 if index == 14 else -2.0) * scale * pose.length
        centre = spine[index] + tangents[index] * (along + ahead) + normals[index] * reach
        paw_centres.append(centre)
        big = 8.5 if index == 3 else 7.0
        paws.append(_ellipse(centre, float(angles[index]) + 0.25 * side, big * scale, 0.55 * big * scale))

    ear_centres = [neck + forward * 0.16 * head_length + right * side * 0.36 * head_length for side in (-1, 1)]
    ear = 8.2 * scale * pose.head_scale
    ears = tuple(
        _ellipse(c, head_angle + 0.5 * side, ear, 0.8 * ear) for c, side in zip(ear_centres, (-1, 1), strict=True)
    )
    eyes = np.stack([neck + forward * 0.48 * head_length + right * side * 0.2 * head_length for side in (-1, 1)])

    return Shapes(
        body=_ribbon(spine, normals, profile),
        head=_ribbon(head_line, head_normals, head_width),
        tail=_ribbon(tail_line, tail_normals, _TAIL_PROFILE * scale),
        body_light=tuple(_ribbon(spine[1:-1], normals[1:-1], profile[1:-1] * f) for f in (0.72, 0.42)),
        head_light=(_ribbon(head_line[1:-1], head_normals[1:-1], head_width[1:-1] * 0.55),),
        paws=tuple(paws),
        ears=ears,
        eyes=eyes,
        nose_radius=2.6 * scale * pose.head_scale,
        keypoints=np.stack([nose, *ear_centres, neck, spine[8], spine[0], tail_line[7], tail_line[-1], *paw_centres]),
    )
