"""What one video's extraction writes where, and what makes it the same as an earlier one."""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from castle_core import __version__
from castle_core.encoders import Encoder
from castle_core.errors import EncoderError
from castle_core.files import make_folder
from castle_core.latents.config import POOLING_TAGS, ExtractConfig, PoolingName, settings_hash
from castle_core.latents.npz import SCHEMA_VERSION, read_latents
from castle_core.latents.points import PointTrack


@dataclass(frozen=True)
class Output:
    """One file of an extraction.

    Attributes
    ----------
    roi_id : int
        0 is the whole frame.
    pooling : str
        See `ExtractConfig`.
    point : PointTrack or None
        With pooling "point".
    path : Path
        Final path, ``.npz``, or ``_map.h5`` for the feature map.
    identity : dict
        What decides about the numbers; two files with equal identity hold the same.
    """

    roi_id: int
    pooling: PoolingName
    point: PointTrack | None
    path: Path
    identity: dict[str, Any]

    @property
    def key(self) -> str:
        """A short name for what this output holds."""
        return settings_hash(self.identity)[:16]


@dataclass(frozen=True)
class Existing:
    """What lies where an output wants to go.

    Attributes
    ----------
    state : {"absent", "same", "different"}
        Nothing; the same settings, masks and number of rows; something else.
    reason : str
        In words, for the log and the pre-flight table.
    """

    state: Literal["absent", "same", "different"]
    reason: str = ""


def output_name(stem: str, roi_id: int, slug: str, config: ExtractConfig, pooling: PoolingName, point: str = "") -> str:
    """Return the file name that CASTLE's users know: ``<stem>_ROI_<id>_<encoder>[_ctr][_rmbg][tag].npz``."""
    if config.angles:
        return f"{stem}_ROI_{roi_id}_rotation_latent.npz"
    tag = f"_pt-{point}" if pooling == "point" else POOLING_TAGS[pooling]
    centred = "_ctr" if config.preprocess.center_roi is not None else ""
    removed = "_rmbg" if config.preprocess.remove_background else ""
    ending = ".h5" if pooling == "none" else ".npz"
    return f"{stem}_ROI_{roi_id}_{slug}{centred}{removed}{tag}{ending}"


def plan_outputs(
    folder: Path,
    stem: str,
    config: ExtractConfig,
    encoder: Encoder,
    points: list[PointTrack],
    *,
    wanted: range,
    video_fingerprint: str,
    masks_hash: str,
    average_fps: float,
) -> list[Output]:
    """List the files that an extraction of one video writes into `folder` (``latent/<encoder>``).

    Parameters
    ----------
    wanted : range
        The requested frames.
    video_fingerprint, masks_hash : str
        What is encoded.
    average_fps : float
        Frames a second; it decides about the result where centre and angle are smoothed over time.
    """
    smoothed = config.preprocess.center_roi is not None and config.preprocess.smooth_s > 0
    outputs = []
    for roi_id in config.roi_ids:
        for pooling in config.poolings:
            for point in points if pooling == "point" else [None]:
                identity = {
                    **config.identity(pooling),
                    "start": wanted.start,
                    "stop": wanted.stop,
                    "average_fps": average_fps if smoothed else None,
                    "encoder": encoder.name,
                    "weights": encoder.weight_hash,
                    "precision": encoder.precision,
                    "input_size": encoder.input_size,
                    "roi": roi_id,
                    "pooling": pooling,
                    "video": video_fingerprint,
                    "masks": masks_hash if config.needs_masks(roi_id, pooling) else None,
                    "points": point.content_hash() if point else None,
                }
                name = output_name(stem, roi_id, encoder.name, config, pooling, point.name if point else "")
                outputs.append(Output(roi_id, pooling, point, folder / name, identity))
    return outputs


_WORDS = {
    "masks": "the ROIs were tracked again since",
    "points": "the points changed since",
    "video": "the video file changed since",
    "weights": "the model's weights are others",
    "precision": "the precision was {old}, you ask {new}",
    "input_size": "the input size was {old}, you ask {new}",
    "every": "one of every {old} frames was taken, you ask one of every {new}",
    "start": "it started at frame {old}, you ask {new}",
    "stop": "it ended before frame {old}, you ask {new}",
    "average_fps": "smoothing saw {old} frames a second, now {new}",
    "angles": "{old} angles then, {new} now",
    "interpolation": "interpolation was {old}, you ask {new}",
}


