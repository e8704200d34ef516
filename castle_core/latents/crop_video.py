"""The crop as a video: the same picture that the model's input is made of, at source scale."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np

from castle_core.errors import ConfigError
from castle_core.files import locked, make_folder
from castle_core.latents.config import ExtractConfig
from castle_core.latents.frames import source_affine
from castle_core.latents.opening import open_masks
from castle_core.preprocess import OK, measure_poses
from castle_core.progress import QUIET, Task
from castle_core.projects import Project
from castle_core.rendering import render_crop, source_box
from castle_core.video import VideoWriter


def crop_path(project: Project, stem: str, roi_id: int) -> Path:
    """Return ``crop/<stem>/<stem>_ROI_<id>_crop.mp4``."""
    return project.path / "crop" / stem / f"{stem}_ROI_{roi_id}_crop.mp4"


def extract_crop_video(project: Project, name: str, config: ExtractConfig, *, task: Task = QUIET) -> Path:
    """Write the crop video of one video: h264, crf 15, yuv420p, with the source's time stamps and number of frames.

    Frames without the ROI, and frames that cannot be decoded, are black. An odd side gets one more row or
    column, since the format takes even sizes only; the log says so.

    Parameters
    ----------
    project : Project
        Where the video and its masks live.
    name : str
        The video's name or stem.
    config : ExtractConfig
        With a centre ROI.
    task : Task
        Progress in frames, log, cancel, lease.

    Returns
    -------
    Path
        The crop video.

    Raises
    ------
    ConfigError
        If no centre ROI is set.
    RoiError, VideoError, ProjectError
        If masks or video cannot be read, or the result cannot be written.
    """
    preprocess = config.preprocess
    if preprocess.center_roi is None:
        raise ConfigError("A crop video needs Center ROI on, so that there is something to crop around.")
    project.require_writable()
    entry = project.video(name)
    target = crop_path(project, entry.stem, preprocess.center_roi)
    make_folder(target.parent)
    work_folder = make_folder(project.cache_dir / "crop-work" / entry.stem)
    unfinished = work_folder / target.name
    width, height = preprocess.crop_width, preprocess.crop_height
    if width % 2 or height % 2:
        task.log(f"  {entry.stem}: a row or column is added to {width} x {height}, since h264 takes even sizes only.")
    with (
        locked(work_folder / target.name, timeout_s=1.0),
        project.open_video(entry.stem) as video,
        ExitStack() as stack,
    ):
        stack.callback(unfinished.unlink, missing_ok=True)
        masks = open_masks(project, entry.name, video, config)
        stack.callback(masks.close)
        poses = measure_poses(masks, preprocess, video.n_frames, average_fps=video.average_fps)
        background = config.roi_ids[0] if preprocess.remove_background == "roi" else None
        blank = np.zeros((height, width, 3), np.uint8)
        canvas = np.zeros((video.height, video.width, 3), np.uint8)
        with VideoWriter(
            unfinished, fps=video.average_fps, width=width, height=height, crf=15, variable=True
        ) as writer:
            for frame_index, decoded in video.decoded():
                picture = blank
                if decoded is not None and poses.status[frame_index] == OK:
                    affine = source_affine(preprocess, poses, frame_index)
                    frame = decoded.rgb(canvas, source_box([affine], preprocess, video.width, video.height))
                    mask = masks.mask_at(frame_index)
                    ids = mask if mask is not None else np.zeros(frame.shape[:2], np.uint8)
                    picture, _ = render_crop(frame, ids, preprocess, affine, background_roi=background)
                writer.write(picture, time_s=float(video.times_s[frame_index]))
                task.progress(frame_index + 1, video.n_frames, "frames")
        task.publish(unfinished, target)
    return target
