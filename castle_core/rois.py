"""ROI masks by frame: CASTLE's ``mask_list.h5``, shapes drawn around keypoints, or the whole picture.

A mask is an (H, W) uint8 picture: 0 is background, i is ROI i. A frame without a mask was not tracked (None); a frame
whose mask lacks a ROI was tracked, but the ROI was lost there.
"""

import hashlib
import itertools
import os
import zlib
from array import array
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt

from castle_core.errors import RoiError
from castle_core.hdf5 import open_hdf5

if TYPE_CHECKING:
    from castle_core.projects import Project

Mask = npt.NDArray[np.uint8]
# HDF5 remembers something about each data set that was opened, some 10 kB, for as long as the file is open.
_READS_BEFORE_REOPENING = 500
# A file has one chunk size and one gzip level, and so one form of an empty chunk, or a few.
_BACKGROUND_FORMS = 8
KeypointShape = Literal["disc", "hull", "capsule"]


class MaskSource(Protocol):
    """Anything that has a mask a frame.

    Attributes
    ----------
    height, width : int
        Size of every mask (pixels).
    """

    height: int
    width: int

    def mask_at(self, frame_index: int) -> Mask | None:
        """Return the (H, W) uint8 mask of a frame, or None where the frame was not tracked."""
        ...

    def content_hash(self) -> str:
        """Return a hash (hex) that changes when any mask changes."""
        ...

    def close(self) -> None:
        """Let go of files."""
        ...


def find_masks(project: "Project", video_name: str) -> Path:
    """Return where the tracked ROIs of a video lie: ``track/<video file name>/mask_list.h5``."""
    return project.path / "track" / video_name / "mask_list.h5"


def check_roi_id(roi_id: int) -> int:
    """Return `roi_id` if it is 0 (the whole frame) or 1 … 255.

    Raises
    ------
    RoiError
        If it is not; masks hold one byte a pixel.
    """
    if not 0 <= roi_id <= 255:
        raise RoiError(f"ROI {roi_id} cannot be: ids run from 1 to 255 (0 is the whole frame).")
    return roi_id


