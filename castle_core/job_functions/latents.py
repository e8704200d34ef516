"""The job that extracts latents of a project's videos."""

from collections.abc import Mapping, Sequence
from typing import Any

from castle_core.latents.config import ExtractConfig
from castle_core.latents.run import run_extractions
from castle_core.preprocess import Preprocess
from castle_core.progress import Task
from castle_core.projects import Project
from castle_core.ranges import parse_bound


def latents(
    task: Task,
    *,
    project: str,
    owner: str,
    videos: Sequence[str] = (),
    config: Mapping[str, Any],
    latent: bool = True,
    rotation: int = 0,
    stack: bool = False,
    crop_video: bool = False,
    skip_existing: bool = True,
    keep_both: bool = False,
    all_or_nothing: bool = False,
) -> dict[str, Any]:
    """Extract latents as ``castle latents`` does; finished shards survive a cancel, a crash, or a lost worker.

    Parameters
    ----------
    task : Task
        Progress in frames of the current video.
    project : str
        The project's folder.
    owner : str
        Who asked.
    videos : sequence of str
        Names or stems; empty means all.
    config : mapping
        Fields of `ExtractConfig`; ``preprocess`` is a mapping of fields of `Preprocess`.
    latent, rotation, stack, crop_video, skip_existing, all_or_nothing
        See `run_extractions`.
    keep_both : bool
        Keep files that were made with other settings beside the new ones.

    Returns
    -------
    dict
        ``outputs``, ``skipped``, ``failed``, ``crop_videos``.
    """
    del owner
    return run_extractions(
        Project.open(project),
        list(videos),
        config_from_json(config),
        latent=latent,
        rotation=rotation,
        stack=stack,
        crop_video=crop_video,
        skip_existing=skip_existing,
        when_different="keep-both" if keep_both else "recompute",
        all_or_nothing=all_or_nothing,
        task=task,
    )


def config_from_json(settings: Mapping[str, Any]) -> ExtractConfig:
    """Build an `ExtractConfig` from JSON: lists become tuples, bounds are read, unknown keys are errors.

    Raises
    ------
    ConfigError
        If a value cannot be.
    TypeError
        If a key is not known.
    """
    values = dict(settings)
    values["preprocess"] = Preprocess(**values.get("preprocess", {}))
    for name in ("roi_ids", "poolings", "points"):
        if name in values:
            values[name] = tuple(values[name])
    for name in ("start", "stop"):
        if name in values:
            values[name] = parse_bound(values[name])
    return ExtractConfig(**values)
