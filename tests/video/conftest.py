"""Videos that tests of this folder share; each is made once a session."""

import av  # noqa: TID251
import numpy as np
import pytest
import zoo

from castle_core.video.pixels import Converter


@pytest.fixture(scope="session")
def video_file(tmp_path_factory):
    """Return a function: name in the zoo → path."""
    folder = tmp_path_factory.mktemp("zoo")
    made = {}

    def path_of(name):
        if name not in made:
            made[name] = zoo.make(zoo.ZOO[name], folder, name)
        return made[name]

    return path_of


@pytest.fixture(scope="session")
def straight():
    """Return a function: path → (n, H, W, 3) RGB of plain decoding from the start, without our decoder and index."""

    def frames_of(path):
        with av.open(str(path)) as container:
            frames = list(container.decode(video=0))
            converter = Converter(frames[0].rotation % 360)
            return np.stack([converter.rgb(frame) for frame in frames])

    return frames_of
