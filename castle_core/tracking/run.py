"""Track ROIs in one video or several: shards first, then one mask file; goes on where it was cut off."""

import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from castle_core.errors import CastleError, ConfigError, FrameDecodeError, JobCancelled, LeaseLostError, RoiError
from castle_core.files import locked, make_folder
from castle_core.latents.leftovers import clear_leftovers
from castle_core.progress import QUIET, Task, TaskPart
from castle_core.projects import Project, VideoEntry
from castle_core.prompts import Prompt, check_prompts, read_prompts
from castle_core.rois import find_masks
from castle_core.tracking.background import BackgroundTracker
from castle_core.tracking.output import Target, merge_shards
from castle_core.tracking.record import TrackSummary, made_of_another_file
from castle_core.tracking.settings import Run, TrackReport, TrackSettings, plan_runs, prompts_hash, settings_key
from castle_core.tracking.shards import Tracker, read_rows, run_shards
from castle_core.video import Video, fingerprint

# What a crash costs at most: a few seconds of work.
_SHARD_FRAMES = {"background": 250, "sam2": 50}


def track_video(
    project: Project,
    stem: str,
    prompts: Sequence[Prompt],
    settings: TrackSettings,
    *,
    drawn_on: str | None = None,
    sam2: Any = None,
    task: Task = QUIET,
) -> TrackReport:
    """Track ROIs in one video and write them into its ``mask_list.h5``.

    Frames that are not tracked now, and ROIs that were not drawn, stay as they are in the file.

    Parameters
    ----------
    prompts : sequence of Prompt
        What is drawn, on this video or on `drawn_on`.
    settings : TrackSettings
    drawn_on : str, optional
        Stem of the video that was drawn on, where it is another one: the ROIs are learnt there and looked for here.
    sam2 : Sam2, optional
        A loaded model, for several videos.
    task : Task
        Progress in frames, log, cancel, lease.

    Raises
    ------
    RoiError, ConfigError
        If nothing is drawn, or what is drawn cannot be followed.
    EncoderError, VideoError, ProjectError, LockHeldError
        If the model or the video cannot be read, or nothing can be written.
    JobCancelled, LeaseLostError
        From `task`; finished shards stay and are used by the next run with the same drawings and settings.
    """
    entry = project.video(stem)
    project.require_writable()
    if not prompts:
        name = project.video(drawn_on).name if drawn_on else entry.name
        raise RoiError(f"Nothing is drawn on {name}. Draw each ROI on one of its frames first.")
    with ExitStack() as stack:
        lock = make_folder(project.cache_dir / "locks") / f"track-{entry.name}"
        stack.enter_context(locked(lock, timeout_s=1.0))
        video = stack.enter_context(project.open_video(entry.stem))
        source = stack.enter_context(project.open_video(drawn_on)) if drawn_on else None
        _check_drawings(prompts, source or video)
        drawn_frames = [] if source else sorted({p.frame_index for p in prompts})
        runs = plan_runs(settings, drawn_frames, video.n_frames, entry.name)
        work = _work_folder(project, entry, settings, prompts, source)
        started = time.monotonic()
        shards, rois = _run_all(video, source, prompts, settings, runs, work, sam2, task)
        target = Target(
            find_masks(project, entry.name), entry.name, video.n_frames, video.height, video.width, project.cache_dir
        )
        if made_of_another_file(target.masks, entry.path, video.n_frames):
            task.log(
                f"  ⚠️ There are masks of another file that was named {entry.name} before. They stay on frames and ROIs "
                "that are not tracked now: look at them, or track all frames and ROIs again."
            )
        what = {
            **asdict(settings),
            "prompts_sha256": prompts_hash(prompts),
            "prompts_from": (source or video).path.name,
            "prompt_frames": sorted({p.frame_index for p in prompts}),
            "rois": list(rois),
            "runs": [[run.frames[0], run.frames[-1]] for run in runs],
            "video_fingerprint": fingerprint(entry.path),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "seconds": round(time.monotonic() - started, 1),
        }
        summary = merge_shards(target, shards, rois, what, task)
        report = _report(entry, shards, rois, summary, target.masks)
        shutil.rmtree(work.parent, ignore_errors=True)
    if report.undecodable:
        task.log(
            f"  {len(report.undecodable)} frames of {entry.name} cannot be decoded (the first is "
            f"{report.undecodable[0]}); they have no mask."
        )
    return report


def _check_drawings(prompts: Sequence[Prompt], video: Video) -> None:
    name = video.path.name
    check_prompts(prompts, height=video.height, width=video.width, n_frames=video.n_frames, video_name=name)
    for frame_index in sorted({prompt.frame_index for prompt in prompts}):
        try:
            video.frame_at(frame_index)
        except FrameDecodeError as error:
            raise RoiError(
                f"Frame {frame_index} of {name} is drawn on, but cannot be decoded: the file is damaged there. "
                "Remove that drawing and draw on another frame."
            ) from error


def _work_folder(
    project: Project, entry: VideoEntry, settings: TrackSettings, prompts: Sequence[Prompt], source: Video | None
) -> Path:
    key = settings_key(settings, prompts, fingerprint(entry.path), fingerprint(source.path) if source else "")
    folder = project.cache_dir / "tracking" / entry.name / key
    for run in folder.glob("run-*"):
        clear_leftovers(run, older_than_s=0)  # we hold the lock: nobody else is writing there
    return folder


