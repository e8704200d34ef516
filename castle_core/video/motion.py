"""How much moves, seen from the sizes of the compressed frames alone, without decoding."""

import numpy as np
import numpy.typing as npt

from castle_core.video.index import Floats
from castle_core.video.reader import Video

_INTRA_CODECS = {"mjpeg", "rawvideo", "ffv1", "prores", "dnxhd", "huffyuv", "png", "dvvideo", "utvideo", "jpeg2000"}


def motion_energy(video: Video, *, smooth_s: float = 0.5) -> npt.NDArray[np.float32]:
    """Estimate motion per frame from packet sizes.

    What does not move costs a video codec nearly nothing, so the bytes of a predicted frame follow its motion. Key
    frames cost much whether or not anything moves: their place is taken by their neighbours. Frame types that take
    turns (P and B) are brought to the same scale by the smoothing. Codecs that store each frame by itself say nothing
    about motion; there the change of size from frame to frame is used, which is a weak hint.

    Parameters
    ----------
    video : Video
        Any open video.
    smooth_s : float
        Length of the smoothing window in seconds, at least five frames.

    Returns
    -------
    (n,) float32
        0 (rest) … 1 (the video's 99th percentile and above).
    """
    from scipy import ndimage  # slow to load, and most commands do not need it

    sizes: Floats = np.log1p(video.packet_sizes.astype(np.float64))
    n_frames = len(sizes)
    key = np.zeros(n_frames, bool)
    key[video.key_frame_indices] = True
    if n_frames < 3:
        return np.zeros(n_frames, np.float32)
    if video.info.codec in _INTRA_CODECS or key.mean() > 0.5:
        sizes = np.abs(np.diff(sizes, prepend=sizes[0]))
    elif key.any():
        sizes[key] = np.interp(np.flatnonzero(key), np.flatnonzero(~key), sizes[~key])
    window = max(5, round(smooth_s * video.average_fps))
    smooth = ndimage.uniform_filter1d(sizes, min(window, n_frames), mode="nearest")
    low, high = np.percentile(smooth, [1, 99])
    if high - low < 1e-9:
        return np.zeros(n_frames, np.float32)
    return np.asarray(np.clip((smooth - low) / (high - low), 0, 1), np.float32)
