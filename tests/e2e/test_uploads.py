"""The uploader in a real browser: pause, lost connection, killed tab, several files, wrong ones, two tabs."""

import hashlib
import struct

import pytest
from steps import extract_button, fresh, open_project, settle, until

from castle_core.projects import Project
from castle_core.uploads import UploadStore

expect = pytest.importorskip("playwright.sync_api").expect

MB = 1_000_000


@pytest.fixture(scope="module")
def long_film(tmp_path_factory, short_film):
    """A film of 60 MB: the short one, and a box that players skip."""
    path = tmp_path_factory.mktemp("films") / "long.mp4"
    padding = hashlib.shake_128(b"padding").digest(60 * MB)
    path.write_bytes(short_film.read_bytes() + struct.pack(">I4s", len(padding) + 8, b"free") + padding)
    return path


class Line:
    """A tab's connection that carries only so much.

    One browser session for all changes of a tab's speed: a limit that another session has set stays beside the new one.
    """

    def __init__(self, page):
        self._session = page.context.new_cdp_session(page)

    def carries(self, bytes_per_second):
        speed = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_per_second}
        self._session.send("Network.emulateNetworkConditions", speed)


def pick(page, *files):
    page.locator("input[type=file]").set_input_files([str(file) for file in files])


def refused_line(page, name):
    return page.get_by_role("list", name="Refused files").locator("li").filter(has_text=name)


def line_of(page, name):
    return page.get_by_role("list", name="Uploads").locator("li").filter(has_text=name)


def share(page, name):
    return float(line_of(page, name).locator("progress").evaluate("bar => bar.value"))


def new_project(app, name, film):
    """A project with one video: the drop zone then stays where it is while others come."""
    project = Project.create(fresh(app, name))
    (project.path / "videos" / "first.mp4").write_bytes(film.read_bytes())
    return project


def open_uploads(page, app, name):
    open_project(page, app, name)
    settle(page)
    page.locator("summary").filter(has_text="Add videos").click()
    page.get_by_text("this computer").click()
    expect(page.get_by_text("Drop files here")).to_be_visible()


def test_pause_a_lost_connection_and_a_killed_tab(page, app, short_film, long_film):
    project = new_project(app, "uploads", short_film)
    open_uploads(page, app, project.name)
    line = Line(page)
    line.carries(4 * MB)
    pick(page, long_film)
    until(lambda: share(page, "long.mp4") > 0.1, "a tenth of the upload")
    expect(page.get_by_text("upload under way")).to_be_visible()
    page.get_by_role("button", name="Pause long.mp4").click()
    expect(line_of(page, "long.mp4")).to_contain_text("Paused at")
    (upload,) = UploadStore(project).all()
    until(lambda: UploadStore(project).offset(upload) > 0, "bytes on the disk")

    def stands_still():
        before = share(page, "long.mp4")
        page.wait_for_timeout(400)
        return share(page, "long.mp4") == before

    until(stands_still, "the pause")  # what was under way when the button was pressed still arrives
    paused_at = share(page, "long.mp4")
    page.wait_for_timeout(400)
    assert share(page, "long.mp4") == paused_at

    page.route("**/api/uploads/*", lambda route: route.abort("connectionfailed"))
    line.carries(1 * MB)  # the rest takes more than half a minute, in which the tab is killed
    page.get_by_role("button", name="Resume long.mp4").click()
    expect(line_of(page, "long.mp4")).to_contain_text("Connection lost, trying again")
    page.unroute("**/api/uploads/*")
    until(lambda: share(page, "long.mp4") > paused_at + 0.02, "the upload to go on by itself")

    page.close()  # in the middle
    again = page.context.new_page()
    again.set_default_timeout(30_000)
    kept = until(lambda: UploadStore(project).offset(upload), "bytes on the disk")
    assert 0 < kept < 0.9 * long_film.stat().st_size
    open_uploads(again, app, project.name)
    expect(again.get_by_text("long.mp4 stopped at")).to_be_visible()
    Line(again).carries(30 * MB)
    sent = []
    again.on("request", lambda request: sent.append(request) if request.method in ("POST", "PATCH") else None)
    pick(again, long_film)
    expect(line_of(again, "long.mp4")).to_contain_text("resumed")
    until((project.path / "videos" / "long.mp4").exists, "the video in the project", 60)
    assert {request.method for request in sent} == {"PATCH"}, "it began anew"
    assert int(sent[0].headers["upload-offset"]) >= kept
    assert (project.path / "videos" / "long.mp4").read_bytes() == long_film.read_bytes()
    (upload,) = UploadStore(project).all()
    assert upload.sha256 == hashlib.sha256(long_film.read_bytes()).hexdigest()
    expect(extract_button(again)).to_be_enabled()


