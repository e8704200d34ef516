"""What every command shares: one JSON object on stdout, everything else on stderr, errors as one line."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from castle_core.errors import CastleError
from castle_core.progress import Task

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


class Failed(Exception):
    """The command has already said what failed; exit with 1."""


def run_app(app: typer.Typer, arguments: Sequence[str]) -> int:
    """Run `app` on `arguments` and return the exit code: 0, 1 (failed) or 2 (wrong usage).

    `CastleError` and the operating system's errors become one line on stderr; ``--debug`` keeps the traceback.
    """
    debug = "--debug" in arguments
    try:
        result = app(args=[a for a in arguments if a != "--debug"], standalone_mode=False, prog_name="castle")
        return int(result) if isinstance(result, int) else 0
    except Failed:
        return 1
    except typer.Exit as stop:
        return int(stop.exit_code)
    except KeyboardInterrupt:
        print("castle: stopped.", file=sys.stderr)
        return 1
    except CastleError as error:
        if debug:
            raise
        print(f"castle: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if debug:
            raise
        print(f"castle: {error.strerror or error}: {error.filename or ''}".rstrip(": "), file=sys.stderr)
        return 1
    except Exception as error:
        if type(error).__name__ == "Abort":
            print("castle: stopped.", file=sys.stderr)
            return 1
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # wrong usage, as the option parser found it
            error.show()
            return int(error.exit_code)
        raise


def print_json(value: dict[str, Any]) -> None:
    """Print `value` as the command's one JSON object; NaN becomes null, since JSON has none."""
    json.dump(_without_nan(value), sys.stdout, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")
    sys.stdout.flush()


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, dict):
        return {str(key): _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value


def say(line: str) -> None:
    """Print one line for people, on stderr."""
    print(line, file=sys.stderr)


class TerminalTask(Task):
    """Draws a progress bar on stderr when that is a terminal, and prints log lines there."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._start = self._last = time.monotonic()
        self._drawn = False

    def progress(self, done: int, total: int, message: str = "") -> None:
        """Redraw the bar, ten times a second at most."""
        now = time.monotonic()
        if not sys.stderr.isatty() or (now - self._last < 0.1 and done < total):
            return
        self._last = now
        share = done / total if total else 1.0
        left = (now - self._start) * (1 - share) / share if share > 0 else 0.0
        bar = "█" * int(30 * share) + "░" * (30 - int(30 * share))
        sys.stderr.write(f"\r{self._title} {bar} {done}/{total} {message} {left:.0f} s left\x1b[K")
        self._drawn = True
        if done >= total:
            self.close()

    def log(self, line: str) -> None:
        """Print one line above the bar."""
        self.close()
        say(line)

    def close(self) -> None:
        """End the bar's line."""
        if self._drawn:
            sys.stderr.write("\n")
            self._drawn = False
