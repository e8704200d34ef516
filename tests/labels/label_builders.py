"""Made-up labels and projects with images for the label tests."""

from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from castle_core.labels import Labels
from castle_core.projects import Project
from castle_core.video.images import encode_png

ODD_NAMES = ("nose", "a<b&\"c'", "Ohr links", "Äuglein", "脚", "x,y", "100%", "p/q", "left_ear")


def frame(number, stem="v", width=8):
    return f"labeled-data/{stem}/img{number:0{width}d}.png"


def with_images(folder: Path, labels: Labels, sizes=((64, 48), (40, 30))) -> Project:
    """Make a project that has the images of `labels`, of different sizes."""
    project = Project.create(folder)
    for place, path in enumerate(labels.frames):
        width, height = sizes[place % len(sizes)]
        target = project.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(encode_png(np.full((height, width, 3), 40 + place % 200, np.uint8)))
    return project


@st.composite
def labels(draw, *, animals: bool = True, visible: bool = True, plain_names: bool = False) -> Labels:
    """Labels with gaps, one to 60 keypoints, odd names, one or several animals that differ in keypoints."""
    n_keypoints = draw(st.sampled_from([1, 2, 3, 60]))
    pool = [f"k{i}" for i in range(60)] if plain_names else [*ODD_NAMES, *(f"k{i}" for i in range(60))]
    keypoints = tuple(draw(st.permutations(pool))[:n_keypoints])
    individuals = draw(st.sampled_from([("",), ("m1", "m <2>"), ("m1", "m2", "single")])) if animals else ("",)
    stems = draw(st.lists(st.sampled_from(["v", "day 1", "Käfig", ""]), min_size=1, max_size=3, unique=True))
    numbers = draw(st.lists(st.integers(0, 10**6), min_size=1, max_size=4, unique=True))
    frames = tuple(
        sorted({f"labeled-data/{stem}/img{n:08d}.png".replace("//", "/") for stem in stems for n in numbers})
    )
    shape = (len(frames), len(individuals), n_keypoints)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    xy = random.uniform(-5, 2000, (*shape, 2))
    xy[random.random(shape) < draw(st.sampled_from([0.0, 0.3, 0.9]))] = np.nan
    has = np.ones(shape[1:], bool)
    if len(individuals) > 1:
        has = random.random(shape[1:]) < 0.7
        has[0] |= ~has.any(axis=0)
        has[~has.any(axis=1), 0] = True
    xy[:, ~has] = np.nan
    seen = None
    if visible and draw(st.booleans()):
        seen = np.where(np.isfinite(xy[..., 0]), random.integers(1, 3, shape), 0.0)
        seen[:, ~has] = np.nan
    empty = ~np.isfinite(xy[..., 0]).any(axis=(1, 2))
    none = frozenset(f for f, no in zip(frames, empty, strict=True) if no)
    return Labels(keypoints, individuals, frames, xy, seen, "Dr. Müller", none, has)
