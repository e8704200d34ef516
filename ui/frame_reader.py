"""Pictures of video frames for the browser: decoded in batches, a few at a time, kept on the disk."""

import asyncio
import contextlib
import hashlib
import os
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio import CapacityLimiter, to_thread

from castle_core.errors import CastleError, FrameDecodeError, FrameIndexError
from castle_core.files import make_folder
from castle_core.projects import Project

if TYPE_CHECKING:
    from castle_core.video import Video

WIDTHS = (64, 96, 128, 160, 192, 240, 320, 480, 640, 960, 1280, 1920)
"""Pixels across; 0 means as the video is. Few sizes, so that the cache is used."""

_BATCH = 8
_OPEN_VIDEOS = 4
_IDLE_S = 30.0
_DECODERS = 2
CACHE_BYTES = 1 << 30


@dataclass(frozen=True)
class Source:
    """One version of one video of a project.

    Attributes
    ----------
    project, stem : str
        The project's folder, and the video in it.
    version : str
        Changes with the file, so that a picture never comes from another file of the same name.
    """

    project: str
    stem: str
    version: str


def video_version(path: Path) -> str:
    """Return a short text that changes when the file at `path` (or the one it links to) changes.

    Raises
    ------
    OSError
        If there is no file.
    """
    status = path.stat()
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


def rounded_width(width: int | None) -> int:
    """Return the next larger of `WIDTHS`; 0 for None, 0 or more than the largest."""
    if not width or width < 0:
        return 0
    return next((known for known in WIDTHS if known >= width), 0)


def cached_jpeg(source: Source, frame_index: int, width: int) -> Path:
    """Return where the picture of a frame is kept (it need not be there)."""
    name = hashlib.sha256(source.stem.encode("utf-8")).hexdigest()[:16]
    folder = Project(Path(source.project)).cache_dir / "pictures" / f"{name}-{source.version}"
    return folder / f"w{width}" / f"{frame_index:08d}.jpg"


class FrameReader:
    """Serves JPEGs of frames.

    Requests for one video that wait at the same time are decoded together, in the video's order, so that each group
    of pictures is decoded once; different videos take turns.
    """

    def __init__(self) -> None:
        self._waiting: dict[Source, dict[tuple[int, int], asyncio.Future[bytes]]] = {}
        self._limiter: CapacityLimiter | None = None
        self._videos = _OpenVideos()
        self._written = 0

    async def jpeg(self, source: Source, frame_index: int, width: int) -> bytes:
        """Return the picture of a frame.

        Parameters
        ----------
        source : Source
        frame_index : int
            From 0.
        width : int
            One of `WIDTHS`, or 0. A frame is never enlarged.

        Raises
        ------
        FrameIndexError, FrameDecodeError, VideoError, ProjectError
            If there is no such frame, or it cannot be read.
        """
        cached = await to_thread.run_sync(_read, source, frame_index, width)
        if cached is not None:
            return cached
        waiting = self._waiting.get(source)
        if waiting is None:
            waiting = self._waiting[source] = {}
            task = asyncio.get_running_loop().create_task(self._work(source))
            task.add_done_callback(lambda _: None)
        key = (frame_index, width)
        future = waiting.setdefault(key, asyncio.get_running_loop().create_future())
        return await asyncio.shield(future)

    async def _work(self, source: Source) -> None:
        if self._limiter is None:
            self._limiter = CapacityLimiter(_DECODERS)
        waiting = self._waiting[source]
        await asyncio.sleep(0.005)  # a page asks for many pictures at once
        while waiting:
            keys = sorted(waiting)[:_BATCH]
            futures = {key: waiting[key] for key in keys}
            try:
                results = await to_thread.run_sync(self._decode, source, keys, limiter=self._limiter)
            except BaseException as error:
                results = dict.fromkeys(keys, error if isinstance(error, Exception) else CastleError("stopped"))
            for key, future in futures.items():
                waiting.pop(key, None)
                if future.done():
                    continue
                result = results[key]
                if isinstance(result, bytes):
                    future.set_result(result)
                else:
                    future.set_exception(result)
                    future.exception()  # whoever asked may be gone
        del self._waiting[source]

    def _decode(self, source: Source, keys: list[tuple[int, int]]) -> dict[tuple[int, int], "bytes | Exception"]:
        """Decode the frames of some pictures and keep the pictures."""
        from castle_core.video import encode_jpeg

        with self._videos.use(source) as video:
            frames = _frames(video, sorted({index for index, _ in keys if 0 <= index < video.n_frames}))
            n_frames = video.n_frames
        results: dict[tuple[int, int], bytes | Exception] = {}
        for index, width in keys:
            frame = frames.get(index)
            if frame is None:
                results[index, width] = FrameIndexError(f"{source.stem} has frames 0 to {n_frames - 1}, not {index}.")
            elif isinstance(frame, Exception):
                results[index, width] = frame
            else:
                jpeg = encode_jpeg(frame, width=width if width and width < frame.shape[1] else None)
                self._keep(source, index, width, jpeg)
                results[index, width] = jpeg
        return results

    def _keep(self, source: Source, frame_index: int, width: int, jpeg: bytes) -> None:
        """Write a picture to the cache; a full or read-only disk only makes the next time slower."""
        with contextlib.suppress(OSError, CastleError):
            path = cached_jpeg(source, frame_index, width)
            make_folder(path.parent)
            descriptor, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
            with os.fdopen(descriptor, "wb") as file:
                file.write(jpeg)
            os.replace(name, path)
            self._written += len(jpeg)
            if self._written > CACHE_BYTES // 8:
                self._written = 0
                prune(path.parent.parent.parent, CACHE_BYTES)

    def close(self) -> None:
        """Close all videos."""
        self._videos.close()


