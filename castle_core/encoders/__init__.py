"""Visual models by name: find their weights, load them, and run them on pictures."""

from castle_core.encoders.base import Encoder, Precision, Tokens
from castle_core.encoders.loading import (
    EncoderStatus,
    add_model,
    encoder_slug,
    encoder_status,
    get_model,
    load_encoder,
    models_folder,
    natural_input,
)
from castle_core.encoders.table import DEFAULT_ENCODER, ENCODERS, EncoderInfo

__all__ = [
    "DEFAULT_ENCODER",
    "ENCODERS",
    "Encoder",
    "EncoderInfo",
    "EncoderStatus",
    "Precision",
    "Tokens",
    "add_model",
    "encoder_slug",
    "encoder_status",
    "get_model",
    "load_encoder",
    "models_folder",
    "natural_input",
]
