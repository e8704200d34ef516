"""The canvas's objects and our drawings: the same pixels both ways, wherever the browser put the objects."""

import math

import numpy as np
import pytest

from castle_core.palette import roi_colour
from castle_core.prompts import Prompt, prompt_mask
from ui.canvas_objects import LINE, CanvasSize, mask_of_picture, stroke_colour, to_objects, to_prompts

SIZE = CanvasSize.fitting(640, 480, 600)


def drawings() -> list[Prompt]:
    mask = np.zeros((480, 640), bool)
    mask[100:200, 300:333] = True
    mask[120:130, 310:315] = False
    return [
        Prompt(4, 1, "box", [10.5, 20, 300, 400.25]),
        Prompt(4, 2, "polygon", [[3, 4], [200.5, 60], [90, 300]]),
        Prompt(4, 2, "brush", [[30, 40], [200.5, 60], [250, 100]], radius=12.5),
        Prompt(4, 2, "brush", [[50, 45]], False, radius=4),
        Prompt(4, 9, "point", [[30, 40], [200.5, 60]], [True, False]),
        Prompt(4, 255, "mask", mask),
    ]


@pytest.mark.parametrize("width", [320, 600, 640, 900, 1800])
def test_drawings_come_back_at_any_zoom(width):
    size = CanvasSize.fitting(640, 480, width)
    back = to_prompts(to_objects(drawings(), size), 4, size)
    assert [(p.roi, p.kind) for p in back] == [(p.roi, p.kind) for p in drawings()]
    for before, after in zip(drawings(), back, strict=True):
        assert np.array_equal(before.positive, after.positive)
        if before.kind == "mask":
            assert np.array_equal(before.data, after.data)
        elif len(before.data) == len(after.data):
            assert np.abs(before.data - after.data).max() < 0.2
        assert abs(before.radius - after.radius) < 1e-6


def polygon(**place):
    points = [[100, 100], [200, 100], [200, 160], [100, 160]]
    value = {"type": "Polygon", "stroke": roi_colour(1), "strokeWidth": LINE, "strokeUniform": True}
    value |= {"points": [{"x": x, "y": y} for x, y in points], "left": 150, "top": 130}
    return value | {"originX": "center", "originY": "center"} | place


def corners(value) -> np.ndarray:
    size = CanvasSize(640, 480, 640, 480)
    (prompt,) = to_prompts([value], 0, size)
    return prompt.data


def test_a_moved_stretched_and_turned_polygon_is_read_at_its_true_place():
    start = corners(polygon())
    assert np.allclose(start, [[100, 100], [200, 100], [200, 160], [100, 160]])
    assert np.allclose(corners(polygon(left=250, top=110)), start + np.array([100, -20]))
    assert np.allclose(corners(polygon(scaleX=2, scaleY=0.5))[:, 0], [50, 250, 250, 50])
    turned = corners(polygon(angle=90))
    assert np.allclose(turned[0], [180, 80])
    assert np.allclose(corners(polygon(flipX=True))[0], [200, 100])
    assert np.allclose(corners(polygon(angle=30, left=300)).mean(axis=0), [300, 130])


def test_the_origin_at_the_corner_counts_the_outline():
    line = {"originX": "left", "originY": "top", "left": 100 - LINE / 2, "top": 100 - LINE / 2}
    assert np.allclose(corners(polygon(**line)), corners(polygon()))
    turned = {**line, "angle": 40}
    centre = corners(polygon(**turned)).mean(axis=0)
    half = np.array([50 + LINE / 2, 30 + LINE / 2])
    a = math.radians(40)
    turn = np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
    assert np.allclose(centre, np.array([99, 99]) + turn @ half)


def rectangle(**place):
    value = {"type": "Rect", "stroke": roi_colour(3), "strokeWidth": LINE, "strokeUniform": True}
    return value | {"left": 40, "top": 50, "width": 100, "height": 60, "originX": "left", "originY": "top"} | place


def test_a_rectangle_runs_from_mouse_down_to_mouse_up():
    assert np.allclose(corners(rectangle()), [40, 50, 140, 110])
    stretched = corners(rectangle(scaleX=2))
    assert np.abs(stretched - [40, 50, 242, 110]).max() <= 1 + 1e-9
    (turned,) = to_prompts([rectangle(angle=30)], 0, SIZE)
    assert turned.kind == "polygon"


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        {},
        rectangle(stroke="#123456"),
        rectangle(width=2, height=2),
        rectangle(left="x"),
        rectangle(left=float("nan")),
        rectangle(left=1e9),
        rectangle(left=-500),
        rectangle(originX="nowhere"),
        polygon(points=[]),
        polygon(points="abc"),
        {"type": "Image", "stroke": roi_colour(1), "src": "https://elsewhere.example/x.png"},
        {"type": "Image", "stroke": roi_colour(1), "src": "data:image/png;base64,iVBORw0KGgo="},
        {"type": "Path", "stroke": roi_colour(1), "path": [["Q", 1, 2]], "left": 0, "top": 0, "strokeWidth": 2},
        {"type": "Circle", "stroke": roi_colour(1), "radius": 5, "left": 5000, "top": 5000},
    ],
)
def test_what_a_browser_should_not_send_is_passed_over(value):
    assert to_prompts([value, rectangle()], 0, SIZE) == to_prompts([rectangle()], 0, SIZE)


def test_a_mask_of_another_size_is_refused_before_it_is_unpacked():
    src = to_objects([drawings()[5]], SIZE)[0]["src"]
    assert mask_of_picture(src, 480, 640).sum() > 0
    with pytest.raises(ValueError, match="another size"):
        mask_of_picture(src, 640, 480)


def test_every_roi_has_its_own_colours():
    colours = [stroke_colour(roi, kind) for roi in range(1, 256) for kind in ("outline", "brush", "erase")]
    assert len(set(colours)) == len(colours)
    assert [roi_colour(1), roi_colour(7)] == ["#7ae4f0", "#fbc471"]


def test_a_painted_path_covers_what_was_painted():
    path = [["M", 100, 100], ["Q", 150, 100, 200, 100], ["L", 300, 100]]
    value = {"type": "Path", "path": path, "stroke": stroke_colour(1, "brush"), "strokeWidth": 20}
    value |= {"left": 200, "top": 100, "originX": "center", "originY": "center"}
    size = CanvasSize(640, 480, 640, 480)
    mask = prompt_mask(to_prompts([value], 0, size), 480, 640)
    ys, xs = np.nonzero(mask)
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (90, 309, 90, 109)
