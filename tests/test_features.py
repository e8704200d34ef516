"""Gradient histograms: what they see and what they do not."""

import numpy as np
import pytest

from castle_core.features import gradient_histograms, pixel_features


def stripes(angle_deg, size=64, period=8):
    y, x = np.mgrid[:size, :size]
    along = x * np.cos(np.radians(angle_deg)) + y * np.sin(np.radians(angle_deg))
    return (127 + 100 * np.sin(2 * np.pi * along / period)).astype(np.uint8)


def test_shape_length_and_type():
    gray = np.random.default_rng(0).integers(0, 256, (5, 48, 64), dtype=np.uint8)
    rows = gradient_histograms(gray)
    assert rows.shape == (5, 8 * 8 * 9)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    assert pixel_features(gray).shape[0] == 5


@pytest.mark.parametrize("angle", [0, 40, 80, 120, 160])
def test_the_orientation_lands_in_its_bin(angle):
    rows = gradient_histograms(stripes(angle)[None]).reshape(64, 9)
    strongest = rows.sum(axis=0).argmax()
    apart = abs(strongest - angle / 20)
    assert min(apart, 9 - apart) <= 1


def test_brightness_contrast_and_sign_do_not_matter():
    picture = stripes(30)
    paler = (picture // 2 + 90).astype(np.uint8)
    rows = gradient_histograms(np.stack([picture, paler, 255 - picture]))
    assert rows[0] @ rows[1] > 0.98
    assert rows[0] @ rows[2] > 0.98
    assert gradient_histograms(np.stack([picture, stripes(120)]))[0] @ rows[0] > 0.99
    assert gradient_histograms(stripes(120)[None])[0] @ rows[0] < 0.6


def test_a_flat_picture_is_zero_and_a_batch_equals_its_parts():
    gray = np.random.default_rng(1).integers(0, 256, (7, 30, 41), dtype=np.uint8)
    gray[3] = 80
    together = gradient_histograms(gray)
    assert not together[3].any()
    np.testing.assert_array_equal(together, np.concatenate([gradient_histograms(one[None]) for one in gray]))


def test_wrong_shapes_are_refused():
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((1, 0, 4), np.uint8)):
        with pytest.raises(ValueError):
            gradient_histograms(wrong)
