"""The panels of the page Track ROIs."""
