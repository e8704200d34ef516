import os
import shutil

import pytest

from castle_core.errors import AccessError
from castle_core.server_folders import ServerFolders


@pytest.fixture
def share(tmp_path):
    root = tmp_path / "share"
    (root / "day 1").mkdir(parents=True)
    (root / "day 1" / "möuse's.MP4").write_bytes(b"12345")
    (root / "frames.zip").write_bytes(b"1")
    (root / "notes.txt").write_bytes(b"1")
    (root / ".hidden").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "other.mp4").write_bytes(b"1")
    return root


def test_only_folders_videos_and_zips_are_listed(share):
    folders = ServerFolders.parse([f"lab={share}"])
    assert folders.names == ("lab",)
    assert [(entry.kind, entry.name) for entry in folders.list("lab")] == [("folder", "day 1"), ("zip", "frames.zip")]
    (video,) = folders.list("lab", "day 1")
    assert (video.kind, video.name, video.relative, video.size) == ("video", "möuse's.MP4", "day 1/möuse's.MP4", 5)
    assert folders.resolve("lab", video.relative).read_bytes() == b"12345"


@pytest.mark.parametrize(
    "relative", ["..", "../secret/other.mp4", "day 1/../../secret", "/etc/passwd", "day 1/..", "x\x00", "./../secret"]
)
def test_paths_that_leave_the_root_are_refused(share, relative):
    folders = ServerFolders.parse([f"lab={share}"])
    with pytest.raises(AccessError, match="outside"):
        folders.resolve("lab", relative)


def test_links_that_leave_the_root_are_neither_listed_nor_opened(share, tmp_path):
    os.symlink(tmp_path / "secret", share / "way out")
    os.symlink(tmp_path / "secret" / "other.mp4", share / "other.mp4")
    os.symlink("nowhere", share / "gone.mp4")
    os.symlink("circle.mp4", share / "circle.mp4")
    os.symlink("day 1", share / "inside")
    folders = ServerFolders.parse([f"lab={share}"])
    assert [entry.name for entry in folders.list("lab")] == ["day 1", "inside", "frames.zip"]
    for relative in ("way out", "way out/other.mp4", "other.mp4"):
        with pytest.raises(AccessError, match="outside"):
            folders.resolve("lab", relative)
    for relative in ("gone.mp4", "circle.mp4"):
        with pytest.raises(AccessError, match="gone"):
            folders.resolve("lab", relative)


def test_a_root_that_is_a_link_itself_is_the_administrators_choice(share, tmp_path):
    os.symlink(share, tmp_path / "link")
    folders = ServerFolders.parse([f"lab={tmp_path / 'link'}"])
    assert [entry.name for entry in folders.list("lab")] == ["day 1", "frames.zip"]


def test_a_folder_that_disappears_is_said_clearly(share):
    folders = ServerFolders.parse([f"lab={share}"])
    shutil.rmtree(share / "day 1")
    with pytest.raises(AccessError, match=r"'lab' is gone\. Was a drive unplugged"):
        folders.list("lab", "day 1")
    shutil.rmtree(share)
    with pytest.raises(AccessError, match=r"server folder 'lab' .* is gone"):
        folders.list("lab")
    with pytest.raises(AccessError, match="no server folder 'other'"):
        folders.list("other")


def test_a_file_is_not_listed_as_a_folder(share):
    with pytest.raises(AccessError, match="not a folder"):
        ServerFolders.parse([f"lab={share}"]).list("lab", "frames.zip")


@pytest.mark.parametrize(
    ("allowed", "line"),
    [
        (["lab"], "is not NAME=DIR"),
        (["=x"], "is not NAME=DIR"),
        (["lab="], "is not NAME=DIR"),
        (["lab=/no/such/folder"], "there is no folder"),
        (["lab=/", "lab=/tmp"], "twice"),
    ],
)
def test_wrong_options_say_what_is_wrong(allowed, line):
    with pytest.raises(AccessError, match=line):
        ServerFolders.parse(allowed)
