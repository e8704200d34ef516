import asyncio
import base64
import errno
import hashlib
import os
import time
from collections import namedtuple

import anyio
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import make_client
from starlette.applications import Starlette

from castle_core.uploads import UploadStore
from ui import uploads
from ui.server import MIDDLEWARE, ROUTES, jobs
from ui.sessions import sealed, sessions

DATA = bytes(range(256)) * 40
SIZE = len(DATA)
Usage = namedtuple("Usage", "total used free")


def metadata(name):
    return "filename " + base64.b64encode(name.encode()).decode() + ",filetype dmlkZW8="


def headers(project, user="ann", **more):
    given = {"Tus-Resumable": "1.0.0", "X-Upload-Token": uploads.token(user, project)}
    return {**given, **{key.replace("_", "-"): str(value) for key, value in more.items()}}


def create(client, project, *, name="a.mp4", size=SIZE, user="ann"):
    return client.post(
        "/api/uploads", headers=headers(project, user, Upload_Length=size, Upload_Metadata=metadata(name))
    )


def patch(client, project, url, data, offset, user="ann", **more):
    fixed = {"Upload_Offset": offset, "Content_Type": "application/offset+octet-stream"}
    return client.patch(url, content=data, headers=headers(project, user, **{**fixed, **more}))


def head(client, project, url, user="ann"):
    return client.head(url, headers=headers(project, user))


def test_a_file_arrives_whole_and_its_check_is_queued(ann, project):
    made = create(ann, project, name="möuse 1.mp4")
    assert made.status_code == 201
    assert made.headers["tus-resumable"] == "1.0.0"
    assert "upload-expires" in made.headers
    url = made.headers["location"]
    assert patch(ann, project, url, DATA[:100], 0).headers["upload-offset"] == "100"
    assert head(ann, project, url).headers["upload-offset"] == "100"
    assert [(u.name, n) for u, n in uploads.unfinished("ann", project)] == [("möuse 1.mp4", 100)]
    answer = patch(ann, project, url, DATA[100:], 100)
    assert (answer.status_code, answer.headers["upload-offset"]) == (204, str(len(DATA)))
    (upload,) = uploads.finished("ann", project)
    assert upload.sha256 == hashlib.sha256(DATA).hexdigest()
    assert uploads.received_path(project, upload).read_bytes() == DATA
    job = jobs().get(upload.job)
    assert (job.kind, job.owner, job.state) == ("check_upload", "ann", "queued")
    assert job.settings == {"path": str(uploads.received_path(project, upload)), "name": "möuse 1.mp4"}
    assert head(ann, project, url).headers["upload-offset"] == str(len(DATA))
    assert uploads.finished("bob", project) == []


def test_the_checked_video_appears_in_the_project(ann, project, small_video):
    from castle_core.job_functions import job_function
    from castle_core.progress import QUIET

    data = small_video.read_bytes()
    url = create(ann, project, name="new.mp4", size=len(data)).headers["location"]
    patch(ann, project, url, data, 0)
    (upload,) = uploads.finished("ann", project)
    job = jobs().get(upload.job)
    result = job_function(job.kind)(QUIET, project=job.project, owner=job.owner, **job.settings)
    assert result["video"] == "new"
    assert project.video("new").path.read_bytes() == data


def test_a_zip_waits_for_the_page(ann, project):
    url = create(ann, project, name="frames.zip").headers["location"]
    patch(ann, project, url, DATA, 0)
    (upload,) = uploads.finished("ann", project)
    assert upload.job is None
    assert uploads.received_path(project, upload).suffix == ".zip"
    uploads.forget("bob", project, upload.id)
    assert len(uploads.finished("ann", project)) == 1
    uploads.forget("ann", project, upload.id)
    assert uploads.finished("ann", project) == []
    assert list((project.path / ".castle" / "uploads").iterdir()) == []


def test_options_say_what_the_server_can(ann):
    answer = ann.options("/api/uploads")
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert answer.headers["tus-extension"] == "creation,expiration,termination"
    assert int(answer.headers["tus-max-size"]) == uploads.max_size()


def test_a_client_without_a_page_gets_a_token(ann, project):
    given = ann.get("/api/uploads/token", params={"project": "mice"}).json()
    made = ann.post(
        given["endpoint"],
        headers={
            "Tus-Resumable": "1.0.0",
            "X-Upload-Token": given["token"],
            "Upload-Length": "5",
            "Upload-Metadata": metadata("x.zip"),
        },
    )
    assert made.status_code == 201
    assert ann.get("/api/uploads/token", params={"project": "nothing"}).status_code == 404


