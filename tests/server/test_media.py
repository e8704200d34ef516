import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from castle_core.errors import FrameDecodeError, ProjectError
from castle_core.projects import Project
from ui import frame_reader, media
from ui.sessions import sealed, sessions


def grey(answer) -> float:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/jpeg"
    return float(cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_GRAYSCALE).mean())


def size(answer):
    return cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR).shape[:2]


@pytest.mark.parametrize("index", [0, 1, 17, 39])
def test_a_frames_picture_shows_that_frame(ann, film, index):
    answer = ann.get(media.frame_url(film, "small", index, user="ann"))
    assert abs(grey(answer) - (20 + 5 * index)) < 4
    assert size(answer) == (48, 64)
    assert "immutable" in answer.headers["cache-control"]
    assert "private" in answer.headers["cache-control"]


def test_pictures_come_in_a_few_sizes_and_are_never_enlarged(ann, film):
    url = media.frame_url(film, "small", 3, 30, user="ann")
    assert url.endswith("?w=64")
    base = media.media_base(film, "small", user="ann")
    monkeypatched = [32]
    frame_reader.WIDTHS, kept = (*monkeypatched, *frame_reader.WIDTHS), frame_reader.WIDTHS
    try:
        assert size(ann.get(f"{base}/frame/3.jpg?w=20")) == (24, 32)
    finally:
        frame_reader.WIDTHS = kept
    for text in ("960", "0", "-1", "x", "99999999"):
        assert size(ann.get(f"{base}/frame/3.jpg?w={text}")) == (48, 64)


def test_a_picture_is_decoded_once(ann, film, monkeypatch):
    url = media.frame_url(film, "small", 5, 64, user="ann")
    first = ann.get(url)
    monkeypatch.setattr(Project, "open_video", lambda *_: pytest.fail("decoded again"))
    media.READER._videos.close()
    assert ann.get(url).content == first.content
    assert list((film.path / ".castle" / "pictures").rglob("*.jpg"))


def test_many_requests_at_once_open_few_videos(ann, film, monkeypatch):
    opened = []
    original = Project.open_video
    monkeypatch.setattr(Project, "open_video", lambda self, name: opened.append(1) or original(self, name))
    media.READER._videos.close()
    with ann, ThreadPoolExecutor(8) as pool:  # one event loop for all
        urls = [media.frame_url(film, "small", index, 64, user="ann") for index in range(40)]
        values = list(pool.map(lambda url: grey(ann.get(url)), urls))
    assert np.allclose(values, [20 + 5 * index for index in range(40)], atol=4)
    assert len(opened) <= 2


def test_frames_that_are_not_there_or_broken_are_said(ann, film, monkeypatch):
    assert ann.get(media.frame_url(film, "small", 40, user="ann")).status_code == 404
    assert ann.get(media.frame_url(film, "small", 10**9, user="ann")).status_code == 404
    assert ann.get(media.media_base(film, "small", user="ann") + "/frame/-1.jpg").status_code == 404

    class Broken:
        n_frames = 40

        def frames_at(self, indices):
            raise FrameDecodeError("frame 2 is broken", frame_index=2)

        def frame_at(self, index):
            if index == 2:
                raise FrameDecodeError("frame 2 is broken", frame_index=2)
            return np.full((48, 64, 3), 99, np.uint8)

        def close(self):
            pass

    media.READER._videos.close()
    monkeypatch.setattr(Project, "open_video", lambda *_: Broken())
    answer = ann.get(media.frame_url(film, "small", 2, 96, user="ann"))
    assert (answer.status_code, answer.text) == (422, "frame 2 is broken")
    assert abs(grey(ann.get(media.frame_url(film, "small", 3, 96, user="ann"))) - 99) < 3
    media.READER._videos.close()


def test_another_users_address_is_worth_nothing(ann, bob, film):
    written = film.frames_folder("small")
    written.mkdir(parents=True)
    (written / "img00000001.png").write_bytes(b"png")
    for url in (
        media.frame_url(film, "small", 1, user="ann"),
        media.video_url(film, "small", user="ann"),
        media.written_url(film, "small", "img00000001.png", user="ann"),
    ):
        assert ann.get(url).status_code == 200
        assert bob.get(url).status_code == 404
        assert ann.get(url.replace("/api/media/", "/api/media/x")).status_code == 404


def test_an_address_cannot_be_changed_or_made(ann, film):
    key = media.media_base(film, "small", user="ann").rsplit("/", 1)[1]
    own = sealed("media bob").dumps([str(film.path), "small", "x"])
    upload = sealed("upload").dumps([str(film.path), "small", "x"])
    for wrong in (key[:-1], key + "a", "x", own, upload, sessions().new_cookie("ann")):
        assert ann.get(f"/api/media/{wrong}/video").status_code == 404


