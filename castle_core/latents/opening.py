"""Open everything that the extraction of one video needs, and say what odd there is about it."""

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from castle_core import __version__
from castle_core.encoders import Encoder
from castle_core.errors import ConfigError, EncoderError, RoiError
from castle_core.files import atomic_path, make_folder
from castle_core.latents.batching import choose_batch_size
from castle_core.latents.config import ExtractConfig, settings_hash
from castle_core.latents.frames import View
from castle_core.latents.leftovers import clear_leftovers
from castle_core.latents.plan import Output, library_versions, plan_outputs
from castle_core.latents.point_keys import read_point_tracks
from castle_core.latents.shards import Work
from castle_core.preprocess import Poses, measure_poses
from castle_core.progress import Task
from castle_core.projects import Project
from castle_core.rois import MaskFile, MaskSource, WholeFrame, find_masks
from castle_core.tracking.record import known_rois, made_of_another_file
from castle_core.video import Video, fingerprint


def open_masks(project: Project, video_name: str, video: Video, config: ExtractConfig) -> MaskSource:
    """Open a video's masks and check that they fit it; without any need for masks, the whole frame.

    Raises
    ------
    RoiError
        If there are none, they were made for a video of another size or length, or a ROI is on no frame.
    """
    needed = any(config.needs_masks(roi_id, pooling) for roi_id in config.roi_ids for pooling in config.poolings)
    path = find_masks(project, video_name)
    if not needed:
        return WholeFrame(video.height, video.width)
    if not path.is_file():
        raise RoiError(
            f"{video_name} has no tracked ROIs ({path} is missing). Copy CASTLE's mask_list.h5 "
            "there, or take the whole frame (ROI ID 0)."
        )
    masks = MaskFile(path)
    if (masks.height, masks.width) != (video.height, video.width):
        masks.close()
        raise RoiError(
            f"The masks of {video_name} are {masks.width} x {masks.height}, the video is {video.width} x "
            f"{video.height}. They belong to another video; track this one."
        )
    try:
        _check_rois(masks, video_name, config)
    except RoiError:
        masks.close()
        raise
    return masks


def _check_rois(masks: MaskFile, video_name: str, config: ExtractConfig) -> None:
    """Refuse a ROI that is known to be on no frame: without it each row would be NaN."""
    known = known_rois(masks)
    if known is None:
        return
    pooled = config.roi_ids if set(config.poolings) != {"point"} else ()
    wanted = {roi for roi in (*pooled, config.preprocess.center_roi, config.preprocess.tail_roi) if roi}
    if absent := sorted(wanted - set(known)):
        there = ", ".join(str(roi) for roi in known) or "none"
        raise RoiError(
            f"ROI {', '.join(str(roi) for roi in absent)} is on no frame of {video_name}; tracked there: {there}. "
            "Is the ROI ID right? Else draw and track it first, or turn off what needs it."
        )


def check_poolings(config: ExtractConfig, encoder: Encoder) -> None:
    """Refuse poolings that the encoder cannot give.

    Raises
    ------
    EncoderError
        If CLS is asked of a model without a CLS token.
    """
    if "cls" in config.poolings and not encoder.has_cls:
        raise EncoderError(f"{encoder.name} has no CLS token. Choose ROI mean or Global Average Pooling.")


