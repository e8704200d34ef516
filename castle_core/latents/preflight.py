"""Look before the first minute of work: is every video readable, are its masks right, does the disk suffice?"""

import shutil
import time
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from castle_core.encoders import Encoder
from castle_core.errors import CastleError, ConfigError, EncoderError, PredictionError, RoiError, VideoError
from castle_core.latents.config import ExtractConfig
from castle_core.latents.opening import mask_warnings, open_for_latents
from castle_core.latents.plan import look_at_existing
from castle_core.progress import QUIET, Task
from castle_core.projects import Project
from castle_core.rois import MaskSource, WholeFrame

_SAMPLE = 100
Cause = Literal["", "masks", "video", "points", "settings", "disk", "other"]
_CAUSES: tuple[tuple[type[CastleError], Cause], ...] = (
    (RoiError, "masks"),
    (VideoError, "video"),
    (PredictionError, "points"),
    (ConfigError, "settings"),
    (EncoderError, "settings"),
)


@dataclass(frozen=True)
class PreflightRow:
    """One video's line of the table.

    Attributes
    ----------
    video : str
        Name.
    verdict : {"ready", "skip", "warning", "problem"}
        Will run; all exists already; will run, but look at `message`; cannot run.
    message : str
        What was found and what to do.
    n_frames : int
        Requested frames; 0 if the video cannot be read.
    roi_share : dict of int to float
        Share (0 … 1) of up to 100 evenly spread frames with each ROI.
    existing : tuple of str
        A line for each output that exists.
    bytes_needed : int
        Disk space for what is still to be written: the results, and the work in progress that is not stored yet.
    n_left : int
        Frames that are still to be encoded; fewer than `n_frames` where an earlier run has come some way.
    seconds : float
        About how long the model takes for them; 0 where unknown.
    cause : str
        What a problem comes from: "masks", "video", "points", "settings", "disk", "other"; empty without a problem.
    """

    video: str
    verdict: Literal["ready", "skip", "warning", "problem"]
    message: str
    n_frames: int
    roi_share: dict[int, float]
    existing: tuple[str, ...]
    bytes_needed: int
    n_left: int = 0
    seconds: float = 0.0
    cause: Cause = ""


def preflight(
    project: Project, names: list[str], config: ExtractConfig, encoder: Encoder, *, task: Task = QUIET
) -> list[PreflightRow]:
    """Check every video before an extraction.

    Parameters
    ----------
    project : Project
        Where videos and masks live.
    names : list of str
        Videos, by name or stem.
    config : ExtractConfig
        What would be extracted.
    encoder : Encoder
        The loaded model, for sizes and time.
    task : Task
        Progress in videos; cancel.

    Returns
    -------
    list of PreflightRow
        One a video, in the same order; problems are rows, not exceptions.
    """
    rows = []
    for number, name in enumerate(names):
        task.progress(number, len(names), f"looking at {name}")
        rows.append(_check(project, name, config, encoder))
    if any(row.verdict in ("ready", "warning") for row in rows):
        each = _seconds_a_frame(config, encoder)
        rows = [replace(row, seconds=each * row.n_left) for row in rows]
    needed = sum(row.bytes_needed for row in rows)
    free = shutil.disk_usage(project.path).free
    if needed > free:
        message = (
            f"the results of all videos need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free. Free some space, "
            "choose fewer videos or every k-th frame, or leave the feature map out"
        )
        rows = [
            replace(row, verdict="problem", message=message, cause="disk") if row.bytes_needed else row for row in rows
        ]
    return rows


def _seconds_a_frame(config: ExtractConfig, encoder: Encoder) -> float:
    """Time the model on blank pictures, two on a CPU and a batch on a GPU (the second time, when it is warm)."""
    import torch

    n_pictures = 2 if encoder.device == "cpu" else min(config.batch_size or 32, 32)
    pictures = torch.zeros((n_pictures, encoder.input_size, encoder.input_size, 3), dtype=torch.uint8)
    elapsed = 0.0
    for _ in range(2):
        started = time.perf_counter()
        encoder.encode(pictures).patch_tokens.float().cpu()
        elapsed = time.perf_counter() - started
    backgrounds = len(config.roi_ids) if config.preprocess.remove_background == "roi" else 1
    return elapsed / n_pictures * max(1, config.angles) * backgrounds


def _check(project: Project, name: str, config: ExtractConfig, encoder: Encoder) -> PreflightRow:
    shown = name
    try:
        shown = project.video(name).name
        with open_for_latents(project, name, config, encoder, QUIET) as setup:
            wanted = setup.wanted
            odd = mask_warnings(setup.masks, setup.video)
            share, others = _roi_share(setup.masks, wanted, config)
            found = [(output, look_at_existing(output, setup.video.n_frames)) for output in setup.outputs]
            todo = [output for output, state in found if state.state != "same"]
            work = setup.planned_work(todo) if todo else None
            n_left, needed = (work.frames_left(), work.bytes_needed()) if work else (0, 0)
    except (CastleError, OSError) as error:
        cause: Cause = next((cause for kind, cause in _CAUSES if isinstance(error, kind)), "other")
        return PreflightRow(shown, "problem", str(error), 0, {}, (), 0, cause=cause)
    existing = tuple(f"{output.path.name} {state.reason}" for output, state in found if state.state != "absent")
    if not todo:
        return PreflightRow(shown, "skip", "everything exists already", len(wanted), share, existing, 0)
    uses = {config.preprocess.center_roi: "Center ROI", config.preprocess.tail_roi: "Rotate based on Tail"}
    for roi, value in share.items():
        if value == 0 and roi in uses:
            message = (
                f"ROI {roi} is on none of the frames that were looked at, so every row would be NaN. Turn {uses[roi]} "
                "off, name another ROI there, or track it."
            )
            return PreflightRow(shown, "problem", message, len(wanted), share, existing, 0, cause="masks")
    lost = [f"ROI {roi} in {100 * value:.0f} %" for roi, value in share.items() if value < 0.95]
    if lost:
        odd = [f"found only {', '.join(lost)} of the frames; the others become NaN.", *odd]
    if others and not all(share.values()):
        odd.append(f"There are ROI {', '.join(str(roi) for roi in others)}: is the ROI ID right?")
    return PreflightRow(
        shown,
        "warning" if odd else "ready",
        " ".join(odd) or "ready",
        len(wanted),
        share,
        existing,
        needed,
        n_left=n_left,
    )


def _roi_share(masks: MaskSource, wanted: range, config: ExtractConfig) -> tuple[dict[int, float], list[int]]:
    """Return the share of frames with each ROI that decides about rows, and which other ROIs there are."""
    pooled = config.roi_ids if set(config.poolings) != {"point"} else ()
    ids = sorted(roi for roi in {*pooled, config.preprocess.center_roi, config.preprocess.tail_roi} if roi)
    if not ids or not len(wanted) or isinstance(masks, WholeFrame):
        return {}, []
    others: set[int] = set()
    sample = np.unique(np.linspace(0, len(wanted) - 1, _SAMPLE).astype(int))
    seen = dict.fromkeys(ids, 0)
    for position in sample:
        mask = masks.mask_at(wanted[int(position)])
        if mask is None:
            continue
        present = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
        for roi in ids:
            seen[roi] += roi in present
        others.update(int(roi) for roi in present if roi and roi not in ids)
    return {roi: count / len(sample) for roi, count in seen.items()}, sorted(others)