def describe_difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Say in words how two identities differ."""
    said = []
    for key in new:
        before, after = old.get(key), new[key]
        if before == after:
            continue
        if key == "preprocess" and isinstance(before, dict):
            said.append(_preprocess_difference(before, after))
        else:
            said.append(_WORDS.get(key, f"{key} was {{old}}, you ask {{new}}").format(old=before, new=after))
    return "; ".join(part for part in said if part) or "its settings are unknown"


def _preprocess_difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    said = []
    sizes = [(s.get("crop_width"), s.get("crop_height")) for s in (old, new)]
    if sizes[0] != sizes[1] and None not in (*sizes[0], *sizes[1]):
        said.append(f"the crop was {sizes[0][0]} x {sizes[0][1]}, you ask {sizes[1][0]} x {sizes[1][1]}")
    for key in sorted(set(old) | set(new)):
        if key not in ("crop_width", "crop_height") and old.get(key) != new.get(key):
            said.append(f"{key.replace('_', ' ')} was {old.get(key)}, you ask {new.get(key)}")
    return "; ".join(said)


def look_at_existing(output: Output, n_frames: int) -> Existing:
    """Compare an output with what lies at its path: settings, masks and number of rows, not only the name."""
    if not output.path.exists():
        return Existing("absent")
    try:
        old, rows = _identity_of(output.path)
    except EncoderError as error:
        return Existing("different", f"exists, but cannot be read ({error})")
    if not old:
        return Existing("different", "exists, written by another program: its settings are unknown")
    if rows != n_frames:
        return Existing("different", f"exists with {rows} rows, the video has {n_frames} frames")
    if old == json.loads(json.dumps(output.identity)):
        return Existing("same", "exists with the same settings")
    return Existing("different", "exists, but " + describe_difference(old, json.loads(json.dumps(output.identity))))


def _identity_of(path: Path) -> tuple[dict[str, Any], int]:
    if path.suffix == ".h5":
        from castle_core.latents.maps import read_map_metadata

        metadata, rows = read_map_metadata(path)
    else:
        latents = read_latents(path)
        metadata, rows = latents.metadata, len(latents.latent)
    identity = metadata.get("identity")
    return (identity if isinstance(identity, dict) else {}), rows


def keep_both_path(output: Output) -> Path:
    """Return the path of a second file beside an existing one: ``…_pre-<8 hex of its settings>``."""
    tag = settings_hash(output.identity)[:8]
    if output.path.name.endswith("_map.h5"):
        return output.path.with_name(output.path.name.removesuffix("_map.h5") + f"_pre-{tag}_map.h5")
    return output.path.with_name(f"{output.path.stem}_pre-{tag}{output.path.suffix}")


def replace_keeping(temporary: Path, final: Path, cache_folder: Path, publish: Callable[[Path, Path], None]) -> Path:
    """Give a finished file the name of an earlier one, which stays (with its sidecar) in ``.castle/trash/<time>/``.

    Where `publish` refuses, as it does once a job was cancelled, the earlier file is where it was.

    Returns
    -------
    Path
        The earlier file.
    """
    folder = make_folder(cache_folder / "trash" / time.strftime("%Y%m%d-%H%M%S"))
    kept = folder / final.name
    number = 1
    while kept.exists():
        number += 1
        kept = folder / f"{number}-{final.name}"
    try:
        os.link(final, kept)  # a second name, so that the first one is never without a file
    except OSError:  # a file system without links
        shutil.copy2(final, kept)
    sidecar, kept_sidecar = (path.with_name(path.name + ".json") for path in (final, kept))
    if sidecar.exists():
        shutil.move(sidecar, kept_sidecar)
    try:
        publish(temporary, final)
    except BaseException:
        if kept_sidecar.exists():
            shutil.move(kept_sidecar, sidecar)
        kept.unlink(missing_ok=True)
        raise
    return kept


def metadata_of(
    output: Output, *, video_name: str, n_frames: int, encoder: Encoder, batch_size: int, status: npt.NDArray[np.uint8]
) -> dict[str, Any]:
    """Return the metadata of a latent file: what CASTLE's newer files say, and all that the numbers depend on."""
    counts = np.bincount(status, minlength=8)
    identity = output.identity
    return {
        "schema_version": SCHEMA_VERSION,
        "castle_studio_version": __version__,
        "video_name": video_name,
        "video_fingerprint": identity["video"],
        "roi_id": output.roi_id,
        "model_name": encoder.name,
        "weight_hash": encoder.weight_hash,
        "n_frames": n_frames,
        "feature_dim": encoder.embed_dim,
        "dtype": "float16" if output.pooling == "none" else "float32",
        "pooling": output.pooling,
        "point": output.point.name if output.point else None,
        "points_hash": identity["points"],
        "masks_hash": identity["masks"],
        "preprocessing": identity["preprocess"],
        "rotation_angles": identity["angles"],
        "input_size": encoder.input_size,
        "precision": encoder.precision,
        "batch_size": batch_size,
        "device": encoder.device.split(":")[0],
        "status_counts": {str(code): int(count) for code, count in enumerate(counts) if count},
        "versions": library_versions(),
        "identity": identity,
    }


@cache
def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that the numbers depend on."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("torch", "transformers", "numpy", "opencv-python", "opencv-python-headless", "av"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
