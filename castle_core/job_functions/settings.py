"""The settings of a job as JSON, checked and turned into the values that the engine takes."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from castle_core.errors import ConfigError

if TYPE_CHECKING:
    from castle_core.selection import SelectionConfig

SELECTION_KEYS = ("n", "method", "features", "start", "stop", "exclude", "min_gap", "seed", "exhaustive", "latents")
BUDGET_KEYS = ("budget", "minimum", "maximum")


def check_keys(settings: Mapping[str, Any], allowed: tuple[str, ...], what: str) -> None:
    """Raise `ConfigError` if `settings` has a key that is not allowed; the message lists those that are."""
    unknown = sorted(set(settings) - set(allowed))
    if unknown:
        raise ConfigError(f"{what} has no setting {unknown[0]!r}. It has: {', '.join(allowed)}.")


def selection_config(settings: Mapping[str, Any], override: Mapping[str, Any]) -> "SelectionConfig":
    """Make the configuration for one video from the settings of all videos and what is set for this one.

    Parameters
    ----------
    settings, override : mappings
        Fields of `SelectionConfig` as JSON values: bounds as numbers or as on the command line ("90s", "1200f"),
        ``exclude`` as pairs of bounds. None means: the default.

    Raises
    ------
    ConfigError
        If a value cannot be.
    """
    from castle_core.ranges import parse_bound
    from castle_core.selection import SelectionConfig

    values: dict[str, Any] = {}
    for key in SELECTION_KEYS:
        value = override.get(key) if override.get(key) is not None else settings.get(key)
        if value is not None:
            values[key] = value
    for key in ("start", "stop"):
        if key in values:
            values[key] = parse_bound(values[key])
    if "exclude" in values:
        values["exclude"] = tuple((parse_bound(start), parse_bound(stop)) for start, stop in values["exclude"])
    if "latents" in values:
        values["latents"] = Path(values["latents"])
    try:
        return SelectionConfig(**values)
    except TypeError as error:
        raise ConfigError(f"A setting has a wrong value: {error}.") from error
