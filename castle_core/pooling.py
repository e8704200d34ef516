"""From a grid of patch tokens to one vector: ROI mean, global mean, and the value at a point.

Arrays in, arrays out; everything is computed in fp32 whatever the tokens' precision.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt


def cell_weights(mask: npt.NDArray[np.uint8], roi_id: int, patch_size: int) -> npt.NDArray[np.float32]:
    """Count the pixels of one ROI in each patch.

    Parameters
    ----------
    mask : (..., S, S) uint8 array
        ROI ids in the geometry of the encoder's input; 0 is background.
    roi_id : int
        1 … 255, or 0 for the whole picture (every pixel counts).
    patch_size : int
        Edge of a patch (pixels); divides S.

    Returns
    -------
    (..., S / patch_size, S / patch_size) float32 array
        Pixels of the ROI in each cell; all zero if the ROI is not in the picture.
    """
    *many, size, _ = mask.shape
    side = size // patch_size
    if roi_id == 0:
        return np.full((*many, side, side), patch_size * patch_size, np.float32)
    hits = (mask == roi_id).view(np.uint8).reshape(*many, side, patch_size, size)
    rows = hits.sum(axis=-2, dtype=np.int32)  # along whole rows first: several times as fast as both axes at once
    return np.asarray(rows.reshape(*many, side, side, patch_size).sum(axis=-1), np.float32)


def pool_weighted(patch_tokens: Any, weights: Any) -> Any:
    """Average patch tokens with weights: CASTLE's latent, ``sum(w · token) / sum(w)``.

    Parameters
    ----------
    patch_tokens : torch.Tensor
        (B, h, w, D), any precision.
    weights : torch.Tensor
        (B, R, h, w) float32, one grid of weights a ROI.

    Returns
    -------
    torch.Tensor
        (B, R, D) float32. A ROI without any weight gives NaN, never zeros.
    """
    tokens = patch_tokens.flatten(1, 2).float()
    flat = weights.flatten(2).to(tokens.device)
    total = flat.sum(dim=2, keepdim=True)
    mean = (flat @ tokens) / total.clamp(min=1e-6)
    return mean.masked_fill(total == 0, float("nan"))


def pool_global(patch_tokens: Any) -> Any:
    """Average all cells: (B, h, w, D) → (B, D) float32."""
    return patch_tokens.float().mean(dim=(1, 2))


def pool_points(
    patch_tokens: Any, points: npt.NDArray[np.float64], *, interpolation: Literal["bilinear", "nearest"] = "bilinear"
) -> Any:
    """Read the feature map at points.

    A point (x, y) of the map's picture lies at ``(x + 0.5) · w / W - 0.5`` in cells, so that the middle of a patch is
    exactly its cell; `to_cells` does that. Between the outermost cell centres and the border the edge cell counts.

    Parameters
    ----------
    patch_tokens : torch.Tensor
        (B, h, w, D), any precision.
    points : (B, P, 2) float64 array
        x and y in cells; NaN where the point is missing or outside the picture.
    interpolation : {"bilinear", "nearest"}
        Bilinear between the four cells around, or the nearest cell.

    Returns
    -------
    torch.Tensor
        (B, P, D) float32; NaN where the point is NaN.
    """
    import torch

    tokens = patch_tokens.float()
    _, height, width, _ = tokens.shape
    batch = np.arange(len(points))[:, None]
    missing = np.isnan(points).any(axis=2)
    x = np.clip(np.where(missing, 0, points[..., 0]), 0, width - 1)
    y = np.clip(np.where(missing, 0, points[..., 1]), 0, height - 1)

    def at(row: npt.NDArray[np.int64], column: npt.NDArray[np.int64]) -> Any:
        return tokens[
            torch.from_numpy(np.broadcast_to(batch, row.shape).copy()), torch.from_numpy(row), torch.from_numpy(column)
        ]

    if interpolation == "nearest":
        values = at(np.floor(y + 0.5).astype(np.int64), np.floor(x + 0.5).astype(np.int64))
    else:
        x0, y0 = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
        x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
        fx = torch.from_numpy(x - x0).to(tokens)[..., None]
        fy = torch.from_numpy(y - y0).to(tokens)[..., None]
        top = at(y0, x0) * (1 - fx) + at(y0, x1) * fx
        bottom = at(y1, x0) * (1 - fx) + at(y1, x1) * fx
        values = top * (1 - fy) + bottom * fy
    return values.masked_fill(torch.from_numpy(missing).to(tokens.device)[..., None], float("nan"))


def to_cells(points: npt.NDArray[np.float64], input_size: int, side: int) -> npt.NDArray[np.float64]:
    """Convert positions in the encoder's input (pixels) to positions in its feature map (cells).

    ``x_f = (x + 0.5) · side / input_size - 0.5``: pixel and cell centres coincide as pictures do, without the half-cell
    bias of ``x · side / input_size``. Points outside the picture become NaN.

    Parameters
    ----------
    points : (..., 2) float64 array
        x and y in pixels of the square input; pixel centres are whole numbers.
    input_size, side : int
        Edge of the input (pixels) and of the map (cells).
    """
    outside = ((points < -0.5) | (points > input_size - 0.5)).any(axis=-1, keepdims=True)
    return np.where(outside, np.nan, (points + 0.5) * side / input_size - 0.5)
