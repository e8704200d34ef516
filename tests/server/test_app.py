"""The whole app in a process of its own: every route and the websocket, shutdown, kill and restart."""

import asyncio
import base64
import contextlib
import hashlib
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import websockets
from serving import ROOT, running_server, wait_for_url

from castle_core.users import UserTable

PAGES = ["/", "/label_export", "/_stcore/host-config", "/favicon.png", "/index.html", "/static/js/none.js"]


@contextlib.contextmanager
def log_in(server, user="ann"):
    with httpx.Client(base_url=server.url, follow_redirects=False, timeout=20) as client:
        answer = client.post("/login", data={"user": user, "password": f"{user}'s password"})
        assert answer.status_code == 303, answer.text
        yield client


@pytest.fixture(scope="module")
def ann(server):
    with log_in(server) as client:
        yield client


@pytest.fixture(scope="module")
def bob(server):
    with log_in(server, "bob") as client:
        yield client


def token(client):
    return client.get("/api/uploads/token", params={"project": "mice"}).json()["token"]


def tus(client, **more):
    return {"Tus-Resumable": "1.0.0", "X-Upload-Token": token(client), **more}


def begin(client, name, size):
    encoded = base64.b64encode(name.encode()).decode()
    given = tus(client, **{"Upload-Length": str(size), "Upload-Metadata": f"filename {encoded}"})
    return client.post("/api/uploads", headers=given).headers["location"]


def append(client, url, data, offset):
    given = tus(client, **{"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"})
    return client.patch(url, content=data, headers=given)


async def open_websocket(server, **headers):
    address = server.url.replace("http://", "ws://") + "/_stcore/stream"
    try:
        async with websockets.connect(address, additional_headers=headers, open_timeout=10):
            return 101
    except websockets.exceptions.InvalidStatus as refused:
        return refused.response.status_code


def cookie_of(client):
    return "; ".join(f"{key}={value}" for key, value in client.cookies.items())


@pytest.mark.parametrize("path", PAGES)
def test_pages_need_a_login(server, ann, path):
    stranger = httpx.get(server.url + path)
    assert stranger.status_code == 303
    assert stranger.headers["location"].startswith("/login")
    assert ann.get(path).status_code == 200


def test_the_first_pages_own_name_leads_to_it(server, ann):
    assert httpx.get(server.url + "/extract_frames").headers["location"] == "/login?next=%2Fextract_frames"
    answer = ann.get("/extract_frames?project=mice&x=%2F")
    assert (answer.status_code, answer.headers["location"]) == (303, "/?project=mice&x=%2F")


def test_the_open_paths(server):
    assert httpx.get(server.url + "/_stcore/health").text == "ok"
    assert "<h1>Log in</h1>" in httpx.get(server.url + "/login").text


def test_every_other_streamlit_route_needs_a_login(server, ann):
    from streamlit.web.server.starlette import starlette_app

    source = Path(starlette_app.__file__).read_text(encoding="utf-8")
    assert "create_upload_routes" in source  # the list below follows this version of Streamlit
    for method, path in [
        ("GET", "/_stcore/metrics"),
        ("GET", "/_stcore/host-config"),
        ("PUT", "/_stcore/upload_file/a/b"),
        ("DELETE", "/_stcore/upload_file/a/b"),
        ("GET", "/media/x"),
        ("GET", "/component/x"),
        ("GET", "/_stcore/bidi-components/x"),
        ("GET", "/auth/login"),
        ("GET", "/oauth2callback"),
        ("GET", "/_stcore/agent"),
        ("POST", "/_stcore/agent"),
        ("GET", "/_stcore/script-health-check"),
        ("GET", "/no/such/page"),
    ]:
        assert httpx.request(method, server.url + path).status_code in (303, 401), path
        assert ann.request(method, path).status_code not in (303, 401), path


def own_routes():
    """Every (name, method) that the app adds to Streamlit."""
    from ui.server import ROUTES

    return {(route.name, method) for route in ROUTES for method in route.methods}