def test_without_token_with_an_old_or_foreign_one_nothing_happens(ann, bob, project, monkeypatch):
    url = create(ann, project).headers["location"]
    good = uploads.token("ann", project)
    old = sealed("upload").dumps(["ann", str(project.path), int(time.time()) - 25 * 3600])
    cases = [
        "",
        "x",
        good[:-2],
        old,
        uploads.token("bob", project),
        sealed("media ann").dumps(["ann", str(project.path), 0]),
    ]
    for wrong in cases:
        for method, path in (("POST", "/api/uploads"), ("HEAD", url), ("PATCH", url), ("DELETE", url)):
            answer = ann.request(
                method,
                path,
                headers={
                    "Tus-Resumable": "1.0.0",
                    "X-Upload-Token": wrong,
                    "Upload-Offset": "0",
                    "Upload-Length": "9",
                    "Content-Type": "application/offset+octet-stream",
                    "Upload-Metadata": metadata("b.mp4"),
                },
                content=b"" if method == "HEAD" else b"123",
            )
            assert answer.status_code == 403, (wrong, method)
    store = UploadStore(project)
    assert len(store.all()) == 1
    assert store.offset(store.all()[0]) == 0


def test_another_users_upload_is_not_there(ann, bob, project):
    url = create(ann, project).headers["location"]
    patch(ann, project, url, DATA[:10], 0)
    assert head(bob, project, url, "bob").status_code == 404
    assert patch(bob, project, url, DATA[10:], 10, "bob").status_code == 404
    assert bob.delete(url, headers=headers(project, "bob")).status_code == 404
    assert head(ann, project, url).headers["upload-offset"] == "10"


@pytest.mark.parametrize("identity", ["0" * 32, "..%2f..%2fproject", "x", "%00", "A" * 32])
def test_unknown_uploads_are_not_there(ann, project, identity):
    url = f"/api/uploads/{identity}"
    assert head(ann, project, url).status_code == 404
    assert patch(ann, project, url, b"1", 0).status_code == 404


@pytest.mark.parametrize("offset", [0, 99, 101, 10**6])
def test_a_wrong_offset_changes_nothing(ann, project, offset):
    url = create(ann, project).headers["location"]
    patch(ann, project, url, DATA[:100], 0)
    answer = patch(ann, project, url, DATA[100:200], offset)
    assert (answer.status_code, answer.headers["upload-offset"]) == (409, "100")
    assert head(ann, project, url).headers["upload-offset"] == "100"


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"Upload_Offset": "-1"}, 400),
        ({"Upload_Offset": ""}, 400),
        ({"Upload_Offset": "x"}, 400),
        ({"Content_Type": "video/mp4"}, 415),
        ({"Tus_Resumable": "0.2.2"}, 412),
    ],
)
def test_odd_requests_are_refused(ann, project, more, status):
    url = create(ann, project).headers["location"]
    assert patch(ann, project, url, b"123", 0, **more).status_code == status
    assert head(ann, project, url).headers["upload-offset"] == "0"


@pytest.mark.parametrize(
    ("name", "size", "status", "line"),
    [
        ("a.exe", 5, 415, "no file that castle takes"),
        ("../a.mp4", 5, 400, "slash"),
        ("ä" * 200 + ".mp4", 5, 400, "bytes long"),
        ("a.mp4", 0, 400, "empty"),
        ("a.mp4", 1 << 60, 413, "at most"),
        ("a.mp4", "-5", 400, "Upload-Length"),
        ("a.mp4", "9" * 30, 400, "Upload-Length"),
        ("a.mp4", "٣", 400, "Upload-Length"),
    ],
)
def test_files_that_are_not_taken_get_a_line(ann, project, name, size, status, line):
    fixed = {**headers(project), "Upload-Length": str(size).encode(), "Upload-Metadata": metadata(name)}
    answer = ann.post("/api/uploads", headers=fixed)
    assert answer.status_code == status
    assert line in answer.text
    assert "\n" not in answer.text


@pytest.mark.parametrize("text", ["", "filename", "filename ???", "filename /w==", "name YQ=="])
def test_odd_metadata_is_refused(ann, project, text):
    answer = ann.post("/api/uploads", headers=headers(project, Upload_Length=5, Upload_Metadata=text))
    assert answer.status_code == 400


def test_more_bytes_than_announced_are_refused(ann, project):
    url = create(ann, project, size=10).headers["location"]
    assert patch(ann, project, url, b"x" * 11, 0).status_code == 413
    assert head(ann, project, url).headers["upload-offset"] == "0"

    def stream():  # chunked, so that the length is not known at first
        yield b"123456"
        yield b"78901"

    assert patch(ann, project, url, stream(), 0).status_code == 413
    assert int(head(ann, project, url).headers["upload-offset"]) <= 10


