"""Small jobs of the page Extract latent: look before a run, one frame, points from ROIs, a model's download."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from castle_core.encoders import Encoder, get_model, load_encoder
from castle_core.job_functions.latents import config_from_json
from castle_core.latents.centroids import write_roi_centroids
from castle_core.latents.config import ExtractConfig
from castle_core.latents.frame_files import write_frame
from castle_core.latents.preflight import preflight
from castle_core.latents.risk import risky_frames
from castle_core.latents.run import choose_device
from castle_core.progress import Task
from castle_core.projects import Project


def _load(config: ExtractConfig) -> Encoder:
    return load_encoder(
        config.encoder, device=choose_device(), precision=config.precision, input_size=config.input_size
    )


def check_latents(
    task: Task, *, project: str, owner: str, videos: Sequence[str] = (), config: Mapping[str, Any]
) -> dict[str, Any]:
    """Look at every video before an extraction, and time the model; ``rows`` of `PreflightRow` and ``device``."""
    del owner
    opened, wanted = Project.open(project), config_from_json(config)
    names = list(videos) or [entry.stem for entry in opened.videos()]
    task.progress(0, len(names), "loading the model")
    encoder = _load(wanted)
    rows = [asdict(row) for row in preflight(opened, names, wanted, encoder, task=task)]
    for row in rows:
        row["roi_share"] = {str(roi): share for roi, share in row["roi_share"].items()}
        row["existing"] = list(row["existing"])
    return {"rows": rows, "device": encoder.device}


def find_risky_frames(task: Task, *, project: str, owner: str, video: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Find the frames on which the crop most likely goes wrong: ``frames`` of `risky_frames`."""
    del owner
    return {"frames": risky_frames(Project.open(project), video, config_from_json(config), task=task)}


def run_one_frame(
    task: Task, *, project: str, owner: str, video: str, frame_index: int, config: Mapping[str, Any]
) -> dict[str, Any]:
    """Run one frame and write its rows; see `write_frame`."""
    del owner
    wanted = config_from_json(config)
    return write_frame(Project.open(project), video, frame_index, wanted, _load(wanted), task=task)


def roi_centroids(task: Task, *, project: str, owner: str, videos: Sequence[str] = (), roi: int) -> dict[str, Any]:
    """Write a ROI's centroid as points; see `write_roi_centroids`."""
    del owner
    return write_roi_centroids(Project.open(project), list(videos), roi, task=task)


def download_model(task: Task, *, project: str, owner: str, name: str) -> dict[str, Any]:
    """Download a visual model from the hub: ``path`` of its folder."""
    del owner, project
    task.progress(0, 1, "downloading")
    return {"path": str(get_model(name))}