def media_of(server, stem, film, user):
    """The addresses of one video of the served project, signed for `user`."""
    import numpy as np

    from castle_core.frames import export_frames
    from castle_core.labels import Labels, update_project_labels
    from castle_core.mask_writer import MaskListWriter
    from castle_core.projects import Project
    from ui.downloads import frames_zip_url
    from ui.labels.drawn import drawn_url, export_url
    from ui.media import crop_url, frame_url, masks_url, video_url, written_url

    with pytest.MonkeyPatch.context() as patch:
        for name in ("CASTLE_HOME", "CASTLE_STATE"):
            patch.setenv(name, server.environment[name])
        project = Project.open("mice")
        path = project.path / "videos" / f"{stem}.mp4"
        if not path.exists():
            path.write_bytes(film.read_bytes())
            export_frames(project, stem, [7], context=0)
            masks = project.path / "track" / path.name / "mask_list.h5"
            masks.parent.mkdir(parents=True)
            with MaskListWriter(masks, width=64, height=48, n_rois=1) as writer:
                writer.write(np.ones((48, 64), np.uint8), (0, 0, 64, 48))
        labelled = f"labeled-data/{stem}/img00000007.png"
        update_project_labels(project, Labels(("nose",), ("",), (labelled,), np.full((1, 1, 1, 2), 9.0)))
        made = project.cache_dir / "exports" / "dlc" / "a.zip"
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_bytes(b"zip")
        film = project.path / "crop" / stem / f"{stem}_ROI_1_crop.mp4"
        film.parent.mkdir(parents=True, exist_ok=True)
        film.write_bytes(b"film")
        return {
            "crop": crop_url(project, stem, film.name, user=user),
            "labelled_frame": drawn_url(project, labelled, user=user) + "?w=320",
            "label_export": export_url(project, str(made), "a.zip", user=user),
            "frame": frame_url(project, stem, 3, user=user),
            "video": video_url(project, stem, user=user),
            "masks": masks_url(project, stem, user=user).replace("START", "0").replace("STOP", "8"),
            "written": written_url(project, stem, "img00000007.png", user=user),
            "frames_zip": frames_zip_url(project, stem, user=user),
            **latents_of(project, user),
        }


def latents_of(project, user):
    """The addresses of a latent file and of an export of it, signed for `user`."""
    import numpy as np

    from ui.inspector.held import held
    from ui.inspector.routes import base_url, export_url

    path = project.path / "latent" / "tiny" / "film_ROI_1_tiny.npz"
    exported = project.path / "exports" / "latents" / "a.npy"
    for each in (path, exported):
        each.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        np.savez(path, latent=np.arange(60, dtype=np.float32).reshape(20, 3) % 7)
        exported.write_bytes(b"npy")
    base = base_url(held(project, "latent/tiny/film_ROI_1_tiny.npz"), user=user)
    names = {"points.bin": "", "codes.bin": "?by=cluster", "traces.json": "?names=p0,c1", "heat.png": "?order=alike"}
    return {
        **{name: f"{base}/{name}{query}" for name, query in names.items()},
        "latent-export": export_url(project, "a.npy", user=user),
    }


def test_every_own_route_without_login_with_it_and_with_another_users_address(server, small_video):
    """A new route fails this test until it has a line here: its status for a stranger, its owner, and somebody else."""
    upload = {"Content-Type": "application/offset+octet-stream"}
    with log_in(server) as ann, log_in(server, "bob") as bob:
        url, media = begin(ann, "table.zip", 2), media_of(server, "film", small_video, "ann")
        name = base64.b64encode(b"another.zip").decode()
        create = {"Upload-Length": "3", "Upload-Metadata": f"filename {name}"}
        first, second = {**upload, "Upload-Offset": "0"}, {**upload, "Upload-Offset": "1"}
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        table = [  # name, method, path, headers, body, stranger, owner, another user
            ("first-page", "GET", "/extract_frames", {}, None, 303, 303, 303),
            ("login", "GET", "/login", {}, None, 200, 303, 303),
            ("log-in", "POST", "/login", form, b"user=nobody&password=x", 401, None, None),
            ("logout", "GET", "/logout", {}, None, 303, 200, 200),
            ("upload-options", "OPTIONS", "/api/uploads", {}, None, 401, 204, 204),
            ("upload-create", "POST", "/api/uploads", create, None, 401, 201, None),
            ("upload-token", "GET", "/api/uploads/token?project=mice", {}, None, 401, 200, 200),
            ("upload-options-one", "OPTIONS", url, {}, None, 401, 204, 204),
            ("upload-head", "HEAD", url, {}, None, 401, 200, 404),
            ("upload-patch", "PATCH", url, first, b"1", 401, 204, 404),
            ("upload-override", "POST", url, {**second, "X-HTTP-Method-Override": "PATCH"}, b"2", 401, 204, 404),
            ("upload-delete", "DELETE", url, {}, None, 401, 204, 404),
            *((each, "GET", path, {}, None, 401, 200, 404) for each, path in media.items()),
            ("logout", "POST", "/logout", {}, None, 401, 303, 303),
        ]
        rows = [
            (name, method, *row) for name, verb, *row in table for method in {"GET": ["GET", "HEAD"]}.get(verb, [verb])
        ]
        assert {(name, method) for name, method, *_ in rows} == own_routes()
        signed = {"ann": tus(ann), "bob": tus(bob)}
        clients = (None, None), (bob, "bob"), (ann, "ann")
        for client, user in clients:
            for name, method, path, headers, body, stranger, owner, other in rows:
                expected = {"ann": owner, "bob": other}.get(user, stranger)
                if expected is None:
                    continue
                given = {**headers, **signed.get(user, {})}
                answer = (client or httpx).request(
                    method, path if client else server.url + path, headers=given, content=body
                )
                assert answer.status_code == expected, (name, method, user, answer.text[:200])
        for client in (ann, bob):
            assert client.get("/").status_code == 303  # logged out


