"""The ``castle`` command: the same engine as the pages, without a browser."""

from castle_core.cli.app import main

__all__ = ["main"]
