"""Planted mistakes are found, and come first."""

from dataclasses import replace

import numpy as np
import pytest
from label_builders import frame, with_images

from castle_core.labels import Labels, read_collected_data, update_project_labels
from castle_core.labels.check_project import check_project
from castle_core.labels.checking import check_labels
from castle_core.labels.pictures import draw_labels
from castle_core.labels.sides import side_pairs


@pytest.fixture(scope="module")
def walking():
    """An animal with a nose, two ears and a tail base that walks and turns; labelled to a pixel."""
    random = np.random.default_rng(1)
    body = np.array([[30, 0], [15, 9], [15, -9], [-30, 0]], float)
    angle = random.uniform(0, 2 * np.pi, 80)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(-1, 2, 2)
    xy = np.einsum("nij,kj->nki", turn, body) + random.uniform(60, 300, (80, 1, 2)) + random.normal(0, 0.7, (80, 4, 2))
    names = ("nose", "left_ear", "right_ear", "tail")
    return Labels(names, ("",), tuple(frame(i) for i in range(80)), xy[:, None])


def test_a_moved_point_comes_first(walking):
    xy = walking.xy.copy()
    xy[33, 0, 0] += (25, -10)
    found = check_labels(replace(walking, xy=xy), skeleton=[("nose", "tail")])
    assert found.frames[0].frame == frame(33)
    assert {finding.kind for finding in found.frames[0].findings} == {"pca", "bone"}
    assert "nose" in found.frames[0].findings[0].keypoints
    assert len(found.suspicious) <= 4


def test_exchanged_sides_are_named(walking):
    xy = walking.xy.copy()
    xy[[12, 40], 0, 1], xy[[12, 40], 0, 2] = xy[[12, 40], 0, 2], xy[[12, 40], 0, 1].copy()
    found = check_labels(replace(walking, xy=xy))
    assert {check.frame for check in found.frames[:2]} == {frame(12), frame(40)}
    for check in found.frames[:2]:
        assert [finding.kind for finding in check.findings] == ["swap"]
        assert check.findings[0].keypoints == ("left_ear", "right_ear")


def test_few_labels_are_checked_for_what_is_possible(walking):
    found = check_labels(walking.take(range(6)), sizes={frame(2): (50, 50)})
    assert "once about" in found.notes[0]
    assert [check.frame for check in found.suspicious] == [frame(2)]
    assert found.suspicious[0].findings[0].kind == "outside"
    one = Labels(("a",), ("",), (frame(1),), np.zeros((1, 1, 1, 2)))
    assert check_labels(one).suspicious == ()


def test_gaps_empty_frames_and_counts(walking):
    xy = walking.xy.copy()
    xy[5] = np.nan
    xy[6, 0, 1:] = np.nan
    xy[7, 0, 2] = xy[7, 0, 1]
    found = check_labels(replace(walking, xy=xy, no_animal=frozenset({frame(5)})))
    assert found.per_keypoint == {"nose": 79, "left_ear": 78, "right_ear": 78, "tail": 78}
    assert found.per_video == {"v": (80, 79 + 3 * 78, 1)}
    assert any(f.kind == "same place" for check in found.frames if check.frame == frame(7) for f in check.findings)
    assert len(found.to_json()["suspicious"]) == len(found.suspicious)


def test_several_animals_are_compared_with_their_like(walking):
    xy = np.concatenate([walking.xy, walking.xy + 50], axis=1)
    xy[20, 1, 3] += 30
    found = check_labels(replace(walking, xy=xy, individuals=("a", "b"), has=np.ones((2, 4), bool)))
    assert found.frames[0].frame == frame(20)
    assert found.frames[0].findings[0].individual == "b"


def test_pairs_by_name():
    def pairs(*names):
        return [(names[a], names[b]) for a, b in side_pairs(names)]

    assert pairs("nose", "leftear", "rightear") == [("leftear", "rightear")]
    assert pairs("ear_L", "ear_R", "tail") == [("ear_L", "ear_R")]
    assert pairs("R_hip", "L_hip", "Left Knee", "Right Knee") == [("L_hip", "R_hip"), ("Left Knee", "Right Knee")]
    assert pairs("paw1LH_top", "paw4RH_top", "paw1LH_bot", "paw4RH_bot") == [
        ("paw1LH_top", "paw4RH_top"),
        ("paw1LH_bot", "paw4RH_bot"),
    ]
    assert pairs("tail1", "tail2", "leg", "rear", "LED") == []


def test_planted_mistakes_in_real_labels(shared_data):
    labels = read_collected_data(shared_data / "lp_mirror_mouse" / "CollectedData.csv")
    ranks = []
    for row in range(3, 90, 12):
        xy = labels.xy.copy()
        k = next(k for k in (6, 0, 8) if np.isfinite(xy[row, 0, k, 0]))
        xy[row, 0, k] += 45
        found = check_labels(replace(labels, xy=xy))
        ranks.append([check.frame for check in found.frames].index(labels.frames[row]))
    assert max(ranks) <= 6
    assert np.median(ranks) <= 1


def test_pictures_show_the_points(tmp_path):
    labels = Labels(("a", "b"), ("",), (frame(1),), np.array([[[[10.0, 10], [50, 40]]]]))
    image = np.zeros((48, 64, 3), np.uint8)
    plain = draw_labels(image, labels, 0, names=False)
    assert plain.shape == (480, 640, 3)
    assert plain[104, 104].max() > 150, "the point is at ten times its place"
    assert plain[300, 100].max() == 0
    joined = draw_labels(image, labels, 0, names=False, skeleton=[("a", "b")], marked=[("", "a")])
    assert joined[254, 304].min() > 100
    assert joined[104, 104 + 11].max() > 150


def test_a_projects_labels(tmp_path):
    labels = Labels(("a", "b"), ("",), (frame(1), frame(2)), np.array([[[[1.0, 1], [70, 4]]], [[[1, 2], [3, 4]]]]))
    project = with_images(tmp_path / "p", labels, sizes=((64, 48),))
    update_project_labels(project, labels)
    (project.path / frame(2)).unlink()
    found = check_project(project)
    assert [check.frame for check in found.suspicious] == [frame(1)]
