"""Panels of the page Extract latent."""
