"""Pooling against the formulas, written out."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from castle_core.pooling import cell_weights, pool_global, pool_points, pool_weighted, to_cells


def test_roi_mean_is_the_weighted_mean_and_absent_rois_are_nan():
    rng = np.random.default_rng(0)
    mask = np.zeros((28, 28), np.uint8)
    mask[3:20, 5:17] = 2
    tokens = rng.normal(size=(1, 2, 2, 5)).astype(np.float32)
    weights = np.stack([cell_weights(mask, roi, 14) for roi in (2, 7, 0)])[None]
    pooled = pool_weighted(torch.from_numpy(tokens), torch.from_numpy(weights)).numpy()[0]
    pixels = tokens[0].repeat(14, axis=0).repeat(14, axis=1)
    np.testing.assert_allclose(pooled[0], pixels[mask == 2].mean(axis=0), rtol=1e-5)
    assert np.isnan(pooled[1]).all()
    np.testing.assert_allclose(pooled[2], tokens[0].mean(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(pool_global(torch.from_numpy(tokens)).numpy()[0], pooled[2], rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(x=st.floats(-0.5, 111.5), y=st.floats(-0.5, 111.5), side=st.sampled_from([1, 4, 8]))
def test_a_map_of_its_own_coordinates_gives_the_point_back(x, y, side):
    cell = 112 / side
    centres = (np.arange(side) + 0.5) * cell - 0.5
    grid = np.stack(np.meshgrid(centres, centres), axis=-1).astype(np.float32)[None]
    cells = to_cells(np.array([[[x, y]]]), 112, side)
    read = pool_points(torch.from_numpy(grid), cells).numpy()[0, 0]
    # Beyond the outermost cell centres the edge cell counts.
    expected = np.clip([x, y], centres[0], centres[-1])
    assert np.abs(read - expected).max() < 0.05 * cell
    nearest = pool_points(torch.from_numpy(grid), cells, interpolation="nearest").numpy()[0, 0]
    assert np.abs(nearest - expected).max() <= 0.5 * cell + 1e-3


@pytest.mark.parametrize("point", [(np.nan, 3.0), (-0.6, 3.0), (3.0, 111.6)])
def test_missing_and_outside_points_are_nan(point):
    tokens = torch.ones((1, 4, 4, 3))
    cells = to_cells(np.array([[point]]), 112, 4)
    for interpolation in ("bilinear", "nearest"):
        assert torch.isnan(pool_points(tokens, cells, interpolation=interpolation)).all()