def _read(source: Source, frame_index: int, width: int) -> bytes | None:
    try:
        return cached_jpeg(source, frame_index, width).read_bytes()
    except OSError:
        return None


def _frames(video: "Video", indices: list[int]) -> dict[int, Any]:
    """Decode frames together; where one is broken, one by one, so that the others are shown."""
    if not indices:
        return {}
    try:
        batch = video.frames_at(indices)
        return dict(zip(indices, batch.data, strict=True))
    except FrameDecodeError:
        pass
    frames: dict[int, Any] = {}
    for index in indices:
        try:
            frames[index] = video.frame_at(index)
        except CastleError as error:
            frames[index] = error
    return frames


def prune(folder: Path, limit: int) -> None:
    """Delete the pictures that were written longest ago until `folder` holds less than `limit` bytes."""
    files = []
    for path in folder.rglob("*.jpg"):
        with contextlib.suppress(OSError):
            status = path.stat()
            files.append((status.st_mtime_ns, status.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= limit:
            break
        path.unlink(missing_ok=True)
        total -= size


class _OpenVideos:
    """A few videos stay open between requests. One thread at a time uses one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: OrderedDict[Source, tuple[Video, float]] = OrderedDict()

    @contextlib.contextmanager
    def use(self, source: Source) -> "Iterator[Video]":
        """Give an open video of `source` to the block."""
        with self._lock:
            video, _ = self._idle.pop(source, (None, 0.0))
        if video is None:
            project = Project.open(source.project)
            video = project.open_video(source.stem)
        try:
            yield video
        except BaseException:
            video.close()
            raise
        with self._lock:
            self._idle[source] = (video, time.monotonic())
        self.close_idle()

    def close_idle(self) -> None:
        """Close what was not used for a while, and the oldest where too many are open."""
        now = time.monotonic()
        with self._lock:
            stale = [key for key, (_, used) in self._idle.items() if now - used > _IDLE_S]
            many = list(self._idle)[: max(0, len(self._idle) - _OPEN_VIDEOS)]
            closing = [self._idle.pop(key)[0] for key in {*stale, *many}]
        for video in closing:
            video.close()

    def close(self) -> None:
        """Close all that are not in use."""
        with self._lock:
            closing = [video for video, _ in self._idle.values()]
            self._idle.clear()
        for video in closing:
            video.close()