def test_the_video_comes_in_ranges(ann, film, small_video):
    data = small_video.read_bytes()
    url = media.video_url(film, "small", user="ann")
    whole = ann.get(url, headers={"Accept-Encoding": "gzip"})
    assert whole.content == data
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["accept-ranges"] == "bytes"
    for text, start, stop in (("0-99", 0, 100), ("100-", 100, len(data)), ("-50", len(data) - 50, len(data))):
        part = ann.get(url, headers={"Range": f"bytes={text}"})
        assert part.status_code == 206
        assert part.content == data[start:stop]
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(data)}"
    assert ann.get(url, headers={"Range": f"bytes={len(data) + 5}-"}).status_code == 416
    assert ann.head(url).headers["content-length"] == str(len(data))


def test_the_copy_for_browsers_is_used_where_there_is_one(ann, film):
    target = film.proxy_path("small")
    target.parent.mkdir(parents=True)
    target.write_bytes(b"copy")
    assert ann.get(media.video_url(film, "small", user="ann")).content == b"copy"
    target.unlink()
    assert ann.get(media.video_url(film, "small", user="ann")).content != b"copy"


def test_a_changed_or_missing_file_asks_for_a_reload(ann, film, small_video):
    url, frame = media.video_url(film, "small", user="ann"), media.frame_url(film, "small", 3, user="ann")
    path = film.video("small").path
    os.utime(path, ns=(5, 5))
    for address in (url, frame):
        answer = ann.get(address)
        assert answer.status_code == 404
        assert "Reload the page" in answer.text
    path.unlink()
    assert ann.get(url).status_code == 404
    os.symlink(small_video.parent / "gone.mp4", path)
    answer = ann.get(media.video_url(film, "small", user="ann"))
    assert answer.status_code == 404
    assert "gone" in answer.text
    with pytest.raises(ProjectError):
        media.frame_url(film, "other", 1, user="ann")


def test_a_linked_video_is_served(ann, film, small_video):
    os.symlink(small_video, film.path / "videos" / "linked one's.mp4")
    assert ann.get(media.video_url(film, "linked one's", user="ann")).content == small_video.read_bytes()
    assert grey(ann.get(media.frame_url(film, "linked one's", 2, user="ann"))) > 0


def test_written_frames_are_served_and_nothing_beside_them(ann, film, tmp_path):
    folder = film.frames_folder("a b's")  # a stem without a video
    folder.mkdir(parents=True)
    (folder / "img00000143.png").write_bytes(b"picture")
    (folder / "selected_frames.csv").write_bytes(b"x")
    (film.path / "secret.png").write_bytes(b"x")
    os.symlink(film.path / "secret.png", folder / "link.png")

    def get(name):
        return ann.get(media.written_url(film, "a b's", name, user="ann"))

    assert get("img00000143.png").content == b"picture"
    (folder / "img7.JPG").write_bytes(b"brought with labels")
    assert (get("img7.JPG").content, get("img7.JPG").headers["content-type"]) == (b"brought with labels", "image/jpeg")
    for name in (
        "selected_frames.csv",
        "link.png",
        "..",
        "../../secret.png",
        "img1.png",
        "",
        "\x00.png",
        "a" * 300 + ".png",
    ):
        assert get(name).status_code in (404, 405), name


def test_addresses_can_be_made_quickly(film):
    import time

    start = time.perf_counter()
    base = media.media_base(film, "small", user="ann")
    addresses = [f"{base}/frame/{index}.jpg?w=160" for index in range(200)]
    assert time.perf_counter() - start < 0.2
    assert len(set(addresses)) == 200


def test_the_cache_stays_small(tmp_path):
    for number in range(10):
        path = tmp_path / "v" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(100))
        os.utime(path, ns=(number * 10**9, number * 10**9))
    frame_reader.prune(tmp_path, 350)
    assert sorted(path.name for path in (tmp_path / "v").iterdir()) == ["7.jpg", "8.jpg", "9.jpg"]


def test_few_videos_stay_open(film, small_video):
    for number in range(6):
        (film.path / "videos" / f"v{number}.mp4").write_bytes(small_video.read_bytes())
    videos = frame_reader._OpenVideos()
    for number in range(6):
        with videos.use(frame_reader.Source(str(film.path), f"v{number}", "1")) as video:
            assert video.n_frames == 40
    assert len(videos._idle) == frame_reader._OPEN_VIDEOS
    videos.close()
    assert not videos._idle
