"""Feature maps as the Inspector shows them: what a file holds, and the tokens of one frame at a time."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from castle_core.errors import EncoderError

_DAMAGED = (OSError, KeyError, ValueError, TypeError, AttributeError)


@dataclass(frozen=True)
class FeatureMap:
    """What a feature map holds.

    Attributes
    ----------
    shape : tuple of int
        (n, C, H, W): frames, channels, rows and columns of cells.
    status : (n,) uint8
        See `castle_core.preprocess`.
    """

    shape: tuple[int, int, int, int]
    status: npt.NDArray[np.uint8]


def read_map_status(path: Path) -> FeatureMap:
    """Read the size and the status codes of a feature map, none of its numbers.

    Raises
    ------
    EncoderError
        If it is not a readable feature map.
    """
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            n, channels, height, width = map(int, file["latent"].shape)
            status = np.asarray(file["status"][:] if "status" in file else np.zeros(n), np.uint8)
    except _DAMAGED as error:
        raise _unreadable(path, error) from error
    if status.shape != (n,):
        raise EncoderError(f"{path.name}: `status` does not have one value a frame. Extract it again.")
    return FeatureMap((n, channels, height, width), status)


def read_tokens(path: Path, frame_index: int) -> npt.NDArray[np.floating[Any]]:
    """Read the tokens of one frame as (H, W, C).

    Raises
    ------
    EncoderError
        If the file cannot be read, or holds no numbers of this frame.
    """
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            latent = file["latent"]
            if not 0 <= frame_index < len(latent):
                raise EncoderError(f"{path.name} has frames 0 to {len(latent) - 1}, so no frame {frame_index}.")
            tokens = np.moveaxis(np.asarray(latent[frame_index]), 0, -1)
    except _DAMAGED as error:
        raise _unreadable(path, error) from error
    if not np.isfinite(tokens).all():
        raise EncoderError(f"{path.name} has no tokens of frame {frame_index}. Choose another frame.")
    return np.ascontiguousarray(tokens)


def _unreadable(path: Path, error: Exception) -> EncoderError:
    return EncoderError(f"{path.name} is not a readable feature map ({error}). Extract it again.")
