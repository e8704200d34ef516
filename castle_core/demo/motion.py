"""How the made-up animal moves: a seeded state machine of behaviours whose pose glides from one to the next."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

BEHAVIOURS = ("walk", "rest", "sniff", "groom", "rear", "stretch")
RARE_BEHAVIOURS = ("groom", "rear", "stretch")

# One deck holds each behaviour between two walks; it is shuffled anew when it is used up, so that rare poses come
# in every half minute and yet never make up much of a recording.
_DECK = ("rest", "sniff", "groom", "rest", "sniff", "rear", "rest", "stretch")
_SECONDS = {
    "walk": (1.0, 2.8),
    "rest": (2.0, 6.5),
    "sniff": (0.8, 2.0),
    "groom": (1.2, 2.2),
    "rear": (0.8, 1.5),
    "stretch": (0.9, 1.6),
}


@dataclass(slots=True)
class Pose:
    """The state of the animal in one frame.

    Attributes
    ----------
    x, y : float
        Middle of the body, pixels, x to the right and y down.
    heading : float
        Direction of the body's middle, radians from +x towards +y.
    length, width : float
        Factors on the body's length and width at rest.
    curl : float
        Angle by which the spine bends from the tail base to the neck, radians.
    head_turn : float
        Angle of the head against the neck, radians.
    head_scale : float
        Factor on the head's size (nearer to the camera when the animal rears).
    spread : float
        Factor on how far the paws stand out.
    stride : float
        Factor on how far the paws swing.
    gait, sway : float
        Phases of the paws and of the tail, radians.
    tail_bend : float
        Angle by which the tail bends, radians.
    behaviour : str
        One of `BEHAVIOURS`.
    """

    x: float
    y: float
    heading: float
    length: float = 1.0
    width: float = 1.0
    curl: float = 0.0
    head_turn: float = 0.0
    head_scale: float = 1.0
    spread: float = 1.0
    stride: float = 0.0
    gait: float = 0.0
    sway: float = 0.0
    tail_bend: float = 0.0
    behaviour: str = "walk"


def animal_scale(width: int, height: int) -> float:
    """Return the animal's size for a frame of this size: 1.0 at 640 x 480."""
    return min(width / 640, height / 480)


def poses(seed: np.random.SeedSequence, width: int, height: int, fps: float) -> Iterator[Pose]:
    """Yield one pose a frame without end.

    Parameters
    ----------
    seed : numpy.random.SeedSequence
        The same seed gives the same poses; a longer recording begins with the shorter one.
    width, height : int
        Size of the frame in pixels; the animal stays inside.
    fps : float
        Frames a second; movements take the same time at every rate.

    Yields
    ------
    Pose
        A new object for every frame.
    """
    rng = np.random.default_rng(seed)
    scale = animal_scale(width, height)
    margin_x, margin_y = 0.17 * width, 0.2 * height
    dt = 1.0 / fps

    def waypoint() -> tuple[float, float]:
        return float(rng.uniform(margin_x, width - margin_x)), float(rng.uniform(margin_y, height - margin_y))

    x, y = waypoint()
    pose = Pose(x, y, float(rng.uniform(-math.pi, math.pi)))
    target = waypoint()
    deck: list[str] = []
    behaviour, left, speed, side, clock, fast = "walk", float(rng.uniform(1.0, 2.0)), 150.0, 1.0, 0.0, 0.0
    while True:
        if left <= 0:
            if behaviour == "walk":
                if not deck:
                    deck = [str(name) for name in rng.permutation(_DECK)]
                behaviour = deck.pop()
            else:
                behaviour = "walk"
                target = waypoint()
            low, high = _SECONDS[behaviour]
            left = float(rng.uniform(low, high))
            side = float(rng.choice((-1.0, 1.0)))
            speed = float(rng.uniform(90, 230)) * scale
        left -= dt
        clock += dt

        want_speed, turn_rate = 0.0, 0.0
        length = width_factor = spread = head_scale = 1.0
        curl = head_turn = tail_bend = stride = 0.0
        pace = 0.14  # seconds in which the body glides most of the way to the wanted pose
        if behaviour in {"walk", "stretch"}:
            dx, dy = target[0] - pose.x, target[1] - pose.y
            if math.hypot(dx, dy) < 30 * scale:
                target = waypoint()
            error = math.remainder(math.atan2(dy, dx) - pose.heading, 2 * math.pi)
            turn_rate = max(-2.8, min(2.8, 3.0 * error))
            want_speed = speed * (1.0 if abs(error) < 1.0 else 0.45)
            curl, head_turn, tail_bend = 0.28 * turn_rate, 0.12 * turn_rate, -0.35 * turn_rate
            stride = 1.0
            if behaviour == "stretch":
                want_speed, turn_rate, curl, head_turn = 12.0 * scale, 0.0, 0.0, 0.0
                length, width_factor, spread, stride, pace = 1.38, 0.8, 1.15, 0.15, 0.22
        elif behaviour == "rest":
            length = 0.93 + 0.006 * math.sin(2 * math.pi * 1.6 * clock)
            width_factor, spread, curl, tail_bend = 1.07, 0.72, 0.18 * side, 0.9 * side
            pace = 0.3
        elif behaviour == "sniff":
            head_turn = 0.75 * math.sin(2 * math.pi * 0.9 * clock)
            curl, tail_bend = 0.25 * head_turn, 0.3 * side
        elif behaviour == "groom":
            curl = side * 2.55
            head_turn = side * (0.75 + 0.16 * math.sin(2 * math.pi * 4.5 * clock))
            length, width_factor, spread, tail_bend, pace = 0.95, 1.08, 0.8, 1.5 * side, 0.2
        else:  # rear: seen from above the body is short and round, and the head comes nearer
            length, width_factor, head_scale, spread = 0.52, 1.16, 1.28, 0.85
            head_turn, pace = 0.3 * math.sin(2 * math.pi * 0.8 * clock), 0.16

        blend = 1.0 - math.exp(-dt / pace)
        fast += (want_speed - fast) * blend
        heading = pose.heading + turn_rate * dt
        x = min(max(pose.x + fast * dt * math.cos(heading), 0.95 * margin_x), width - 0.95 * margin_x)
        y = min(max(pose.y + fast * dt * math.sin(heading), 0.95 * margin_y), height - 0.95 * margin_y)
        pose = Pose(
            x,
            y,
            heading,
            length=pose.length + (length - pose.length) * blend,
            width=pose.width + (width_factor - pose.width) * blend,
            curl=pose.curl + (curl - pose.curl) * blend,
            head_turn=pose.head_turn + (head_turn - pose.head_turn) * blend,
            head_scale=pose.head_scale + (head_scale - pose.head_scale) * blend,
            spread=pose.spread + (spread - pose.spread) * blend,
            stride=pose.stride + (stride - pose.stride) * blend,
            gait=pose.gait + fast * dt / (11.0 * scale),
            sway=pose.sway + (0.4 + fast / (60.0 * scale)) * 2.2 * dt,
            tail_bend=pose.tail_bend + (tail_bend - pose.tail_bend) * blend * 0.5,
            behaviour=behaviour,
        )
        yield pose
