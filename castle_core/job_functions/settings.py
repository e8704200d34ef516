"""The settings of a job as JSON, checked and turned into the values that the engine takes."""

from collections.abc import Mapping
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
        ``exclude`` as pairs of bounds or as "A-B". None means: not set. Other keys are passed over.

    Raises
    ------
    ConfigError
        If a value cannot be.
    """
    from castle_core.selection import SelectionConfig

    values = {
        key: value
        for source in (settings, override)
        for key, value in source.items()
        if key in SELECTION_KEYS and value is not None
    }
    try:
        return SelectionConfig.from_json(values)
    except TypeError as error:
        raise ConfigError(f"A setting of the selection has a wrong kind of value: {error}.") from error


def whole_number(settings: Mapping[str, Any], key: str, smallest: int) -> int | None:
    """Return a setting that is a whole number, or None if it is not set; `ConfigError` for anything else."""
    value = settings.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < smallest:
        raise ConfigError(f"The setting {key} must be a whole number of at least {smallest}, not {value!r}.")
    return value