def test_a_disk_that_fills_up_keeps_what_came(ann, project, monkeypatch):
    url = create(ann, project).headers["location"]
    patch(ann, project, url, DATA[:100], 0)
    write = os.write

    def full(descriptor, data):
        if len(data) > 50:
            return write(descriptor, data[:50])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(uploads.os, "write", full)
        answer = patch(ann, project, url, DATA[100:200], 100)
    assert answer.status_code == 507
    assert "the disk is full" in answer.text
    assert head(ann, project, url).headers["upload-offset"] == "150"
    assert patch(ann, project, url, DATA[150:], 150).status_code == 204
    (upload,) = uploads.finished("ann", project)
    assert upload.sha256 == hashlib.sha256(DATA).hexdigest()


def test_a_disk_that_is_full_is_said_at_once(ann, project, monkeypatch):
    monkeypatch.setattr("castle_core.uploads.shutil.disk_usage", lambda _: Usage(10, 10, 0))
    answer = create(ann, project)
    assert answer.status_code == 507
    assert "Free some space" in answer.text


def test_termination_deletes_the_bytes(ann, project):
    url = create(ann, project).headers["location"]
    patch(ann, project, url, DATA[:100], 0)
    assert ann.delete(url, headers=headers(project)).status_code == 204
    assert head(ann, project, url).status_code == 404
    assert list((project.path / ".castle" / "uploads").iterdir()) == []


def test_methods_can_be_overridden(ann, project):
    url = create(ann, project).headers["location"]
    fixed = {"Upload_Offset": 0, "Content_Type": "application/offset+octet-stream", "X_HTTP_Method_Override": "PATCH"}
    assert ann.post(url, content=DATA[:7], headers=headers(project, **fixed)).headers["upload-offset"] == "7"
    assert ann.post(url, headers=headers(project, X_HTTP_Method_Override="GET")).status_code == 405


def test_the_same_file_in_two_tabs_arrives_once(ann, project):
    urls = [create(ann, project).headers["location"] for _ in range(2)]
    for url in urls:
        assert patch(ann, project, url, DATA, 0).status_code == 204
    assert sorted(upload.state for upload in uploads.finished("ann", project)) == ["duplicate", "received"]
    assert len(jobs().list()) == 1


def test_another_name_can_be_given_after_a_clash(ann, project):
    url = create(ann, project).headers["location"]
    patch(ann, project, url, DATA, 0)
    (upload,) = uploads.finished("ann", project)
    job = uploads.check_again("ann", project, upload.id, "camera1_a.mp4")
    assert jobs().get(job).settings["name"] == "camera1_a.mp4"
    assert uploads.finished("ann", project)[0].job == job


def test_what_a_killed_app_left_complete_is_finished_at_the_next_start(ann, project):
    async def scenario():
        found = uploads.resume_after_restart()
        for store, upload in found:
            uploads.start_finishing(store, upload)
        await asyncio.gather(*uploads._TASKS)
        return len(found)

    store = UploadStore(project)
    complete = store.create(user="ann", name="a.mp4", size=len(DATA), max_size=1 << 30)
    store.part(complete).write_bytes(DATA)
    incomplete = store.create(user="ann", name="b.mp4", size=len(DATA), max_size=1 << 30)
    store.part(incomplete).write_bytes(DATA[:-1])
    renamed = store.create(user="ann", name="c.avi", size=len(DATA), max_size=1 << 30)
    store.part(renamed).write_bytes(DATA)
    os.replace(store.part(renamed), store.folder / f"{renamed.id}.avi")
    assert asyncio.run(scenario()) == 2
    assert asyncio.run(scenario()) == 0
    done = uploads.finished("ann", project)
    assert {upload.name for upload in done} == {"a.mp4", "c.avi"}
    assert {upload.sha256 for upload in done} == {hashlib.sha256(DATA).hexdigest()}
    assert sorted(job.settings["name"] for job in jobs().list()) == ["a.mp4", "c.avi"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=st.data())