class MaskFile:
    """CASTLE's ``mask_list.h5``, opened read-only and without file locks (they fail on network drives).

    Parameters
    ----------
    path : Path
        The file. One data set a frame, named by the decimal frame index.

    Raises
    ------
    RoiError
        If it is missing, damaged, or holds no masks.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise RoiError(f"There are no tracked ROIs at {path}. Track them first (or import CASTLE's mask_list.h5).")
        try:
            self._file = open_hdf5(path)
        except OSError as error:
            raise RoiError(
                f"{path} cannot be read as HDF5 ({error}). It may be half-written; track the video again."
            ) from error
        self._stamp = _stamp(path)
        try:
            self.frame_indices = _frame_indices(self._file)
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            self._file.close()
            raise RoiError(f"{path} is damaged ({error}). Track the video again.") from error
        if not len(self.frame_indices):
            self._file.close()
            raise RoiError(f"{path} holds no masks. Track the video again.")
        try:
            shape = self._file[str(self.frame_indices[0])].shape
            height, width = shape if len(shape) == 2 else (0, 0)
            self.height, self.width = self._scalar("height", height), self._scalar("width", width)
            self.n_frames = self._scalar("total_frames", int(self.frame_indices[-1]) + 1)
            self.n_rois = self._scalar("roi_count", self._scalar("n_rois", 0))
        except (OSError, RuntimeError, ValueError, TypeError, AttributeError, KeyError) as error:
            self._file.close()
            raise RoiError(
                f"{path} is not a mask file as CASTLE writes it ({error}). Track the video again."
            ) from error
        self._hash = ""
        self._reads = 0
        self._background: set[bytes] = set()
        self._userblock = self._file.userblock_size

    def _has(self, frame_index: int) -> bool:
        place = int(np.searchsorted(self.frame_indices, frame_index))
        return place < len(self.frame_indices) and int(self.frame_indices[place]) == frame_index

    def _scalar(self, name: str, default: int) -> int:
        return int(self._file[name][()]) if name in self._file else int(default)

    def check_unchanged(self) -> None:
        """Check that the file is still the one that was opened.

        Raises
        ------
        RoiError
            If it was written or replaced since: what was read may be a mixture.
        """
        if _stamp(self.path) != self._stamp:
            raise RoiError(f"{self.path} was changed while it was being read. Run this again once tracking is over.")

    def mask_at(self, frame_index: int) -> Mask | None:
        """Return the (H, W) uint8 mask of a frame, or None where the frame was not tracked.

        Raises
        ------
        RoiError
            If the frame's data set is damaged or of another size or type.
        """
        import h5py

        if not self._has(frame_index):
            return None
        self._reads += 1
        if self._reads % _READS_BEFORE_REOPENING == 0:
            self._reopen()
        try:
            # HDF5's own interface: as the file has no groups, the convenient one would only take twice the time.
            data = h5py.h5d.open(self._file.id, b"%d" % frame_index)
            shape, dtype = data.shape, data.dtype
            mask = None
            if shape == (self.height, self.width) and dtype == np.uint8 and not self._userblock:
                mask = _read_chunks(self._file, data, shape, self._background)
            if mask is None:
                mask = np.empty(shape, dtype)
                data.read(h5py.h5s.ALL, h5py.h5s.ALL, mask)
        except (OSError, RuntimeError, ValueError, TypeError, AttributeError, KeyError, zlib.error) as error:
            raise RoiError(
                f"The mask of frame {frame_index} in {self.path} is damaged. Track the video again."
            ) from error
        if shape != (self.height, self.width) or dtype != np.uint8:
            raise RoiError(
                f"The mask of frame {frame_index} in {self.path} is {dtype} {shape}, not uint8 "
                f"({self.height}, {self.width}). Track the video again."
            )
        return np.asarray(mask)

    def _reopen(self) -> None:
        self.check_unchanged()
        self._file.close()
        try:
            self._file = open_hdf5(self.path)
        except OSError as error:
            raise RoiError(f"{self.path} cannot be read any more ({error}). Is the drive still there?") from error

    def content_hash(self) -> str:
        """Return the SHA-256 (hex) of the file's bytes."""
        if not self._hash:
            with open(self.path, "rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            self.check_unchanged()
            self._hash = digest
        return self._hash

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _read_chunks(file: Any, data: Any, shape: tuple[int, int], background: set[bytes]) -> Mask | None:
    """Read a uint8 mask's gzip chunks past HDF5, which takes twice the time; None where it is stored in another way.

    Chunks that are not stored are background. How stored chunks of mere background look is kept in `background`: most
    are, and need not be unpacked again.
    """
    import h5py

    layout = data.get_create_plist()
    if (
        layout.get_layout() != h5py.h5d.CHUNKED
        or layout.get_nfilters() != 1
        or layout.get_filter(0)[0] != h5py.h5z.FILTER_DEFLATE
        or layout.fill_value_defined() == h5py.h5d.FILL_VALUE_USER_DEFINED
        or not hasattr(data, "chunk_iter")
    ):
        return None
    chunks: list[Any] = []
    data.chunk_iter(chunks.append)
    handle, size = file.id.get_vfd_handle(), layout.get_chunk()
    high, wide = size
    n_bytes = high * wide
    mask = np.zeros(shape, np.uint8)
    for (top, left), filter_mask, offset, n_packed in chunks:
        if filter_mask:  # stored without gzip
            return None
        packed = os.pread(handle, n_packed, offset)
        if packed in background:
            continue
        tile = np.frombuffer(zlib.decompress(packed, bufsize=n_bytes), np.uint8).reshape(size)
        # Gzip makes at most 1032 bytes of one, and so few of nothing else than background.
        if n_packed <= n_bytes // 500 + 32 and len(background) < _BACKGROUND_FORMS and not tile.any():
            background.add(packed)
            continue
        place = mask[top : top + high, left : left + wide]
        place[...] = tile[: place.shape[0], : place.shape[1]]
    return mask


def _frame_indices(file: Any) -> npt.NDArray[np.int64]:
    """Return the frames that have a data set, ascending; in a long file, names take more memory than numbers."""
    found = array("q")

    def add(name: bytes) -> None:
        if name.isdigit() and (len(name) == 1 or not name.startswith(b"0")) and len(name) < 19:
            found.append(int(name))

    file.id.links.iterate(add)
    return np.sort(np.frombuffer(found, np.int64)) if found else np.empty(0, np.int64)


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_ino, found.st_size, found.st_mtime_ns


class WholeFrame:
    """The whole picture as ROI 0: every frame counts as tracked, with an empty mask."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self._mask = np.zeros((height, width), np.uint8)

    def mask_at(self, frame_index: int) -> Mask | None:
        """Return an all-zero mask."""
        del frame_index
        return self._mask

    def content_hash(self) -> str:
        """Return the same for every video."""
        return "whole-frame"

    def close(self) -> None:
        """Nothing to close."""


class KeypointMasks:
    """Masks drawn around tracked keypoints.

    Parameters
    ----------
    xy : (n, K, 2) float array
        x and y (pixels) of the chosen body parts; NaN where missing.
    likelihood : (n, K) float array, optional
        0 … 1; keypoints below `threshold` count as missing.
    height, width : int
        Size of the video (pixels).
    shape : {"disc", "hull", "capsule"}
        A disc around each keypoint; the convex hull of all discs; or discs joined in the order of the keypoints.
    radius : float
        Radius of the discs (pixels).
    roi_id : int
        1 … 255.
    threshold : float
        Least likelihood.

    Raises
    ------
    RoiError
        If the radius or the id cannot be.
    """

    def __init__(
        self,
        xy: npt.NDArray[np.floating[Any]],
        likelihood: npt.NDArray[np.floating[Any]] | None = None,
        *,
        height: int,
        width: int,
        shape: KeypointShape = "disc",
        radius: float = 20.0,
        roi_id: int = 1,
        threshold: float = 0.6,
    ) -> None:
        if not 0.5 <= radius <= max(height, width):
            raise RoiError(
                f"A radius of {radius} px cannot be drawn in a {width} x {height} picture. Choose a smaller one."
            )
        if check_roi_id(roi_id) == 0:
            raise RoiError("ROI 0 is the whole frame. Choose an id from 1 to 255.")
        self.height, self.width = height, width
        self._xy = np.array(xy, dtype=np.float64)
        if likelihood is not None:
            self._xy[np.asarray(likelihood) < threshold] = np.nan
        self._shape, self._radius, self._roi_id = shape, radius, roi_id

    def mask_at(self, frame_index: int) -> Mask | None:
        """Return the frame's mask; empty where no keypoint is known, None beyond the predictions' end."""
        import cv2

        if frame_index >= len(self._xy):
            return None
        mask = np.zeros((self.height, self.width), np.uint8)
        points = self._xy[frame_index]
        # A point far outside would overflow the drawing functions; it colours nothing anyway.
        limit = self._radius + 1
        inside = (
            (points > -limit).all(axis=1) & (points[:, 0] < self.width + limit) & (points[:, 1] < self.height + limit)
        )
        known = np.round(points[inside] * 8).astype(np.int32)  # 3 fractional bits
        radius = round(self._radius * 8)
        for x, y in known:
            cv2.circle(mask, (int(x), int(y)), radius, self._roi_id, -1, cv2.LINE_8, 3)
        if self._shape == "capsule":
            for a, b in itertools.pairwise(known):
                cv2.line(
                    mask,
                    tuple(a.tolist()),
                    tuple(b.tolist()),
                    self._roi_id,
                    max(1, round(2 * self._radius)),
                    cv2.LINE_8,
                    3,
                )
        elif self._shape == "hull" and len(known) > 1:
            ys, xs = np.nonzero(mask)
            if len(xs):
                hull = cv2.convexHull(np.stack([xs, ys], axis=1).astype(np.int32))
                cv2.fillConvexPoly(mask, hull, self._roi_id)
        return mask

    def content_hash(self) -> str:
        """Return the SHA-256 (hex) of points and drawing settings."""
        digest = hashlib.sha256(self._xy.tobytes())
        digest.update(f"{self._shape} {self._radius} {self._roi_id} {self.height} {self.width}".encode())
        return digest.hexdigest()

    def close(self) -> None:
        """Nothing to close."""


def largest_piece(mask: Mask, roi_id: int) -> tuple[Mask, int, int] | None:
    """Return the largest 8-connected piece of a ROI, cut out.

    Only the box around the ROI is looked at: on a whole frame the search for pieces takes several milliseconds.

    Parameters
    ----------
    mask : (H, W) uint8 array
        ROI ids.
    roi_id : int
        1 … 255.

    Returns
    -------
    tuple or None
        The (h, w) 0/1 mask of the piece's surroundings, and the x and y of its top left pixel in `mask`; None if the
        ROI is not there.
    """
    import cv2

    binary = cv2.compare(mask, float(roi_id), cv2.CMP_EQ)  # 0 or 255
    left, top, width, height = cv2.boundingRect(binary)
    if width == 0:
        return None
    box = binary[top : top + height, left : left + width] & 1
    n_labels, labels, stats, _ = cv2.connectedComponentsWithStats(box, connectivity=8)
    if n_labels > 2:
        largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
        box = (labels == largest).astype(np.uint8)
    return np.asarray(box), left, top


def largest_component(mask: Mask, roi_id: int) -> Mask | None:
    """Return the largest 8-connected piece of a ROI as an (H, W) 0/1 mask, or None if the ROI is not there."""
    found = largest_piece(mask, roi_id)
    if found is None:
        return None
    piece, left, top = found
    whole = np.zeros_like(mask)
    whole[top : top + piece.shape[0], left : left + piece.shape[1]] = piece
    return whole


def component_centroid(component: Mask) -> tuple[float, float]:
    """Return the centroid (x, y; pixels) of a 0/1 mask that is not empty."""
    import cv2

    moments = cv2.moments(component, binaryImage=True)
    return moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
