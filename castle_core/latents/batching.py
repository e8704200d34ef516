"""How many pictures go through the model at once: asked for, chosen by memory, and fewer where memory runs out."""

from dataclasses import dataclass
from typing import Any

from castle_core.encoders import Encoder, Tokens
from castle_core.errors import EncoderError

DEFAULT_BATCH = 32
_LARGEST = 256
_MEMORY_SHARE = 0.6


@dataclass
class BatchLimit:
    """What the device's memory has turned out to hold, so that it is not found out again with every batch.

    Attributes
    ----------
    size : int or None
        Pictures in one pass; None as long as everything has fitted.
    """

    size: int | None = None


def choose_batch_size(encoder: Encoder, asked: int | None) -> int:
    """Return the batch size: what was asked, else 32 on a CPU, else the power of two that fills most of a GPU's memory.

    It follows from the model and the card alone, not from what else runs there at the moment: a resumed run must find
    the same.

    Parameters
    ----------
    encoder : Encoder
        The loaded model.
    asked : int or None
        Frames in a pass; None chooses.
    """
    if asked is not None:
        return asked
    if not encoder.device.startswith("cuda"):
        return DEFAULT_BATCH
    import torch

    size = encoder.input_size
    total = int(torch.cuda.get_device_properties(encoder.device).total_memory)
    peaks: list[int] = []
    for n in (2, 8):
        torch.cuda.reset_peak_memory_stats(encoder.device)
        encoder.encode(torch.zeros((n, size, size, 3), dtype=torch.uint8))
        peaks.append(int(torch.cuda.max_memory_allocated(encoder.device)))
    each = max(1.0, (peaks[1] - peaks[0]) / 6)
    room = (_MEMORY_SHARE * total - peaks[0]) / each
    fitting = [2**k for k in range(1, _LARGEST.bit_length()) if 2**k <= room]
    return int(max([2, *fitting]))


def encode(encoder: Encoder, pictures: Any, limit: BatchLimit | None = None) -> Tokens:
    """Encode pictures, halving the batch as often as it takes to fit the GPU's memory.

    Parameters
    ----------
    encoder : Encoder
        The model.
    pictures : torch.Tensor
        See `Encoder.encode`.
    limit : BatchLimit, optional
        Where the size that fitted is kept for the next batch.

    Raises
    ------
    EncoderError
        If not even one picture fits.
    """
    import torch

    limit = limit or BatchLimit()
    size = min(len(pictures), limit.size or len(pictures))
    while True:
        try:
            parts = [encoder.encode(part) for part in pictures.split(size)]
            break
        except torch.OutOfMemoryError as error:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if size == 1:
                raise EncoderError(
                    f"One picture of {encoder.input_size} px does not fit the GPU's memory with {encoder.name}. "
                    "Close other programs on the GPU, or choose a smaller model or input size."
                ) from error
            size = limit.size = -(-size // 2)
    if len(parts) == 1:
        return parts[0]
    cls = torch.cat([part.cls for part in parts]) if parts[0].cls is not None else None
    return Tokens(cls, torch.cat([part.patch_tokens for part in parts]))
