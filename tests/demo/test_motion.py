import itertools

import numpy as np

from castle_core.demo.body import KEYPOINTS, shapes
from castle_core.demo.models import MadeUpModel
from castle_core.demo.motion import BEHAVIOURS, animal_scale, poses
from castle_core.mask_writer import MaskListWriter

WIDTH, HEIGHT, FPS = 640, 480, 30.0


def recording(seconds, seed=0):
    stream = poses(np.random.SeedSequence(seed), WIDTH, HEIGHT, FPS)
    return list(itertools.islice(stream, round(seconds * FPS)))


def test_a_minute_holds_every_behaviour_and_long_rests():
    seen = [pose.behaviour for pose in recording(60)]
    assert set(seen) == set(BEHAVIOURS)
    rare = np.mean([name in {"groom", "rear", "stretch"} for name in seen])
    assert 0.02 < rare < 0.25
    assert np.mean([name == "rest" for name in seen]) > 0.2


def test_rare_poses_look_different():
    frames = recording(120)
    by_name = {name: [p for p in frames if p.behaviour == name][15:] for name in BEHAVIOURS}
    assert max(abs(pose.curl) for pose in by_name["groom"]) > 2.0
    assert min(pose.length for pose in by_name["rear"]) < 0.7
    assert max(pose.length for pose in by_name["stretch"]) > 1.25
    steps = [abs(b.x - a.x) + abs(b.y - a.y) for a, b in itertools.pairwise(by_name["rest"])]
    assert np.median(steps) < 0.5


def test_the_animal_stays_in_the_picture():
    scale = animal_scale(WIDTH, HEIGHT)
    points = np.stack([shapes(pose, scale).keypoints for pose in recording(60, seed=3)])
    body = points[:, [KEYPOINTS.index(name) for name in ("nose", "neck", "spine", "tail_base")]]
    assert (body > 0).all()
    assert (body < (WIDTH, HEIGHT)).all()


def test_the_good_model_never_errs_and_the_other_one_often_enough():
    truth = np.zeros((len(KEYPOINTS), 2))
    good = MadeUpModel(np.random.SeedSequence(1), 0.6, 1.0, FPS)
    erring = MadeUpModel(np.random.SeedSequence(1), 0.9, 1.0, FPS, errs=True)
    far = []
    kinds = set()
    for _ in range(3600):
        assert np.abs(good.predict(truth, "groom")[0][:, :2]).max() < 10
        prediction, kind = erring.predict(truth, "walk")
        assert ((prediction[:, 2] >= 0) & (prediction[:, 2] <= 1)).all()
        kinds.add(kind)
        far.append(np.linalg.norm(prediction[:, :2], axis=1).max() > 20)
    assert kinds == {"", "jump", "swap", "drift", "lost"}
    assert 0.03 < np.mean(far) < 0.2


def test_masks_come_back_exactly(tmp_path):
    import h5py

    rng = np.random.default_rng(0)
    wanted = []
    with MaskListWriter(tmp_path / "m.h5", width=150, height=100, n_rois=3) as writer:
        for x0, y0, x1, y1 in ((0, 0, 150, 100), (10, 20, 40, 50), (90, 60, 150, 100), (5, 5, 5, 5)):
            mask = np.zeros((100, 150), np.uint8)
            mask[y0:y1, x0:x1] = rng.integers(0, 4, (y1 - y0, x1 - x0))
            writer.write(mask, (x0, y0, x1, y1))
            wanted.append(mask)
    with h5py.File(tmp_path / "m.h5") as file:
        for index, mask in enumerate(wanted):
            assert np.array_equal(file[str(index)][()], mask)
