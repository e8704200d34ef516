"""What the review shows: strips, losses, the worst frame; and masks in pieces for the player."""

import gzip
import struct

import numpy as np
import pytest

from castle_core.errors import CastleError
from castle_core.mask_writer import MaskListWriter
from castle_core.tracking.record import RoiSummary, TrackSummary
from ui.mask_pieces import mask_piece
from ui.tracking.strips import fitted, loss_starts, lost_share, strip_of, worst_frame


def track(n=1000, lost=(), confidence=None):
    gone = np.zeros(n, bool)
    for start, stop in lost:
        gone[start:stop] = True
    area = np.where(gone, 0, 200)
    known = np.full(n, np.nan) if confidence is None else np.asarray(confidence, float)
    return RoiSummary(area, known, gone)


def test_a_strip_never_hides_one_lost_frame():
    tracked = np.ones(20_000, bool)
    one = track(20_000, [(777, 778)], np.linspace(1, 0.5, 20_000))
    strip = strip_of(1, "body", one, tracked)
    assert len(strip.area) == len(strip.lost) == 500
    assert sum(strip.lost) == 1
    assert strip.lost[19]
    assert strip.words == "lost 0.0 % (1)"
    assert strip.confidence[-1] == pytest.approx(0.5, abs=1e-3)
    assert strip_of(1, "", track(3), np.ones(3, bool)).words == "never lost"


def test_untracked_frames_are_not_lost():
    tracked = np.ones(1000, bool)
    tracked[500:] = False
    half = track(lost=[(400, 1000)])
    assert lost_share(half, tracked) == pytest.approx(0.2)
    strip = strip_of(1, "", half, tracked)
    assert sum(strip.untracked) == 250
    assert sum(strip.lost) == 50


def test_losses_and_the_worst_frame():
    tracked = np.ones(1000, bool)
    tracks = {1: track(lost=[(10, 12), (300, 340)]), 2: track(lost=[(600, 601)])}
    assert loss_starts(tracks, tracked) == [10, 300, 600]
    assert worst_frame(tracks, tracked) == 320
    confidence = np.ones(1000)
    confidence[44] = 0.1
    assert worst_frame({1: track(confidence=confidence)}, tracked) == 44
    assert worst_frame({1: track()}, tracked) is None
    assert worst_frame({}, tracked) is None


def test_masks_of_fewer_or_more_frames_than_the_video():
    summary = TrackSummary(np.ones(10, bool), {1: track(10, [(8, 10)])})
    longer = fitted(summary, 15)
    assert longer.tracked.sum() == 10
    assert longer.rois[1].lost.sum() == 2
    shorter = fitted(summary, 9)
    assert len(shorter.tracked) == len(shorter.rois[1].area) == 9
    assert shorter.rois[1].lost.sum() == 1
    assert fitted(summary, 10) is summary


def test_masks_come_in_pieces(tmp_path):
    path = tmp_path / "mask_list.h5"
    with MaskListWriter(path, width=1000, height=500, n_rois=2) as writer:
        for index in range(5):
            mask = np.zeros((500, 1000), np.uint8)
            mask[100 + index, 200:400] = 2  # a line of one pixel
            writer.write(mask, (0, 0, 1000, 500))
    data = gzip.decompress(mask_piece(path, 2, 8))
    width, height, n = struct.unpack_from("<HHH", data)
    assert (width, height, n) == (333, 166, 6)
    assert list(data[6:12]) == [1, 1, 1, 0, 0, 0]
    masks = np.frombuffer(data, np.uint8, offset=12).reshape(n, height, width)
    assert set(np.unique(masks[0])) == {0, 2}
    assert not masks[3:].any()
    for start, stop in [(0, 0), (5, 2), (0, 65)]:
        with pytest.raises(CastleError):
            mask_piece(path, start, stop)