def test_the_websocket(server, ann):
    good = cookie_of(ann)
    host = server.url.split("/")[2]
    assert asyncio.run(open_websocket(server)) == 403
    assert asyncio.run(open_websocket(server, Cookie=good)) == 101
    assert asyncio.run(open_websocket(server, Cookie=good, Origin=f"http://{host}")) == 101
    assert asyncio.run(open_websocket(server, Cookie=good, Origin="http://evil.example")) == 403
    assert asyncio.run(open_websocket(server, Cookie=good[:-4] + "AAAA")) == 403
    assert asyncio.run(open_websocket(server, **{"X-Castle-User": "ann"})) == 403


def test_a_name_that_points_here_gets_no_answer(server, ann):
    assert ann.get("/", headers={"Host": "evil.example"}).status_code == 403
    assert httpx.get(server.url + "/login", headers={"Host": "evil.example"}).status_code == 403


def test_logout_ends_the_session(server):
    with log_in(server) as client:
        assert client.get("/").status_code == 200
        cookies = dict(client.cookies)
        assert client.post("/logout").status_code == 303
        assert httpx.get(server.url, cookies=cookies).status_code == 303


def test_curl_can_upload(server, tmp_path):
    """The commands of the documentation, as they stand there."""
    data = bytes(range(256)) * 5000
    (tmp_path / "frames.zip").write_bytes(data)
    script = f"""
    set -e
    CASTLE={server.url}
    curl -sf -c jar -o page -d user=ann --data-urlencode "password=ann's password" $CASTLE/login
    curl -sf -b jar -o token "$CASTLE/api/uploads/token?project=mice"
    TOKEN=$(sed 's/.*"token":"\\([^"]*\\)".*/\\1/' token)
    AUTH="-b jar -H Tus-Resumable:1.0.0 -H X-Upload-Token:$TOKEN"
    NAME=$(printf frames.zip | base64)
    curl -sf $AUTH -X POST -H "Upload-Length: {len(data)}" -H "Upload-Metadata: filename $NAME" \\
         -D made $CASTLE/api/uploads
    URL=$(tr -d '\\r' < made | sed -n 's/^location: //Ip')
    curl -sf $AUTH -X PATCH -H "Upload-Offset: 0" -H "Content-Type: application/offset+octet-stream" \\
         --data-binary @frames.zip $CASTLE$URL
    curl -sf $AUTH -I $CASTLE$URL
    """
    run = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert f"upload-offset: {len(data)}" in run.stdout.lower()


def test_memory_stays_bounded_while_a_large_file_comes(server, ann):
    import psutil

    process = psutil.Process(server.process.pid)
    size, block = 160 << 20, bytes(1 << 20)
    url = begin(ann, "large.zip", size)
    peak = start = process.memory_info().rss

    def body():
        nonlocal peak
        for _ in range(size >> 20):
            yield block
            peak = max(peak, process.memory_info().rss)

    assert append(ann, url, body(), 0).status_code == 204
    assert peak - start < 60 << 20
    assert ann.delete(url, headers=tus(ann)).status_code == 204


