"""Run Frame: one row of latents written at once, and the frame's token map kept for pictures of it."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from castle_core.encoders import Encoder
from castle_core.errors import ConfigError
from castle_core.files import atomic_path, make_folder
from castle_core.latents.config import ExtractConfig, settings_hash
from castle_core.latents.npz import SCHEMA_VERSION, write_latents
from castle_core.latents.one_frame import FrameResult, run_frame
from castle_core.latents.point_keys import read_point_tracks
from castle_core.latents.points import PointTrack
from castle_core.pooling import pool_points, to_cells
from castle_core.preprocess import OK, POINT_MISSING, ROI_ABSENT, STATUS_NAMES, apply_affine
from castle_core.progress import QUIET, Task
from castle_core.projects import Project


def write_frame(
    project: Project, name: str, frame_index: int, config: ExtractConfig, encoder: Encoder, *, task: Task = QUIET
) -> dict[str, Any]:
    """Run one frame and write a file with one row for each ROI, ``latent/<encoder>/one-frame/…_frame<i>.npz``.

    Parameters
    ----------
    project, name, frame_index, config, encoder
        See `run_frame`. The feature map itself is kept for pictures only; with nothing else asked,
        the ROI means are written.
    task : Task
        Gives the files their final names.

    Returns
    -------
    dict
        ``status`` (its code), ``words``, ``paths`` of the files, and ``tokens``: path of an npz with ``tokens``
        (h, w, D) float16, ``image`` (S, S, 3) uint8 and ``mask`` (S, S) uint8; empty where there is no picture.

    Raises
    ------
    FrameIndexError, FrameDecodeError, RoiError, EncoderError
        If the frame cannot be read or run.
    """
    project.require_writable()
    entry = project.video(name)
    if config.preprocess.remove_background == "roi" and len(config.roi_ids) > 1:
        raise ConfigError("Run Frame keeps one ROI's background at a time. Enter one ROI ID.")
    points = read_point_tracks(project, entry.stem, config, task)
    result = run_frame(project, entry.stem, frame_index, config, encoder)
    report: dict[str, Any] = {
        "status": int(result.status),
        "words": STATUS_NAMES[result.status],
        "paths": [],
        "tokens": "",
        "frame_index": frame_index,
        "stem": entry.stem,
    }
    if result.tokens is None or result.image is None:
        return report
    folder = make_folder(project.path / "latent" / encoder.name / "one-frame")
    rows = _rows(result, config) | _point_rows(result, points, frame_index, config, encoder)
    for label, row in rows.items():
        path = folder / f"{entry.stem}_{label}_{encoder.name}_frame{frame_index}.npz"
        missing = POINT_MISSING if label.startswith("pt-") else ROI_ABSENT
        metadata = {
            "schema_version": SCHEMA_VERSION,
            "video_name": entry.name,
            "one_frame": frame_index,
            "model_name": encoder.name,
            "weight_hash": encoder.weight_hash,
            "precision": encoder.precision,
            "input_size": encoder.input_size,
            "feature_dim": encoder.embed_dim,
            "preprocessing": config.preprocess.to_json(),
            "output": label,
        }
        write_latents(
            path,
            [row[None].astype(np.float32)],
            (1, len(row)),
            status=np.array([missing if np.isnan(row).any() else OK], np.uint8),
            metadata=metadata,
            publish=task.publish,
        )
        report["paths"].append(str(path))
    report["tokens"] = str(_keep_tokens(project, entry.stem, frame_index, config, encoder, result, task))
    report["points"] = {track.name: _at(track, frame_index) for track in points}
    return report


def _at(track: PointTrack, frame_index: int) -> list[float] | None:
    x, y = track.at(frame_index)
    return [float(x), float(y)] if np.isfinite(x + y) else None


def _rows(result: FrameResult, config: ExtractConfig) -> dict[str, npt.NDArray[np.float32]]:
    assert result.tokens is not None
    rows = {}
    if "cls" in config.poolings and result.cls is not None:
        rows["cls"] = result.cls
    if "global" in config.poolings:
        rows["gap"] = result.tokens.mean(axis=(0, 1))
    if "roi-mean" in config.poolings or config.poolings == ("none",):
        rows |= {f"ROI_{roi}": row for roi, row in result.roi_means.items()}
    return rows


def _point_rows(
    result: FrameResult, points: list[PointTrack], frame_index: int, config: ExtractConfig, encoder: Encoder
) -> dict[str, npt.NDArray[np.float32]]:
    """Read the feature map at every point, as an extraction does."""
    import torch

    assert result.tokens is not None
    assert result.affine is not None
    height, width = result.source.shape[:2]
    rows = {}
    for track in points:
        xy = track.at(frame_index)
        inside = bool(((xy >= -0.5) & (xy <= (width - 0.5, height - 0.5))).all())
        seen = apply_affine(result.affine, xy) if inside else np.full(2, np.nan)
        cells = to_cells(seen, encoder.input_size, encoder.input_size // encoder.patch_size)
        read = pool_points(torch.from_numpy(result.tokens[None]), cells[None, None], interpolation=config.interpolation)
        rows[f"pt-{track.name}"] = np.asarray(read[0, 0].numpy())
    return rows


def _keep_tokens(
    project: Project,
    stem: str,
    frame_index: int,
    config: ExtractConfig,
    encoder: Encoder,
    result: FrameResult,
    task: Task,
) -> Path:
    key = settings_hash([stem, frame_index, config.identity(), encoder.name, encoder.weight_hash])[:16]
    path = make_folder(project.cache_dir / "one-frame") / f"{key}.npz"
    with atomic_path(path, publish=task.publish) as temporary, open(temporary, "wb") as stream:
        assert result.tokens is not None
        assert result.image is not None
        assert result.seen_mask is not None
        np.savez(stream, tokens=result.tokens.astype(np.float16), image=result.image, mask=result.seen_mask)
    return path


def token_rgb(tokens: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """Show a feature map in colour: its first three principal components as red, green and blue.

    Parameters
    ----------
    tokens : (h, w, D) float array

    Returns
    -------
    (h, w, 3) uint8 array
        Each component from its 2nd to its 98th percentile; signs are such that the largest loading is positive.
    """
    h, w, d = tokens.shape
    flat = tokens.reshape(-1, d).astype(np.float64)
    flat = flat - flat.mean(axis=0)
    _, values, axes = np.linalg.svd(flat.T @ flat)
    del values
    axes = axes[:3]
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    parts = np.zeros((h * w, 3))
    parts[:, : len(axes)] = flat @ axes.T
    low, high = np.percentile(parts, [2, 98], axis=0)
    scaled = np.clip((parts - low) / np.maximum(high - low, 1e-9), 0, 1)
    return np.asarray(np.round(scaled * 255).astype(np.uint8).reshape(h, w, 3))


def similarity(tokens: npt.NDArray[np.floating[Any]], row: int, column: int) -> npt.NDArray[np.float32]:
    """Return the cosine similarity (h, w), -1 … 1, of every cell to one cell; 0 where a token is zero."""
    unit = tokens.astype(np.float32)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=-1, keepdims=True), 1e-9)
    return np.asarray(unit @ unit[row, column])
