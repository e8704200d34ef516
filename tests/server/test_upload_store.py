import hashlib
import json
import os
from collections import namedtuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from castle_core.errors import ProjectError
from castle_core.projects import Project
from castle_core.uploads import RunningDigest, UploadRefusedError, UploadStore, upload_projects

DAY = 24 * 3600.0
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def store(project) -> UploadStore:
    return UploadStore(project)


def create(store, name="a.mp4", size=10, user="ann", max_size=1 << 30):
    return store.create(user=user, name=name, size=size, max_size=max_size)


def test_a_finished_upload_keeps_its_bytes_and_knows_their_digest(store):
    upload = create(store)
    store.part(upload).write_bytes(b"0123456789")
    received = store.finish(upload, RunningDigest())
    assert received.sha256 == hashlib.sha256(b"0123456789").hexdigest()
    assert store.part(received).read_bytes() == b"0123456789"
    assert store.part(received).suffix == ".mp4"
    assert store.get(upload.id, "ann") == received
    assert store.offset(received) == 10
    assert os.stat(store.folder).st_dev == os.stat(store.project.path).st_dev


@pytest.mark.parametrize("crash", ["before the rename", "after the rename"])
def test_finishing_again_after_a_crash_gives_the_same(store, crash):
    upload = create(store)
    store.part(upload).write_bytes(b"0123456789")
    if crash == "after the rename":
        os.replace(store.part(upload), store.folder / f"{upload.id}.mp4")
    assert store.finish(upload, RunningDigest()).sha256 == hashlib.sha256(b"0123456789").hexdigest()


def test_an_incomplete_upload_is_not_finished(store):
    upload = create(store)
    store.part(upload).write_bytes(b"012345678")
    with pytest.raises(ProjectError, match="not complete"):
        store.finish(upload, RunningDigest())


def test_the_same_file_twice_is_kept_once(store):
    for state in ("received", "duplicate"):
        upload = create(store)
        store.part(upload).write_bytes(b"0123456789")
        assert store.finish(upload, RunningDigest()).state == state
    other = create(store)
    store.part(other).write_bytes(b"9876543210")
    assert store.finish(other, RunningDigest()).state == "received"
    assert len([path for path in store.folder.iterdir() if path.suffix == ".mp4"]) == 2


def test_labels_and_predictions_are_told_apart(store):
    """A csv, h5 or slp may be either: who sends it says what it is, and another use of the same bytes is no copy."""
    from ui import uploads

    sent = {}
    for purpose in ("labels", "predictions", "", "Not A Word; ../"):
        upload = store.create(user="ann", name="day1.csv", size=3, max_size=99, purpose=purpose)
        store.part(upload).write_bytes(b"abc")
        sent[purpose] = store.finish(upload, RunningDigest())
    assert [each.state for each in sent.values()] == ["received", "received", "received", "duplicate"]
    assert [each.purpose for each in sent.values()] == ["labels", "predictions", "", ""]
    found = {purpose: {each.purpose for each in uploads.finished("ann", store.project, purpose)} for purpose in sent}
    assert (found["labels"], found["predictions"]) == ({"labels", ""}, {"predictions", ""})


def test_an_upload_belongs_to_its_user(store):
    upload = create(store)
    assert store.get(upload.id, "bob") is None
    assert store.all("bob") == []
    for identity in ("../project", "", "0" * 32, upload.id.upper() + "x", f"../uploads/{upload.id}"):
        assert store.get(identity, "ann") is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../a.mp4", "name"),
        ("a/b.mp4", "name"),
        ("..\\a.mp4", "name"),
        ("", "name"),
        ("..", "name"),
        ("a\x00.mp4", "name"),
        ("a\n.mp4", "name"),
        ("ä" * 126 + ".mp4", "name"),
        ("a.exe", "type"),
        ("mp4", "type"),
        ("a.mp4.sh", "type"),
    ],
)
def test_names_and_types_that_are_not_taken(store, name, reason):
    with pytest.raises(UploadRefusedError) as caught:
        create(store, name)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "name",
    [
        'it\'s "mine" & <b>.mp4',
        "🐭🐭.MP4",
        "a" * 251 + ".mp4",
        "ä" * 125 + "a.mp4",
        ".hidden.mp4",
        " a .zip",
        "%2e%2e.mp4",
    ],
)
def test_odd_names_are_fine(store, name):
    assert store.get(create(store, name).id, "ann").name == name


def test_sizes_that_are_not_taken(store):
    with pytest.raises(UploadRefusedError, match="empty"):
        create(store, size=0)
    with pytest.raises(UploadRefusedError, match=r"has 2\.15 GB; this server takes 1\.07 GB at most"):
        create(store, size=2 << 30)


def test_a_full_disk_is_said_before_anything_is_sent(store, monkeypatch):
    monkeypatch.setattr("castle_core.uploads.shutil.disk_usage", lambda _: Usage(10, 5, 300 << 20))
    create(store, size=40 << 20)
    with pytest.raises(UploadRefusedError, match="Free some space") as caught:
        create(store, size=50 << 20)
    assert caught.value.reason == "disk"


def test_uploads_are_given_up_after_seven_idle_days(store):
    upload, other = create(store), create(store)
    start = store.get(upload.id, "ann").seen_at
    for hour in range(6, 6 * 24, 6):
        assert store.sweep(start + hour * 3600) == []
    store.part(other).write_bytes(b"01")  # somebody went on with this one
    removed = [u for hour in range(6 * 24, 7 * 24 + 6, 6) for u in store.sweep(start + hour * 3600)]
    assert [u.id for u in removed] == [upload.id]
    assert sorted(path.name for path in store.folder.iterdir()) == [f"{other.id}.json", f"{other.id}.part"]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(jumps=st.lists(st.floats(-1e9, 1e9, allow_nan=False), min_size=1, max_size=6))
def test_a_clock_that_jumps_deletes_nothing(store, jumps):
    """Six looks at an upload count six days at most, whatever the clock says."""
    upload = create(store)
    now = upload.seen_at
    for jump in jumps:
        now += jump
        store.sweep(now)
    assert store.get(upload.id, "ann") is not None


def test_damaged_notes_are_passed_over(store):
    upload = create(store)
    (store.folder / f"{upload.id}.json").write_text("{")
    (store.folder / f"{'1' * 32}.json").write_text(json.dumps({"id": "2" * 32}))
    assert store.all() == []
    assert store.sweep() == []


def test_projects_with_uploads_are_known_after_a_restart(store, castle_folders):
    create(store)
    other = Project.create(castle_folders / "elsewhere" / "rats")
    create(UploadStore(other))
    assert {project.name for project in upload_projects()} == {"mice", "rats"}
    os.rename(other.path, castle_folders / "gone")
    assert {project.name for project in upload_projects()} == {"mice"}


def test_a_read_only_project_takes_no_uploads(store, monkeypatch):
    monkeypatch.setattr(Project, "read_only", property(lambda self: True))
    with pytest.raises(ProjectError, match="read-only"):
        create(store)


@given(blocks=st.lists(st.binary(max_size=20), max_size=10), lost=st.sets(st.integers(0, 9)))
def test_the_digest_is_right_whatever_it_missed(tmp_path_factory, blocks, lost):
    path = tmp_path_factory.mktemp("digest") / "file"
    digest, offset = RunningDigest(), 0
    for number, block in enumerate(blocks):
        if number not in lost:
            digest.add(block, offset)
        offset += len(block)
    path.write_bytes(b"".join(blocks))
    digest.catch_up(path)
    assert digest.hexdigest() == hashlib.sha256(b"".join(blocks)).hexdigest()
