"""The panels of the page Label export."""
