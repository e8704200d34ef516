"""Extract from several videos, going on past those that fail; what the command line and the queue's jobs call."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from castle_core.encoders import Encoder, load_encoder
from castle_core.errors import CastleError, ConfigError, JobCancelled, LeaseLostError
from castle_core.latents.config import ExtractConfig
from castle_core.latents.crop_video import extract_crop_video
from castle_core.latents.extraction import Extraction, WhenDifferent, extract_video
from castle_core.latents.npz import read_companions
from castle_core.latents.point_keys import is_for_one_video
from castle_core.latents.preflight import PreflightRow, preflight
from castle_core.preprocess import NOT_REQUESTED, OK, STATUS_NAMES
from castle_core.progress import QUIET, Task, TaskPart
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
    latent: bool = True,
    rotation: int = 0,
    stack: bool = False,
    crop_video: bool = False,
    skip_existing: bool = True,
    when_different: WhenDifferent = "recompute",
    all_or_nothing: bool = False,
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
    latent : bool
        False leaves the plain latents out, where only rotation latents or crop videos are wanted.
    rotation : int
        Number of angles of the rotation latent; 0 leaves it out.
    stack : bool
        Keep every angle.
    crop_video : bool
        Write crop videos too.
    skip_existing, when_different
        See `extract_video`.
    all_or_nothing : bool
        Start nothing where the check before finds a video that cannot run; otherwise it becomes a failure in the
        report, and the others run.
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
    EncoderError, ConfigError
        If the model cannot be loaded, the points are one video's, or a video cannot run with `all_or_nothing`; nothing
        was started then.
    JobCancelled, LeaseLostError
        From `task`; finished shards stay.
    """
    videos = [project.video(name) for name in names] if names else list(project.videos())
    if not videos:
        raise ConfigError(f"The project {project.name} has no videos yet. Add some first.")
    _check_point_keys(project, config, len(videos))
    passes = [config] if latent else []
    if rotation:
        passes.append(config.with_rotation(rotation, stack=stack))
    if encoder is None and passes:
        encoder = load_encoder(
            config.encoder, device=choose_device(device), precision=config.precision, input_size=config.input_size
        )
    report: dict[str, Any] = {"outputs": [], "skipped": [], "failed": [], "crop_videos": []}
    if encoder is not None and passes:
        rows = _log_preflight(project, [entry.stem for entry in videos], passes[0], encoder, task)
        if all_or_nothing:
            _refuse_problems(rows)
    for number, entry in enumerate(videos):
        task.log(f"\nProcessing {entry.name}...")
        part = TaskPart(task, number, len(videos), entry.name) if len(videos) > 1 else task
        try:
            for one in passes:
                assert encoder is not None
                extraction = extract_video(
                    project,
                    entry.stem,
                    one,
                    encoder,
                    skip_existing=skip_existing,
                    when_different=when_different,
                    task=part,
                )
                report["outputs"].extend(asdict(written) for written in extraction.written)
                report["skipped"].extend(asdict(skipped) for skipped in extraction.skipped)
                if reason := _empty_outputs(extraction):
                    report["failed"].append({"video": entry.name, "reason": reason})
                    task.log(f"  ❌ {reason}")
            if crop_video:
                path = extract_crop_video(project, entry.stem, config, task=part)
                report["crop_videos"].append({"video": entry.name, "path": str(path)})
                task.log(f"  ✅ Saved: {path}")
        except (JobCancelled, LeaseLostError):
            raise
        except (CastleError, OSError) as error:
            report["failed"].append({"video": entry.name, "reason": str(error)})
            task.log(f"  ❌ Error processing {entry.name}: {error}")
    failed = list(dict.fromkeys(failure["video"] for failure in report["failed"]))
    done = "❌ Extraction failed." if videos and len(failed) == len(videos) else "🎉 Extraction Complete!"
    task.log(f"\n{done}\nSuccessfully processed {len(videos) - len(failed)}/{len(videos)} videos.")
    if failed:
        task.log(f"⚠️ Failed videos: {', '.join(failed)}")
    return report


def _empty_outputs(extraction: Extraction) -> str:
    """Name the files of an extraction, written now or before, in which no frame has a value."""
    empty = []
    paths = [each.path for each in extraction.written] + [each.path for each in extraction.skipped]
    for path in map(Path, paths):
        status = read_companions(path).get("status") if path.suffix == ".npz" and path.is_file() else None
        if status is not None and not (status == OK).any():
            codes, counts = np.unique(status[status != NOT_REQUESTED], return_counts=True)
            why = STATUS_NAMES[int(codes[counts.argmax()])] if len(codes) else "nothing was requested"
            empty.append(f"{path.name} has no value on any frame ({why})")
    return f"{'; '.join(empty)}. Are the ROI ID and the points right?" if empty else ""


def _check_point_keys(project: Project, config: ExtractConfig, n_videos: int) -> None:
    if "point" not in config.poolings or n_videos < 2:
        return
    for key in config.points:
        if is_for_one_video(project, key):
            raise ConfigError(
                f"{key} holds the points of one video, but {n_videos} are chosen. Choose its video, or put one file a "
                f"video into {project.path / 'points'}/<name>/<video>.csv and give the name."
            )


def _log_preflight(
    project: Project, names: list[str], config: ExtractConfig, encoder: Encoder, task: Task
) -> list[PreflightRow]:
    task.log(f"Starting pre-flight check for {len(names)} videos with {encoder.name} on {encoder.device}...")
    rows = preflight(project, names, config, encoder)
    for row in rows:
        task.log(f"  {row.video}: {row.verdict}" + (f" ({row.message})" if row.message != row.verdict else ""))
    return rows


def _refuse_problems(rows: list[PreflightRow]) -> None:
    problems = [row for row in rows if row.verdict == "problem"]
    if problems:
        said = "; ".join(f"{row.video}: {row.message.rstrip('.')}" for row in problems[:5])
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ConfigError(
            f"Nothing was started: {len(problems)} of {len(rows)} videos cannot run. {said}{more}. Mend or leave out."
        )
