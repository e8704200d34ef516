"""CASTLE's way to a latent, written anew from its description, to compare with.

One pass a ROI. Batches of 32 are handed in turn to two worker processes, so that each batch begins with a seek to a key
frame and decodes what lies between. Each frame: its mask from the HDF5 file, the largest piece of the centre ROI and of
the tail among all pieces of the whole picture, a warp of the whole picture to the centre, one more to turn it, a cut.
The main process brings the crop to the model's size in floating point, runs the model in fp32 and pools with the mask.
"""

import multiprocessing
import time
from pathlib import Path
from typing import Any

import av  # noqa: TID251  the peer's own reader is part of what is measured
import cv2
import h5py
import numpy as np

from castle_core.encoders import Encoder
from castle_core.preprocess import Preprocess
from castle_core.projects import Project

BATCH, WORKERS = 32, 2


def _largest(mask: np.ndarray, roi: int) -> np.ndarray:
    _, labels, stats, _ = cv2.connectedComponentsWithStats((mask == roi).astype(np.uint8), connectivity=8)
    return (labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)


def _centre(piece: np.ndarray) -> tuple[float, float]:
    moments = cv2.moments(piece, binaryImage=True)
    return moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]


def _processed(frame: np.ndarray, mask: np.ndarray, preprocess: Preprocess) -> tuple[np.ndarray, np.ndarray]:
    height, width = mask.shape
    x, y = _centre(_largest(mask, preprocess.center_roi or 1))
    shift = np.array([[1, 0, width // 2 - x], [0, 1, height // 2 - y]], np.float64)
    frame = cv2.warpAffine(frame, shift, (width, height))
    mask = cv2.warpAffine(mask, shift, (width, height), flags=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(_largest(mask, preprocess.tail_roi or 2), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = max(contours, key=len)[:, 0]
    middle = np.array([width // 2, height // 2])
    dx, dy = points[np.argmin(((points - middle) ** 2).sum(axis=1))] - middle
    turn = cv2.getRotationMatrix2D(tuple(map(float, middle)), float(np.degrees(np.arctan2(dy, dx))) - 90, 1.0)
    frame = cv2.warpAffine(frame, turn, (width, height))
    mask = cv2.warpAffine(mask, turn, (width, height), flags=cv2.INTER_NEAREST)
    top, left = height // 2 - preprocess.crop_height // 2, width // 2 - preprocess.crop_width // 2
    box = slice(top, top + preprocess.crop_height), slice(left, left + preprocess.crop_width)
    return frame[box], mask[box]


def _worker(video: Path, masks: Path, preprocess: Preprocess, jobs: Any, results: Any) -> None:
    cv2.setNumThreads(0)  # as in a loader's worker
    container = av.open(str(video))
    stream = container.streams.video[0]
    assert stream.time_base is not None
    assert stream.average_rate is not None
    step = float(1 / stream.average_rate / stream.time_base)
    with h5py.File(masks, "r", locking=False) as file:
        while (job := jobs.get()) is not None:
            container.seek(int(job[0] * step), stream=stream)
            pictures, ids = [], []
            for frame in container.decode(stream):
                index = round((frame.pts or 0) / step)
                if index < job[0]:
                    continue
                if index >= job[1]:
                    break
                picture, mask = _processed(frame.to_ndarray(format="rgb24"), file[str(index)][()], preprocess)
                pictures.append(picture)
                ids.append(mask)
            results.put((job[0], np.stack(pictures), np.stack(ids)))
    container.close()


def castle_recipe(
    project: Project, stem: str, encoder: Encoder, rois: tuple[int, ...], preprocess: Preprocess, n_frames: int
) -> float:
    """Compute the latents of `n_frames` frames for every ROI in turn; return the seconds it took."""
    import torch

    entry = project.video(stem)
    masks = project.path / "track" / entry.name / "mask_list.h5"
    context = multiprocessing.get_context("spawn")
    elapsed = 0.0
    for roi in rois:
        jobs, results = [context.Queue() for _ in range(WORKERS)], context.Queue(maxsize=2 * WORKERS)
        workers = [
            context.Process(target=_worker, args=(entry.path, masks, preprocess, queue, results), daemon=True)
            for queue in jobs
        ]
        for worker in workers:
            worker.start()
        starts = range(0, n_frames, BATCH)
        for queue in jobs:  # the start of the processes is not counted
            queue.put((0, 1))
        for _ in jobs:
            results.get()
        started = time.perf_counter()
        for number, start in enumerate(starts):
            jobs[number % WORKERS].put((start, min(start + BATCH, n_frames)))
        rows = {}
        for _ in starts:
            start, pictures, ids = results.get()
            pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
            size = encoder.input_size
            small = torch.nn.functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
            tokens = encoder.encode(small).patch_tokens.float()
            hits = torch.nn.functional.interpolate(torch.from_numpy(ids == roi)[:, None].float(), (size, size))
            side, patch = tokens.shape[1], encoder.patch_size
            weights = hits.reshape(len(ids), side, patch, side, patch).sum(dim=(2, 4))
            total = (weights[..., None] * tokens).sum(dim=(1, 2))
            rows[start] = (total / weights.sum(dim=(1, 2)).clamp(min=1e-6)[:, None]).numpy()
        np.savez_compressed(project.cache_dir / "peer.npz", latent=np.concatenate([rows[s] for s in sorted(rows)]))
        elapsed += time.perf_counter() - started
        for queue, worker in zip(jobs, workers, strict=True):
            queue.put(None)
            worker.join()
    return elapsed
