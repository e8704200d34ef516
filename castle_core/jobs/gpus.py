"""Which GPUs the jobs may use."""

import os
import re
import subprocess

_LISTED = re.compile(r"^(?P<indent>\s*)(?:GPU|MIG) .*\(UUID: (?P<uuid>[^)]+)\)\s*$")


def visible_gpus() -> list[str]:
    """Return the names (for ``CUDA_VISIBLE_DEVICES``) of the NVIDIA GPUs that this process may use.

    Those in ``CUDA_VISIBLE_DEVICES`` if it is set, else what ``nvidia-smi`` lists; a divided GPU counts as its parts.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        names = [name.strip() for name in chosen.split(",")]
        return [] if "-1" in names else [name for name in names if name]
    try:
        listing = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True, stdin=subprocess.DEVNULL
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_listing(listing)


def parse_listing(listing: str) -> list[str]:
    """Return the names in the output of ``nvidia-smi -L``, with the parts of a divided GPU in place of the whole."""
    names: list[str] = []
    whole: str | None = None  # the last GPU, as long as no part of it was seen
    for line in listing.splitlines():
        match = _LISTED.match(line)
        if match is None:
            continue
        if match["indent"]:
            if whole is not None and names and names[-1] == whole:
                names.pop()
            whole = None
        else:
            whole = match["uuid"]
        names.append(match["uuid"])
    return names
