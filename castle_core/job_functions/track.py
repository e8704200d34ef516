"""The jobs that make and mend masks: track, mend, draw them around keypoints."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from castle_core.errors import CastleError, ConfigError, JobCancelled, LeaseLostError
from castle_core.job_functions.settings import check_keys
from castle_core.progress import Task, TaskPart
from castle_core.projects import Project


def track(
    task: Task,
    *,
    project: str,
    owner: str,
    videos: Sequence[str],
    tracker: str = "background",
    prompts_from: str | None = None,
    start: int | None = None,
    stop: int | None = None,
    direction: str = "both",
    from_frame: int | None = None,
    until_next_prompt: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Track what is drawn; finished shards survive a cancel, a crash, or a lost worker.

    Parameters
    ----------
    task : Task
        Progress in frames.
    project : str
        The project's folder.
    owner : str
        Who asked.
    videos : sequence of str
        Names or stems.
    tracker, start, stop, direction, from_frame, until_next_prompt
        See `TrackSettings`.
    prompts_from : str, optional
        The video whose drawings serve those without their own.
    settings : mapping
        Other fields of `TrackSettings`.

    Returns
    -------
    dict
        ``tracked``, ``failed``: see `track_videos`.

    Raises
    ------
    ConfigError
        If a setting cannot be.
    """
    del owner
    from castle_core.tracking.run import track_videos
    from castle_core.tracking.settings import TrackSettings

    given = dict(settings or {})
    check_keys(given, tuple(field.name for field in fields(TrackSettings)), "A tracker")
    values = {
        **given,
        "tracker": tracker,
        "start": start,
        "stop": stop,
        "direction": direction,
        "from_frame": from_frame,
        "until_next_prompt": until_next_prompt,
    }
    return track_videos(
        Project.open(project), list(videos), TrackSettings(**values), prompts_from=prompts_from, task=task
    )


def mend_masks(
    task: Task, *, project: str, owner: str, videos: Sequence[str], fill_gaps: int = 0, drop_specks: int = 0
) -> dict[str, Any]:
    """Fill short losses and drop specks in finished masks.

    Parameters
    ----------
    fill_gaps : int
        Longest loss to fill (frames); 0 fills none.
    drop_specks : int
        Pieces below so many pixels are dropped; 0 drops none.

    Returns
    -------
    dict
        ``mended``: ``{"video", "changed": frames, "lost": {roi: frames}}`` for each video.
    """
    del owner
    from castle_core.tracking.mending import mend_masks as mend

    opened = Project.open(project)
    mended = []
    for number, name in enumerate(videos):
        part = TaskPart(task, number, len(videos), name) if len(videos) > 1 else task
        summary, changed = mend(opened, name, longest_gap=int(fill_gaps), smallest_piece=int(drop_specks), task=part)
        lost = {str(roi): int(values.lost.sum()) for roi, values in summary.rois.items()}
        mended.append({"video": opened.video(name).name, "changed": changed, "lost": lost})
    return {"mended": mended}


def masks_from_points(
    task: Task, *, project: str, owner: str, videos: Mapping[str, str], keypoints: Sequence[str], **shape: Any
) -> dict[str, Any]:
    """Draw one ROI around predicted keypoints in several videos.

    Parameters
    ----------
    videos : mapping of str to str
        Name or stem → file with its predictions.
    keypoints : sequence of str
    shape
        ``shape``, ``radius``, ``roi_id``, ``likelihood_threshold`` of `castle_core.roi_files.masks_from_points`.

    Returns
    -------
    dict
        ``written``: ``{"video", "frames", "rois", "lost", "path"}``; ``failed``: ``{"video", "reason"}``.
    """
    del owner
    from castle_core.roi_files import masks_from_points as draw

    check_keys(shape, ("shape", "radius", "roi_id", "likelihood_threshold"), "The shape around keypoints")
    if not videos:
        raise ConfigError("Choose at least one video with predictions.")
    opened = Project.open(project)
    report: dict[str, Any] = {"written": [], "failed": []}
    for number, (name, predictions) in enumerate(videos.items()):
        part = TaskPart(task, number, len(videos), name) if len(videos) > 1 else task
        try:
            found = draw(opened, name, Path(predictions), keypoints=tuple(keypoints), task=part, **shape)
        except (JobCancelled, LeaseLostError):
            raise
        except (CastleError, OSError) as error:
            if len(videos) == 1:
                raise
            report["failed"].append({"video": name, "reason": str(error)})
            task.log(f"  {name}: {error}")
            continue
        lost = {str(roi): count for roi, count in found.lost.items()}
        report["written"].append(
            {
                "video": name,
                "frames": found.frames,
                "rois": list(found.rois),
                "lost": lost,
                "path": str(found.path),
            }
        )
    return report
