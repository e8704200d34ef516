"""Latents of tracked animals: one decode and one forward pass, many outputs, honest missing data."""

from castle_core.latents.config import POOLINGS, ExtractConfig, PoolingName
from castle_core.latents.npz import Latents, read_latents

__all__ = ["POOLINGS", "ExtractConfig", "Latents", "PoolingName", "read_latents"]
