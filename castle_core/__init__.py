"""Frames worth labelling, labels there and back, and latent vectors of tracked animals; no user interface in here."""

__version__ = "0.1.0"
