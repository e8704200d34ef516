import time

import pytest
from serving import make_client
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from castle_core.errors import CastleError
from castle_core.users import UserTable
from ui.gate import Gate, host_name
from ui.sessions import sealed, sessions
from ui.settings import Settings

STREAM = "ws://localhost:8501/_stcore/stream"


def who(request):
    return PlainTextResponse(",".join(request.headers.getlist("x-castle-user")))


async def echo(websocket):
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(f"{websocket.headers['x-castle-user']}: {text}")


def browser(user=None, client=("127.0.0.1", 4000), url="http://localhost:8501"):
    app = Starlette(
        routes=[Route("/{path:path}", who, methods=["GET", "POST", "DELETE"]), WebSocketRoute("/{path:path}", echo)],
        middleware=[Middleware(Gate)],
    )
    made = TestClient(app, base_url=url, follow_redirects=False, client=client)
    if user:
        made.cookies.set(sessions().cookie_name, sessions().new_cookie(user))
    return made


@pytest.fixture
def users(castle_folders):
    for name in ("ann", "bob"):
        UserTable().add(name, f"{name}'s password")


def test_without_login_pages_lead_to_the_login_and_all_else_is_refused(users):
    client = browser()
    assert client.get("/").headers["location"] == "/login"
    answer = client.get("/extract_frames?project=mice&x=1")
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "/login?next=%2Fextract_frames%3Fproject%3Dmice%26x%3D1",
    )
    assert client.get("/api/anything").status_code == 401
    assert client.post("/").status_code == 401
    assert client.delete("/api/anything").status_code == 401
    assert client.get("/login").status_code == 200
    assert client.get("/_stcore/health").status_code == 200
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(STREAM):
        pass


@pytest.mark.parametrize(
    "path", ["/login/", "/login/x", "/LOGIN", "/_stcore/health/..", "//login", "/_stcore/health/x", "/x/login"]
)
def test_nothing_near_the_open_paths_is_open(users, path):
    assert browser().get(path).status_code == 303


def test_the_name_comes_from_the_cookie_alone(users):
    client = browser("ann")
    assert client.get("/").text == "ann"
    assert client.get("/", headers={"X-Castle-User": "bob"}).text == "ann"
    assert client.get("/", headers=[("x-castle-user", "bob"), ("X-CASTLE-USER", "eve")]).text == "ann"
    assert browser().get("/login", headers={"X-Castle-User": "bob"}).text == ""
    with client.websocket_connect(STREAM, headers={"X-Castle-User": "bob"}) as websocket:
        websocket.send_text("hello")
        assert websocket.receive_text() == "ann: hello"


def test_forged_and_damaged_cookies_are_worth_nothing(users):
    good = sessions().new_cookie("ann")
    forged = [
        "",
        "x",
        good[:-1],
        good[:-9] + ("A" if good[-9] != "A" else "B") + good[-8:],  # the last letter has bits that nobody reads
        good.replace(good[:3], "WyJ", 1) + "x",
        sealed("upload").dumps(["ann", sessions()._stamp("ann"), int(time.time()), "id"]),
        sealed("castle-session").dumps(["ann", sessions()._stamp("ann"), int(time.time()), "id"]),
        "é" * 5,
        "a" * 5000,
    ]
    for cookie in forged:
        client = browser()
        answer = client.get("/", headers={"Cookie": f"{sessions().cookie_name}={cookie}".encode()})
        assert answer.status_code == 303, cookie
    own = sessions()._serializer
    for claims in (
        ["ann"],
        "ann",
        None,
        [None, None, 0, "x"],
        ["eve", None, int(time.time()), "x"],
        ["ann", None, 0, "x"],
    ):
        client = browser()
        answer = client.get("/", headers={"Cookie": f"{sessions().cookie_name}={own.dumps(claims)}"})
        assert answer.status_code == 303, claims


def test_a_cookie_dies_with_its_user_its_password_its_logout_and_its_age(users, monkeypatch):
    ann, bob = browser("ann"), browser("bob")
    assert ann.get("/").text == "ann"
    UserTable().add("ann", "a newer password")
    assert ann.get("/").status_code == 303
    UserTable().remove("bob")
    assert bob.get("/").status_code == 303
    ann = browser("ann")
    assert ann.get("/").text == "ann"
    sessions().revoke(sessions().check(ann.cookies[sessions().cookie_name]))
    assert ann.get("/").status_code == 303
    other = browser("ann")
    assert other.get("/").text == "ann"
    now = time.time()
    monkeypatch.setattr("ui.sessions.time.time", lambda: now + 13 * 24 * 3600)
    assert other.get("/").text == "ann"
    monkeypatch.setattr("ui.sessions.time.time", lambda: now + 15 * 24 * 3600)
    assert other.get("/").status_code == 303
    monkeypatch.setattr("ui.sessions.time.time", lambda: now - 3600)  # the clock was set back
    assert other.get("/").text == "ann"


def test_a_revoked_session_stays_revoked_after_a_restart(users, castle_folders):
    from ui.sessions import Sessions

    cookie = sessions().new_cookie("ann")
    sessions().revoke(sessions().check(cookie))
    assert Sessions(castle_folders / "state").check(cookie) is None