def _run_all(
    video: Video,
    source: Video | None,
    prompts: Sequence[Prompt],
    settings: TrackSettings,
    runs: Sequence[Run],
    work: Path,
    sam2: Any,
    task: Task,
) -> tuple[list[Path], tuple[int, ...]]:
    """Track all runs; return the shards' folders in the order of tracking, and the ids."""
    rois = tuple(sorted({prompt.roi for prompt in prompts}))
    parts = [(run, tuple(prompts)) for run in runs]
    if settings.tracker == "sam2":
        parts += [] if source else _runs_of_late_rois(prompts, settings, runs)
        if sam2 is None:
            from castle_core.tracking.sam2_loading import load_sam2

            sam2 = load_sam2(settings.model)
    total = sum(len(run.frames) for run, _ in parts)
    done = 0
    shards: list[Path] = []
    tracker: Tracker | None = None
    beginning: dict[str, Any] = {}
    size = _SHARD_FRAMES[settings.tracker]
    for number, (run, drawn) in enumerate(parts):
        pieces = run.pieces(size)
        if settings.tracker == "sam2":
            tracker = _sam2_tracker(sam2, video, source, drawn)
        elif tracker is None:
            background = BackgroundTracker(video, list(prompts), source, task=task)
            tracker, beginning, rois = background, background.state(), background.rois
        else:
            tracker.restore(beginning)
        shards += run_shards(
            video,
            tracker,
            pieces,
            work / f"run-{number}",
            rois,
            tensors=settings.tracker == "sam2",
            task=task,
            done=done,
            total=total,
        )
        done += len(run.frames)
    return shards, rois


def _sam2_tracker(sam2: Any, video: Video, source: Video | None, prompts: Sequence[Prompt]) -> Tracker:
    from castle_core.tracking.sam2 import Sam2Tracker

    tracker = Sam2Tracker(sam2, prompts, height=video.height, width=video.width)
    if source is not None:
        frames = sorted({prompt.frame_index for prompt in prompts})
        tracker.prime([([p for p in prompts if p.frame_index == f], source.frame_at(f)) for f in frames])
    return tracker


def _runs_of_late_rois(
    prompts: Sequence[Prompt], settings: TrackSettings, runs: Sequence[Run]
) -> list[tuple[Run, tuple[Prompt, ...]]]:
    """Return runs back in time for ROIs whose first drawing lies behind the beginning of a run in both directions."""
    if settings.direction != "both" or settings.until_next_prompt or settings.from_frame is not None:
        return []
    anchor, first = runs[0].frames[0], min(min(run.frames[0], run.frames[-1]) for run in runs)
    extra = []
    for roi in sorted({prompt.roi for prompt in prompts}):
        own = tuple(prompt for prompt in prompts if prompt.roi == roi and prompt.frame_index in runs[0].frames)
        begin = min((prompt.frame_index for prompt in own), default=anchor)
        if begin > anchor:
            drawn = tuple(prompt for prompt in own if prompt.frame_index == begin)
            extra.append((Run(range(begin, first - 1, -1)), drawn))
    return extra


def _report(
    entry: VideoEntry, shards: Sequence[Path], rois: tuple[int, ...], summary: TrackSummary, path: Path
) -> TrackReport:
    rows = [read_rows(shard) for shard in shards]
    now = np.unique(np.concatenate([row.frames for row in rows]))
    undecodable = np.unique(np.concatenate([row.undecodable for row in rows])).tolist()
    lost = {roi: int(summary.rois[roi].lost[now].sum()) if roi in summary.rois else len(now) for roi in rois}
    return TrackReport(entry.name, len(now), rois, lost, tuple(undecodable), str(path))


def track_videos(
    project: Project,
    names: Sequence[str],
    settings: TrackSettings,
    *,
    prompts_from: str | None = None,
    task: Task = QUIET,
) -> dict[str, Any]:
    """Track several videos one after the other, going on past those that fail.

    Parameters
    ----------
    names : sequence of str
        Names or stems; empty means all.
    prompts_from : str, optional
        The video whose drawings serve those that have none of their own.

    Returns
    -------
    dict
        ``tracked``: a `TrackReport` as JSON for each video; ``failed``: ``{"video", "reason"}``.

    Raises
    ------
    RoiError, EncoderError, ...
        If there is only one video, what went wrong with it.
    JobCancelled, LeaseLostError
        From `task`.
    """
    videos = [project.video(name) for name in names] if names else list(project.videos())
    if not videos:
        raise ConfigError(f"The project {project.name} has no videos yet. Add some first.")
    donor = project.video(prompts_from).stem if prompts_from else None
    sam2 = None
    if settings.tracker == "sam2":
        from castle_core.tracking.sam2_loading import load_sam2

        sam2 = load_sam2(settings.model)
    report: dict[str, Any] = {"tracked": [], "failed": []}
    for number, entry in enumerate(videos):
        part = TaskPart(task, number, len(videos), entry.name) if len(videos) > 1 else task
        try:
            prompts = read_prompts(project, entry.stem)
            drawn_on = None
            if not prompts and donor and donor != entry.stem:
                prompts, drawn_on = read_prompts(project, donor), donor
            found = track_video(project, entry.stem, prompts, settings, drawn_on=drawn_on, sam2=sam2, task=part)
            report["tracked"].append(found.to_json())
        except (JobCancelled, LeaseLostError):
            raise
        except (CastleError, OSError) as error:
            if len(videos) == 1:
                raise
            report["failed"].append({"video": entry.name, "reason": str(error)})
            task.log(f"  {entry.name}: {error}")
    return report
