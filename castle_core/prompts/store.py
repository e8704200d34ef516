"""Drawings in the project: ``track/<video file name>/prompts.json``, with masks as PNGs beside it.

They lie there, not under ``.castle/``, since a person made them. CASTLE's label files count as drawings of frames that
have none of ours.
"""

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from castle_core.errors import RoiError
from castle_core.files import atomic_write_bytes, make_folder
from castle_core.projects import Project
from castle_core.projects.documents import read_document, update_document
from castle_core.prompts.label_files import labelled_frames, read_label_file
from castle_core.prompts.prompt import Prompt, check_prompts

FORMAT_VERSION = 1


def prompts_path(project: Project, stem: str) -> Path:
    """Return where a video's drawings lie (the file need not exist)."""
    return project.path / "track" / project.video(stem).name / "prompts.json"


def prompt_frames(project: Project, stem: str) -> tuple[int, ...]:
    """Return the frames of a video that have drawings, sorted; label files count. Reads no pictures."""
    ours = _frames(read_document(prompts_path(project, stem)))
    drawn = {frame for frame, drawings in ours.items() if drawings}
    return tuple(sorted(drawn | (set(labelled_frames(project, stem)) - set(ours))))


def read_prompts(project: Project, stem: str, frame_index: int | None = None) -> tuple[Prompt, ...]:
    """Return a video's drawings in the order of frames and, on one frame, of drawing.

    Parameters
    ----------
    frame_index : int, optional
        Only this frame's.

    Raises
    ------
    RoiError
        If a drawing, its picture or a label file is damaged.
    ProjectError
        If prompts.json cannot be read.
    """
    path = prompts_path(project, stem)
    ours = _frames(read_document(path))
    labels = labelled_frames(project, stem)
    prompts: list[Prompt] = []
    for index in sorted(ours.keys() | labels.keys()):
        if frame_index is not None and index != frame_index:
            continue
        if index in ours:
            prompts += [_read(path, index, value) for value in ours[index]]
        else:
            prompts += read_label_file(labels[index])
    return tuple(prompts)


def save_prompts(project: Project, stem: str, frame_index: int, prompts: Sequence[Prompt]) -> None:
    """Replace the drawings of one frame; none at all removes them (and stands against a label file of that frame).

    Raises
    ------
    RoiError
        If a drawing does not fit the video (see `check_prompts`), or is of another frame.
    ProjectError, LockHeldError, VideoError
        If nothing can be written, or the video cannot be read.
    """
    if any(prompt.frame_index != frame_index for prompt in prompts):
        raise RoiError(f"Only drawings of frame {frame_index} can be saved with it.")
    project.require_writable()
    entry = project.video(stem)
    with project.open_video(entry.stem) as video:
        check_prompts(prompts, height=video.height, width=video.width, n_frames=video.n_frames, video_name=entry.name)
        if frame_index >= video.n_frames or frame_index < 0:
            raise RoiError(f"{entry.name} has no frame {frame_index}: it has frames 0 to {video.n_frames - 1}.")
        size = [video.width, video.height]
    path = prompts_path(project, entry.stem)
    make_folder(path.parent)
    drawings = [_written(path, prompt) for prompt in prompts]

    def change(document: dict[str, Any]) -> None:
        document["format"] = FORMAT_VERSION
        document["video"] = entry.name
        document["size"] = size
        frames = document.get("frames")
        frames = dict(frames) if isinstance(frames, dict) else {}
        frames[str(frame_index)] = drawings
        document["frames"] = {key: frames[key] for key in sorted(frames, key=lambda k: (len(k), k))}

    document = update_document(path, change)
    _clear_pictures(path, document)


def _frames(document: dict[str, Any]) -> dict[int, list[dict[str, Any]]]:
    frames = document.get("frames")
    if not isinstance(frames, dict):
        return {}
    return {
        int(key): [value for value in drawings if isinstance(value, dict)]
        for key, drawings in frames.items()
        if key.isascii() and key.isdigit() and isinstance(drawings, list)
    }


def _read(path: Path, frame_index: int, value: dict[str, Any]) -> Prompt:
    if value.get("kind") != "mask":
        return Prompt.from_json(frame_index, value)
    return Prompt.from_json(frame_index, value, _read_picture(path.parent / "prompts" / Path(str(value["mask"])).name))


def _read_picture(picture: Path) -> npt.NDArray[np.bool_]:
    import cv2

    try:
        pixels = cv2.imdecode(np.frombuffer(picture.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
    except (OSError, cv2.error):
        pixels = None
    if pixels is None:
        raise RoiError(f"The drawn mask {picture} is gone or damaged. Draw it again.")
    return np.asarray(pixels > 127)


def _written(path: Path, prompt: Prompt) -> dict[str, Any]:
    """Return a drawing's JSON; a mask's picture is written, named by its content, so that it is never changed."""
    value = prompt.to_json()
    if prompt.kind == "mask":
        import cv2

        done, data = cv2.imencode(".png", prompt.data.astype(np.uint8) * 255)
        if not done:
            raise RoiError(f"The mask of frame {prompt.frame_index} cannot be written as PNG.")
        png = data.tobytes()
        name = f"{prompt.frame_index:08d}_ROI_{prompt.roi}_{hashlib.sha256(png).hexdigest()[:12]}.png"
        picture = make_folder(path.parent / "prompts") / name
        if not picture.exists():
            atomic_write_bytes(picture, png)
        value["mask"] = name
    return value


def _clear_pictures(path: Path, document: dict[str, Any]) -> None:
    """Delete pictures that no drawing names any more, and are older than any write under way could be."""
    import time

    named = {value.get("mask") for drawings in _frames(document).values() for value in drawings}
    with contextlib.suppress(OSError):
        for picture in (path.parent / "prompts").glob("*.png"):
            if picture.name not in named and time.time() - picture.stat().st_mtime > 3600:
                picture.unlink(missing_ok=True)
