"""Extract from several videos, going on past those that fail; what the command line and the queue's jobs call."""

from dataclasses import asdict
from typing import Any

from castle_core.encoders import Encoder, load_encoder
from castle_core.errors import CastleError, JobCancelled, LeaseLostError
from castle_core.latents.config import ExtractConfig
from castle_core.latents.crop_video import extract_crop_video
from castle_core.latents.extraction import Extraction, WhenDifferent, extract_video
from castle_core.progress import QUIET, Task
from castle_core.projects import Project


def choose_device(device: str | None = None) -> str:
    """Return `device`, or the first GPU, or the CPU."""
    if device:
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def run_extractions(
    project: Project,
    names: list[str] | None,
    config: ExtractConfig,
    *,
    rotation: int = 0,
    stack: bool = False,
    crop_video: bool = False,
    skip_existing: bool = True,
    when_different: WhenDifferent = "recompute",
    device: str | None = None,
    encoder: Encoder | None = None,
    task: Task = QUIET,
) -> dict[str, Any]:
    """Extract latents, and where asked rotation latents and crop videos, of several videos.

    Parameters
    ----------
    project : Project
        Where everything lives.
    names : list of str or None
        Videos by name or stem; None or empty means all.
    config : ExtractConfig
        What to extract.
    rotation : int
        Number of angles of the rotation latent; 0 leaves it out.
    stack : bool
        Keep every angle.
    crop_video : bool
        Write crop videos too.
    skip_existing, when_different
        See `extract_video`.
    device : str, optional
        A torch device; by default a GPU if there is one.
    encoder : Encoder, optional
        An already loaded model.
    task : Task
        Progress, log, cancel, lease.

    Returns
    -------
    dict
        ``outputs``, ``skipped``, ``failed``, ``crop_videos``: see the command line's JSON.

    Raises
    ------
    EncoderError
        If the model cannot be loaded; nothing was started then.
    JobCancelled, LeaseLostError
        From `task`; finished shards stay.
    """
    videos = [project.video(name) for name in names] if names else list(project.videos())
    if encoder is None:
        encoder = load_encoder(
            config.encoder, device=choose_device(device), precision=config.precision, input_size=config.input_size
        )
    report: dict[str, Any] = {"outputs": [], "skipped": [], "failed": [], "crop_videos": []}
    task.log(f"Starting extraction of {len(videos)} videos with {encoder.name} on {encoder.device}...")
    for entry in videos:
        task.log(f"Processing {entry.name}...")
        try:
            _add(
                report,
                extract_video(
                    project,
                    entry.stem,
                    config,
                    encoder,
                    skip_existing=skip_existing,
                    when_different=when_different,
                    task=task,
                ),
            )
            if rotation:
                turned = config.with_rotation(rotation, stack=stack)
                _add(
                    report,
                    extract_video(
                        project,
                        entry.stem,
                        turned,
                        encoder,
                        skip_existing=skip_existing,
                        when_different=when_different,
                        task=task,
                    ),
                )
            if crop_video:
                path = extract_crop_video(project, entry.stem, config, task=task)
                report["crop_videos"].append({"video": entry.name, "path": str(path)})
                task.log(f"  ✅ Saved: {path}")
        except (JobCancelled, LeaseLostError):
            raise
        except CastleError as error:
            report["failed"].append({"video": entry.name, "reason": str(error)})
            task.log(f"  ❌ {entry.name}: {error}")
    n_good = len(videos) - len(report["failed"])
    task.log(f"🎉 Done: {n_good}/{len(videos)} videos.")
    return report


def _add(report: dict[str, Any], extraction: Extraction) -> None:
    report["outputs"].extend(asdict(written) for written in extraction.written)
    report["skipped"].extend(asdict(skipped) for skipped in extraction.skipped)