def test_several_files_and_wrong_ones(page, app, short_film, tmp_path):
    project = Project.create(fresh(app, "several"))  # with the first video in it, the drop zone folds away
    films = [tmp_path / name for name in ("day 1.mp4", "Mäuse 'Käfig' 🐭.mp4")]
    for number, path in enumerate(films):
        path.write_bytes(short_film.read_bytes() + struct.pack(">I4sI", 12, b"free", number))
    (tmp_path / "notes.docx").write_bytes(b"PK")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "<img src=x onerror=alert(1)>.mp4").write_bytes(b"this is no video" * 100)
    (tmp_path / "cut off.mp4").write_bytes(short_film.read_bytes()[:2000])
    open_project(page, app, project.name)
    page.get_by_text("this computer").click()
    pick(page, *sorted(tmp_path.iterdir()))
    for path in films:
        until((project.path / "videos" / path.name).exists, path.name)
        assert (project.path / "videos" / path.name).read_bytes() == path.read_bytes()
    expect(page.get_by_text("Drop files here")).to_be_hidden()
    refused = page.locator("[class*=st-key-refused-]")
    for words in ("onerror=alert(1)", "cut off.mp4"):  # the server looked into these
        expect(refused.filter(has_text=words)).to_be_visible()
    expect(refused_line(page, "notes.docx")).to_contain_text("“.docx” is none of them")
    expect(refused_line(page, "empty.mp4")).to_contain_text("The file is empty")
    assert len(list((project.path / "videos").iterdir())) == 2
    settle(page)
    for name in ("notes.docx", "empty.mp4"):
        page.get_by_role("button", name=f"Dismiss {name}").click()
        expect(refused_line(page, name)).to_have_count(0)
    for left in (1, 0):
        refused.get_by_role("button", name="Delete the upload").first.click()
        expect(refused).to_have_count(left)
    assert not [path for path in UploadStore(project).folder.iterdir() if path.stat().st_size in (1600, 2000)]
    expect(extract_button(page)).to_be_enabled()


def test_two_tabs_with_the_same_file(page, app, short_film, long_film):
    project = new_project(app, "two-tabs", short_film)
    other = page.context.new_page()
    other.set_default_timeout(30_000)
    for tab in (page, other):
        open_uploads(tab, app, project.name)
        Line(tab).carries(12 * MB)
    pick(page, long_film)
    until(lambda: share(page, "long.mp4") > 0.1, "a tenth of the upload")
    pick(other, long_film)
    expect(line_of(other, "long.mp4")).to_contain_text("Another tab is uploading this file")
    for tab in (page, other):
        expect(line_of(tab, "long.mp4")).to_contain_text("uploaded.", timeout=60_000)
    until((project.path / "videos" / "long.mp4").exists, "the video in the project")
    assert (project.path / "videos" / "long.mp4").read_bytes() == long_film.read_bytes()
    assert len(UploadStore(project).all()) == 1
    assert {path.name for path in (project.path / "videos").iterdir()} == {"first.mp4", "long.mp4"}
    expect(extract_button(other)).to_be_enabled()
    other.close()