def test_any_pieces_lost_connections_and_restarts_give_the_same_file(ann, project, plan):
    """Chunks of any size, requests that break off, wrong offsets, and a server that forgets its digests."""
    data = plan.draw(st.binary(min_size=1, max_size=3000))
    block = plan.draw(st.sampled_from([1, 7, 100, 4 << 20]))
    usual = uploads._BLOCK_BYTES, uploads._READ_AT_ONCE
    uploads._BLOCK_BYTES, uploads._READ_AT_ONCE = block, plan.draw(st.sampled_from([0, usual[1]]))
    try:
        name = f"{hashlib.sha256(data).hexdigest()[:8]}-{time.time_ns()}.zip"
        url = create(ann, project, name=name, size=len(data)).headers["location"]
        offset = 0
        while offset < len(data):
            offset = int(head(ann, project, url).headers["upload-offset"])
            piece = data[offset : offset + plan.draw(st.integers(1, len(data)))]
            action = plan.draw(st.sampled_from(["send", "send", "break", "restart", "wrong"]))
            if action == "wrong":
                assert patch(ann, project, url, piece, offset + 1).status_code == 409
            elif action == "break":
                anyio.run(send_broken, project, url, piece, offset, len(data))
            else:
                if action == "restart":
                    uploads._ACTIVE.clear()
                assert patch(ann, project, url, piece, offset).status_code == 204
            offset = int(head(ann, project, url).headers["upload-offset"])
        for _ in range(200):
            done = [upload for upload in uploads.finished("ann", project) if upload.name == name]
            if done:
                break
            anyio.run(finish_all)
        assert done[0].sha256 == hashlib.sha256(data).hexdigest()
        assert uploads.received_path(project, done[0]).read_bytes() == data
    finally:
        uploads._BLOCK_BYTES, uploads._READ_AT_ONCE = usual


async def finish_all():
    for store, upload in uploads.resume_after_restart():
        uploads.start_finishing(store, upload)
    await asyncio.gather(*uploads._TASKS)


async def send_broken(project, url, piece, offset, size):
    """Send a piece and break the connection off: the server sees a disconnect in the middle of the body."""
    messages = [{"type": "http.request", "body": piece, "more_body": True}, {"type": "http.disconnect"}]
    fixed = {"Upload_Offset": offset, "Content_Type": "application/offset+octet-stream", "Host": "localhost:8501"}
    cookie = {"Cookie": f"{sessions().cookie_name}={sessions().new_cookie('ann')}"}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "PATCH",
        "path": url,
        "raw_path": url.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "server": ("localhost", 8501),
        "client": ("127.0.0.1", 4000),
        "headers": [(k.lower().encode(), v.encode()) for k, v in {**headers(project, **fixed), **cookie}.items()],
    }

    async def receive():
        return messages.pop(0)

    async def send(message):
        pass

    await Starlette(routes=ROUTES, middleware=MIDDLEWARE)(scope, receive, send)
    del size


def asynchronous_client(user):
    app = Starlette(routes=ROUTES, middleware=MIDDLEWARE)
    cookies = {sessions().cookie_name: sessions().new_cookie(user)}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost:8501", cookies=cookies)


def test_a_second_connection_waits_its_turn_or_takes_over_a_dead_one(ann, project, monkeypatch):
    url = create(ann, project, size=20).headers["location"]
    fixed = {"Upload_Offset": 0, "Content_Type": "application/offset+octet-stream"}

    async def scenario():
        sent = asyncio.Event()

        async def never_ends():
            yield b"12345"
            sent.set()
            await asyncio.sleep(30)
            yield b"x"

        async with asynchronous_client("ann") as client:
            slow = asyncio.create_task(client.patch(url, content=never_ends(), headers=headers(project, **fixed)))
            await sent.wait()
            busy = await client.patch(url, content=b"abc", headers=headers(project, **fixed))
            monkeypatch.setattr(uploads, "_STALLED_S", 0.0)
            await asyncio.sleep(0.05)
            taken = await client.patch(
                url, content=b"67890" * 3, headers=headers(project, **{**fixed, "Upload_Offset": 5})
            )
            return busy, taken, await slow

    busy, taken, slow = asyncio.run(scenario())
    assert busy.status_code == 423
    assert "another tab" in busy.text
    assert (taken.status_code, taken.headers["upload-offset"]) == (204, "20")
    assert slow.headers["upload-offset"] == "5"


def test_a_silent_connection_is_ended(ann, project, monkeypatch):
    url = create(ann, project, size=20).headers["location"]
    monkeypatch.setattr(uploads, "_SILENCE_S", 0.1)

    async def scenario():
        async def silent():
            yield b"12345"
            await asyncio.sleep(30)
            yield b"x"

        fixed = headers(project, Upload_Offset=0, Content_Type="application/offset+octet-stream")
        async with asynchronous_client("ann") as client:
            return await asyncio.wait_for(client.patch(url, content=silent(), headers=fixed), 10)

    assert asyncio.run(scenario()).headers["upload-offset"] == "5"


def test_a_project_that_is_gone_says_so(ann, project, castle_folders):
    given = headers(project, Upload_Length=5, Upload_Metadata=metadata("a.mp4"))
    os.rename(project.path, castle_folders / "moved")
    answer = ann.post("/api/uploads", headers=given)
    assert answer.status_code == 409
    assert "There is no project" in answer.text


def test_a_stranger_reaches_nothing(stranger, project):
    assert create(make_client(), project).status_code == 401
    assert stranger.options("/api/uploads").status_code == 401
