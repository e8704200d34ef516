import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from castle_core.errors import ProjectError
from castle_core.frames.export import _chunks
from castle_core.frames.names import frame_name, images_by_index, read_selected, selected_text, with_context
from castle_core.frames.record import Round, RoundFrame, RoundInfo, SelectionRecord, new_id, read_record

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | _text,
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=4,
)
_infos = st.builds(
    RoundInfo,
    id=_text,
    method=_text,
    settings=st.dictionaries(_text, _values, max_size=3),
    seed=st.none() | st.integers(0, 2**40),
    who=_text,
    when=_text,
    coverage=st.none() | st.dictionaries(_text, _numbers, max_size=3),
)
_frames = st.builds(
    RoundFrame,
    frame_index=st.integers(0, 10**8),
    name=_text,
    time_s=_numbers,
    reason=_text,
    score=_numbers,
    context=st.none() | st.integers(0, 9),
)
_rounds = st.builds(
    Round,
    info=_infos,
    frames=st.lists(_frames, max_size=3).map(lambda frames: tuple(sorted(frames, key=lambda f: f.frame_index))),
    context=st.integers(0, 9),
)
_known = {"format", "video", "rounds", "written", "found"}
_records = st.builds(
    SelectionRecord,
    video=_text,
    rounds=st.lists(_rounds, max_size=3).map(tuple),
    written=st.frozensets(_text, max_size=3),
    found=st.lists(_text, max_size=3).map(tuple),
    extra=st.dictionaries(_text.filter(lambda key: key not in _known), _values, max_size=2),
)


@settings(max_examples=40, deadline=None)
@given(record=_records)
def test_a_record_survives_its_file(tmp_path_factory, record):
    folder = tmp_path_factory.mktemp("record")
    (folder / "selection.json").write_text(json.dumps(record.to_json()), encoding="utf-8")
    assert read_record(folder) == record


@pytest.mark.parametrize(
    "document", [{}, {"rounds": 3}, {"rounds": [1, {"frames": [{"frame_index": "x"}]}]}, {"written": None, "found": {}}]
)
def test_a_record_of_another_shape_loses_only_what_cannot_be_read(tmp_path, document):
    (tmp_path / "selection.json").write_text(json.dumps(document))
    record = read_record(tmp_path)
    assert all(each.frames == () for each in record.rounds)


def test_a_damaged_record_is_named(tmp_path):
    (tmp_path / "selection.json").write_text("[oops")
    with pytest.raises(ProjectError, match=r"selection\.json is damaged"):
        read_record(tmp_path)


@settings(max_examples=40, deadline=None)
@given(frame_indices=st.sets(st.integers(0, 10**8 - 1), max_size=20))
def test_the_list_survives_its_file(tmp_path_factory, frame_indices):
    folder = tmp_path_factory.mktemp("list")
    selected = {index: frame_name(index) for index in frame_indices}
    text = selected_text(selected)
    (folder / "selected_frames.csv").write_text(text)
    assert read_selected(folder) == dict(sorted(selected.items()))
    assert text.splitlines() == sorted(text.splitlines())


@pytest.mark.parametrize(
    ("data", "frames"),
    [
        (b"", []),
        (b"img00000003.png", [3]),
        (b"\xef\xbb\xbfimg3.png\r\n\r\n img00000001.PNG \r\n", [1, 3]),
        (b'labeled-data/v/img5.png\nC:\\data\\v\\img7.jpg\n"img9.png"\n', [5, 7, 9]),
        (b"frame\nnotes.txt\nimg5.png\nimg0005.png\n", [5]),
    ],
)
def test_lists_of_other_tools(tmp_path, data, frames):
    (tmp_path / "selected_frames.csv").write_bytes(data)
    assert list(read_selected(tmp_path)) == frames


def test_a_list_that_is_no_text_is_named(tmp_path):
    (tmp_path / "selected_frames.csv").write_bytes(b"\xff\xfe")
    with pytest.raises(ProjectError, match=r"selected_frames\.csv is not a text file"):
        read_selected(tmp_path)


def test_of_two_images_of_one_frame_ours_counts(tmp_path):
    for name in ("img7.png", "img00000007.png", "img0008.jpg", "img8.png", ".img9.png", "notes.txt", "img.png"):
        (tmp_path / name).touch()
    assert images_by_index(tmp_path) == {7: "img00000007.png", 8: "img8.png"}
    assert images_by_index(tmp_path / "nothing") == {}


def test_frames_beyond_eight_digits_keep_all_of_them():
    assert frame_name(123456789) == "img123456789.png"


@settings(deadline=None)
@given(frame_index=st.integers(0, 100), context=st.integers(0, 5), more=st.integers(1, 50))
def test_context_is_inside_the_video(frame_index, context, more):
    n_frames = frame_index + more
    near = list(with_context(frame_index, context, n_frames))
    assert near == [i for i in range(n_frames) if abs(i - frame_index) <= context]


@settings(deadline=None)
@given(frame_indices=st.sets(st.integers(0, 60)).map(sorted), size=st.integers(1, 12))
def test_batches_hold_every_frame_once_and_keep_short_runs_whole(frame_indices, size):
    chunks = list(_chunks(frame_indices, size))
    assert [index for chunk in chunks for index in chunk] == frame_indices
    assert all(0 < len(chunk) <= size for chunk in chunks)
    for left, right in itertools.pairwise(chunks):
        if left[-1] + 1 == right[0]:  # only a run that is longer than a batch is split
            run = [i for i in frame_indices if left[-1] - size < i <= left[-1]]
            assert run == list(range(left[-1] - size + 1, left[-1] + 1))


def test_ids_differ_and_sort_by_time():
    ids = [new_id() for _ in range(20)]
    assert len(set(ids)) == 20
    assert [each[:15] for each in ids] == sorted(each[:15] for each in ids)
