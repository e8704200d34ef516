"""Bounds as people write them, and the frames between them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castle_core.errors import ConfigError
from castle_core.ranges import BEGINNING, END, Bound, parse_bound, parse_interval, usable_mask

TIMES = np.arange(300) / 30


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ("0", 0),
        ("1", 300),
        ("0.5", 150),
        (0.5, 150),
        (".25", 75),
        ("2s", 60),
        ("2.5 s", 75),
        ("0:03", 90),
        ("00:00:03.5", 105),
        ("12f", 12),
        ("999f", 300),
        ("99s", 300),
    ],
)
def test_bounds_are_read(text, frame):
    assert parse_bound(text).to_frame(TIMES, 300) == frame


@pytest.mark.parametrize("text", ["", "-1", "1.2", "5 m", "f", "1e3s", "nan", "10:5:", None, True, "12.5f"])
def test_what_is_no_bound_is_refused(text):
    with pytest.raises(ConfigError):
        parse_bound(text)


def test_a_typed_time_hits_its_frame_in_spite_of_rounding():
    times = np.arange(100_000) / 29.97
    for frame in (1, 777, 54_321):
        assert parse_bound(f"{times[frame]:.6f}s").to_frame(times, len(times)) == frame


@settings(max_examples=80, deadline=None)
@given(a=st.integers(0, 300), b=st.integers(0, 300), c=st.integers(0, 300), d=st.integers(0, 300))
def test_ranges_are_half_open_and_intervals_are_left_out(a, b, c, d):
    start, stop = sorted((a, b))
    first, last = sorted((c, d))
    mask = usable_mask(TIMES, f"{start}f", f"{stop}f", [f"{first}f-{last}f"])
    frames = np.arange(300)
    expected = (frames >= start) & (frames < stop) & ~((frames >= first) & (frames < last))
    np.testing.assert_array_equal(mask, expected)


@given(value=st.floats(0, 1), kind=st.sampled_from(["fraction", "time"]))
def test_bounds_survive_being_written(value, kind):
    bound = Bound(kind, round(value, 8))
    assert parse_bound(str(bound)) == bound


def test_intervals_need_two_bounds():
    assert parse_interval("10s-0:20") == (Bound("time", 10), Bound("time", 20))
    assert parse_interval((0, 1)) == (BEGINNING, END)
    for wrong in ("10s", "1-2-3"):
        with pytest.raises(ConfigError):
            parse_interval(wrong)


def test_a_time_as_it_is_shown_hits_its_frame():
    from castle_core.machine import clock

    for fps in (30.0, 29.97, 240.0, 1000.0):
        times_s = np.arange(3000) / fps
        for frame in (35, 602, 2999):
            assert parse_bound(clock(times_s[frame])).to_frame(times_s, 3000) == frame, fps