def test_a_killed_app_goes_on_where_it_stopped(tmp_path, castle_folders, monkeypatch):
    from castle_core.projects import Project
    from castle_core.uploads import UploadStore

    monkeypatch.setenv("CASTLE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CASTLE_STATE", str(tmp_path / "state"))
    project = Project.create(tmp_path / "home" / "mice")
    UserTable().add("ann", "ann's password")
    data = hashlib.sha256(b"x").digest() * 200_000
    with running_server(tmp_path, name="first") as first, log_in(first) as client:
        url = begin(client, "long.zip", len(data))
        assert append(client, url, data[:2_000_000], 0).status_code == 204

        def never_ends():
            yield data[2_000_000:5_000_000]
            first.process.send_signal(signal.SIGKILL)
            first.process.wait(10)
            yield b"x"

        with pytest.raises(httpx.HTTPError):
            append(client, url, never_ends(), 2_000_000)
        cookies = dict(client.cookies)
    with running_server(tmp_path, name="second") as second:
        with httpx.Client(base_url=second.url, cookies=cookies, timeout=20) as client:  # still logged in
            offset = int(client.head(url, headers=tus(client)).headers["upload-offset"])
            assert offset >= 2_000_000
            assert append(client, url, data[offset:], offset).status_code == 204
        (upload,) = UploadStore(project).all("ann")
        assert upload.sha256 == hashlib.sha256(data).hexdigest()


def test_a_waiting_download_does_not_hold_up_the_end(tmp_path, castle_folders, monkeypatch):
    """A browser that paused a video, and an upload that stands still: the server ends within seconds."""
    from castle_core.projects import Project
    from ui.media import video_url

    monkeypatch.setenv("CASTLE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CASTLE_STATE", str(tmp_path / "state"))
    project = Project.create(tmp_path / "home" / "mice")
    with open(project.path / "videos" / "long.mp4", "wb") as file:
        file.truncate(200 << 20)
    UserTable().add("ann", "ann's password")
    with running_server(tmp_path) as server, log_in(server) as client:
        path, cookie = video_url(project, "long", user="ann"), cookie_of(client)
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port)) as paused:
            paused.sendall(request.encode())
            assert b"200 OK" in paused.recv(1000)
            server.process.send_signal(signal.SIGTERM)
            begin_waiting = time.monotonic()
            server.process.wait(20)
            assert time.monotonic() - begin_waiting < 10


def test_serve_prints_a_link_that_works_once(tmp_path):
    environment = {"CASTLE_HOME": str(tmp_path / "home"), "CASTLE_STATE": str(tmp_path / "state")}
    import os

    output = tmp_path / "log"
    command = [sys.executable, "-c", "from castle_core.cli import main; main()", "serve", "--port", "0"]
    with open(output, "wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log, cwd=tmp_path)
    try:
        wait_for_url(process, output, 60)
        link = next(word for word in output.read_text().split() if "token=" in word)
        with httpx.Client(follow_redirects=True) as client:
            assert client.get(link).url.path == "/"
        assert httpx.get(link).status_code == 403
        second = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
        )
        assert second.returncode == 1
        assert second.stderr.startswith("castle: castle runs already")
        assert second.stderr.count("\n") == 1
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()


def test_below_a_path_everything_is_below_it(tmp_path, castle_folders, monkeypatch):
    monkeypatch.setenv("CASTLE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CASTLE_STATE", str(tmp_path / "state"))
    from castle_core.projects import Project

    Project.create(tmp_path / "home" / "mice")
    UserTable().add("ann", "ann's password")
    with running_server(tmp_path, base="lab/castle") as server:
        assert server.url.endswith("/lab/castle")
        answer = httpx.get(server.url + "/")
        assert (answer.status_code, answer.headers["location"]) == (303, "/lab/castle/login")
        assert httpx.get(server.url + "/_stcore/health").status_code == 200
        with httpx.Client(base_url=server.url, timeout=20) as client:
            form = {"user": "ann", "password": "ann's password", "next": "/extract_frames"}
            answer = client.post("/login", data=form)
            assert answer.headers["location"] == "/lab/castle/extract_frames"
            assert "Path=/lab/castle" in answer.headers["set-cookie"]
            assert client.get("/").status_code == 200
            assert client.get("/extract_frames").headers["location"] == "/lab/castle/"
            given = client.get("/api/uploads/token?project=mice").json()
            assert given["endpoint"] == "/lab/castle/api/uploads"
            assert json.loads(client.get("/_stcore/host-config").text)
        assert httpx.get(server.url.removesuffix("/lab/castle") + "/api/uploads/token").status_code in (401, 303)


def test_the_app_is_found_beside_the_library():
    from castle_core.cli.serve import find_app

    assert find_app() == ROOT / "app.py"