@dataclass(frozen=True)
class OpenVideo:
    """One video with its masks and plan; see `open_for_latents`.

    Attributes
    ----------
    project, stem, video_name
        Which video.
    video, masks
        Open for reading.
    config, encoder
        What is asked, and the model.
    folder, shard_root : Path
        Where results and unfinished work go.
    wanted : range
        The requested frames.
    outputs : list of Output
        All files that were asked for.
    """

    stem: str
    video_name: str
    video: Video
    masks: MaskSource
    config: ExtractConfig
    encoder: Encoder
    folder: Path
    shard_root: Path
    wanted: range
    outputs: list[Output]
    project: Project

    def work(self, outputs: list[Output], task: Task) -> Work:
        """Return the work for some of the outputs, with its folder made and centre and angle measured."""
        work = self.planned_work(outputs)
        make_folder(work.folder)
        clear_leftovers(work.folder)
        if self.config.preprocess.center_roi is None:
            return work
        return replace(work, poses=cached_poses(self.video, self.masks, self.config, work.folder, task))

    def planned_work(self, outputs: list[Output]) -> Work:
        """Return the work for some of the outputs as it would be, and write nothing: enough to see what is stored.

        Its folder is named by everything that the rows depend on; centre and angle are not measured yet.
        """
        batch_size = choose_batch_size(self.encoder, self.config.batch_size)
        device = self.encoder.device.split(":")[0]
        made_by = [library_versions(), __version__, batch_size, self.config.shard_frames, device]
        key = settings_hash([[output.identity for output in self.outputs], made_by])[:20]
        preprocess = self.config.preprocess
        backgrounds: tuple[int | None, ...] = (None,)
        if preprocess.remove_background == "roi":
            backgrounds = tuple(roi for roi in self.config.roi_ids if any(o.roi_id == roi for o in outputs))
        # CASTLE's angles: whole degrees, counter-clockwise.
        angles: tuple[int, ...] = (0,)
        if self.config.angles:
            angles = tuple(int(a) for a in np.linspace(0, 360, self.config.angles, endpoint=False))
        view = View(preprocess, backgrounds, angles)
        return Work(
            self.video,
            self.masks,
            None,
            self.encoder,
            self.config,
            view,
            tuple(outputs),
            self.wanted,
            self.shard_root / key,
            batch_size,
        )


@contextmanager
def open_for_latents(
    project: Project, name: str, config: ExtractConfig, encoder: Encoder, task: Task
) -> Iterator[OpenVideo]:
    """Open a video, its masks and points, and plan its outputs.

    Raises
    ------
    RoiError, VideoError, PredictionError, ConfigError, EncoderError
        If masks, video, points or settings cannot be used.
    """
    entry = project.video(name)
    check_poolings(config, encoder)
    with ExitStack() as stack:
        video = stack.enter_context(project.open_video(entry.stem))
        masks = open_masks(project, entry.name, video, config)
        stack.callback(masks.close)
        for line in mask_warnings(masks, video):
            task.log(f"  ⚠️ {line}")
        points = read_point_tracks(project, entry.stem, config, task)
        wanted = requested_frames(video, config)
        folder = project.path / "latent" / encoder.name
        outputs = plan_outputs(
            folder,
            entry.stem,
            config,
            encoder,
            points,
            wanted=wanted,
            video_fingerprint=fingerprint(entry.path),
            masks_hash=masks.content_hash(),
            average_fps=video.average_fps,
        )
        shard_root = project.cache_dir / "shards"
        yield OpenVideo(
            entry.stem,
            entry.name,
            video,
            masks,
            config,
            encoder,
            folder,
            shard_root,
            wanted,
            outputs,
            project,
        )


def requested_frames(video: Video, config: ExtractConfig) -> range:
    """Return the frames that are asked for.

    Raises
    ------
    ConfigError
        If the range holds none.
    """
    start, stop = (bound.to_frame(video.times_s, video.n_frames) for bound in (config.start, config.stop))
    if stop <= start:
        raise ConfigError(
            f"The range {config.start} … {config.stop} of {video.path.name} holds no frame. Choose a longer one."
        )
    return range(start, stop, config.every)


def mask_warnings(masks: MaskSource, video: Video) -> list[str]:
    """Say what is odd about masks that fit the video's size: another length, or tracked on another file."""
    if not isinstance(masks, MaskFile):
        return []
    name = video.path.name
    if masks.n_frames != video.n_frames:
        return [
            f"The masks were made for {masks.n_frames} frames, {name} has {video.n_frames}: do they belong to "
            "another version of this video?"
        ]
    if made_of_another_file(masks.path, video.path, video.n_frames):
        return [f"The masks were tracked on another file named {name}: it was replaced since. Track it again."]
    return []


def cached_poses(video: Video, masks: MaskSource, config: ExtractConfig, folder: Path, task: Task) -> Poses:
    """Measure centre and angle of the whole video once; a resumed run finds them in the work folder."""
    path = folder / "poses.npz"
    if path.is_file():
        with contextlib.suppress(OSError, ValueError, KeyError, EOFError, BadZipFile), np.load(path) as saved:
            return Poses(saved["center"], saved["angle_deg"], saved["status"])

    def on_progress(done: int, total: int) -> None:
        task.progress(done, total, "measuring centre and angle")

    poses = measure_poses(
        masks, config.preprocess, video.n_frames, average_fps=video.average_fps, on_progress=on_progress
    )
    with atomic_path(path, publish=task.publish) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, center=poses.center, angle_deg=poses.angle_deg, status=poses.status)
    return poses
