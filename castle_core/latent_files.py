"""Which latents of a project can tell the frames of which videos apart."""

from collections.abc import Sequence
from pathlib import Path


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