def test_an_open_websocket_ends_with_its_session(users, monkeypatch):
    monkeypatch.setattr("ui.gate._RECHECK_S", 0.0)
    with browser("ann").websocket_connect(STREAM) as websocket:
        websocket.send_text("one")
        assert websocket.receive_text() == "ann: one"
        UserTable().remove("ann")
        websocket.send_text("two")
        with pytest.raises(WebSocketDisconnect):
            websocket.receive_text()


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8501",
        "localhost.evil.example",
        "",
        "localhost:x",
        "user@localhost",
        "8.8.8.8",
        "localhost/evil",
        "localhost,evil.example",
        "[::2]",
    ],
)
def test_other_hosts_get_no_answer(users, host):
    client = browser("ann")
    for path in ("/", "/login", "/_stcore/health", "/api/uploads"):
        answer = client.get(path, headers={"Host": host})
        assert answer.status_code == 403, path
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(STREAM, headers={"Host": host}):
        pass


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8501", "LOCALHOST", "127.0.0.1:1", "[::1]:8501", "localhost."]
)
def test_this_machines_names_are_answered(users, host):
    assert browser("ann").get("/", headers={"Host": host}).text == "ann"


def test_a_proxys_name_is_answered_when_it_is_allowed(users, monkeypatch):
    assert browser("ann").get("/", headers={"Host": "castle.lab.org"}).status_code == 403
    monkeypatch.setenv("CASTLE_SERVE", Settings(hosts=("castle.lab.org",)).to_json())
    assert browser("ann").get("/", headers={"Host": "castle.lab.org"}).text == "ann"
    answer = browser("ann").post("/", headers={"Host": "castle.lab.org", "Origin": "https://castle.lab.org"})
    assert answer.text == "ann"


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://localhost:9999",
        "https://localhost:8501.evil.example",
        "localhost:8501",
        "",
        "http://localhost",
        "file://",
    ],
)
def test_other_origins_change_nothing(users, origin):
    client = browser("ann")
    for method in ("POST", "DELETE"):
        assert client.request(method, "/api/uploads", headers={"Origin": origin}).status_code == 403
    headers = {"Origin": origin}
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(STREAM, headers=headers):
        pass
    assert client.post("/login", headers={"Origin": origin}).status_code == 403


def test_the_own_origin_and_clients_without_one_pass(users):
    client = browser("ann")
    assert client.post("/", headers={"Origin": "http://localhost:8501"}).text == "ann"
    assert client.post("/").text == "ann"
    with client.websocket_connect(STREAM, headers={"Origin": "http://localhost:8501"}) as websocket:
        websocket.send_text("x")
        assert websocket.receive_text() == "ann: x"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_cannot_use_the_routes_even_to_look(users, site):
    client = browser("ann")
    assert client.get("/api/media/x", headers={"Sec-Fetch-Site": site}).status_code == 403
    assert client.post("/", headers={"Sec-Fetch-Site": site}).status_code == 403
    assert client.get("/", headers={"Sec-Fetch-Site": site}).text == "ann"  # a link to the app, followed
    assert client.get("/api/media/x", headers={"Sec-Fetch-Site": "same-origin"}).text == "ann"


def test_without_login_only_this_machine_is_served(users, monkeypatch):
    monkeypatch.setenv("CASTLE_SERVE", Settings(login=False).to_json())
    assert browser().get("/").text == "local"
    assert browser(client=("::1", 4000)).get("/").text == "local"
    assert browser(client=("::ffff:127.0.0.1", 4000)).get("/").text == "local"
    assert browser(client=("192.168.1.7", 4000)).get("/").status_code == 403
    assert browser(client=("testclient", 4000)).get("/").status_code == 403
    assert browser().get("/", headers={"Host": "evil.example"}).status_code == 403
    import socket

    assert browser().get("/", headers={"Host": socket.gethostname()}).status_code == 403
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
        assert browser().get("/", headers={header: "127.0.0.1"}).status_code == 403
    assert browser().post("/", headers={"Origin": "http://evil.example"}).status_code == 403


def test_answers_carry_protective_headers(users):
    for answer in (browser("ann").get("/"), browser().get("/"), browser().get("/api/x")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "SAMEORIGIN"


def test_a_damaged_list_of_users_closes_the_gate(users, castle_folders):
    client = browser("ann")
    (castle_folders / "state" / "users.json").write_text("[]]")
    answer = client.get("/")
    assert answer.status_code == 503
    assert "damaged" in answer.text


def test_settings_that_cannot_be_read_say_so(monkeypatch):
    monkeypatch.setenv("CASTLE_SERVE", '{"unknown": 1}')
    from ui.settings import settings

    with pytest.raises(CastleError, match="castle serve"):
        settings()


@pytest.mark.parametrize(
    ("header", "name"),
    [("a:1", "a"), ("[::1]:8", "::1"), ("A.b.", "a.b"), (None, None), ("a:b", None), ("a b", None), ("a:99999", None)],
)
def test_host_names_are_read_strictly(header, name):
    assert host_name(header) == name


def test_the_gate_stands_before_all_routes_of_the_app(stranger):
    from ui.server import ROUTES

    for route in ROUTES:
        path = route.path.replace("{frame_index:int}", "1").replace("{key}", "k").replace("{name}", "n")
        for method in route.methods:
            answer = make_client().request(method, path.replace("{identity}", "0" * 32))
            assert answer.status_code in (
                (200,) if path == "/login" and method in ("GET", "HEAD") else (303, 401, 403)
            ), path
