"""Which latents of a project can tell the frames of which videos apart."""

from collections.abc import Sequence
from pathlib import Path

from castle_core.errors import ConfigError


def latent_sets(project: Path, stems: Sequence[str]) -> dict[str, dict[str, Path]]:
    """Return the kinds of latents that every one of `stems` has.

    Parameters
    ----------
    project : Path
        The project's folder.
    stems : sequence of str
        Videos.

    Returns
    -------
    dict
        Name for people (``encoder · rest of the file name``) → stem → file. Only .npz files, one row a frame.
    """
    sets: dict[str, dict[str, Path]] = {}
    for path in sorted({*project.glob("latent/*.npz"), *project.glob("latent/*/*.npz")}):
        for stem in stems:
            if path.name.startswith(f"{stem}_") and not path.name.endswith("_rotation_latent.npz"):
                rest = path.name[len(stem) + 1 : -len(".npz")]
                folder = path.parent.name
                name = rest if folder == "latent" or folder in rest else f"{folder} · {rest}"
                sets.setdefault(name.replace("_", " "), {})[stem] = path
    return {name: files for name, files in sets.items() if len(files) == len(set(stems))}


def without_latents(project: Path, stems: Sequence[str]) -> list[str]:
    """Return those of `stems` that have no latents; none where no video has any."""
    lacking = [stem for stem in stems if not latent_sets(project, [stem])]
    return lacking if len(lacking) < len(stems) else []


def choose_latents(project: Path, stems: Sequence[str], name: str = "") -> dict[str, Path]:
    """Return one kind of latents (stem → file): the one called `name`, or the only one that all `stems` have.

    Raises
    ------
    ConfigError
        If there is none of that name, or none at all, or several to choose from.
    """
    sets = latent_sets(project, stems)
    of = stems[0] if len(set(stems)) == 1 else "these videos"
    if not sets:
        raise ConfigError(f"There are no latents of {of} in {project.name}. Extract latents first.")
    known = ", ".join(f"'{each}'" for each in sets)
    if name and name not in sets:
        raise ConfigError(f"There are no latents {name!r} of {of}. There are: {known}.")
    if not name and len(sets) > 1:
        raise ConfigError(f"There are several kinds of latents of {of}. Choose one: {known}.")
    return sets[name] if name else next(iter(sets.values()))
