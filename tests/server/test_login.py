import pytest
from serving import make_client

from castle_core.users import UserTable
from ui.login import safe_next
from ui.sessions import sessions
from ui.settings import operating_system_user


@pytest.fixture
def ann_exists(castle_folders):
    UserTable().add("ann", "ann's password")


def log_in(client, user="ann", password="ann's password", **more):
    return client.post("/login", data={"user": user, "password": password, **more})


def test_a_password_opens_the_door(ann_exists):
    client = make_client()
    page = client.get("/login")
    assert page.status_code == 200
    assert '<label for="user">' in page.text
    assert '<label for="password">' in page.text
    answer = log_in(client, next="/extract_frames?project=mice")
    assert (answer.status_code, answer.headers["location"]) == (303, "/extract_frames?project=mice")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "secure" not in cookie
    assert client.get("/login").headers["location"] == "/"
    assert client.get("/api/uploads/token?project=nothing").status_code == 404


def test_over_https_the_cookie_is_secure(ann_exists):
    client = make_client()
    client.base_url = "https://localhost:8501"
    assert "secure" in log_in(client).headers["set-cookie"].lower()


@pytest.mark.parametrize(("user", "password"), [("ann", "wrong"), ("eve", "ann's password"), ("", ""), ("ann", "")])
def test_wrong_ones_are_refused_alike(ann_exists, user, password):
    answer = log_in(make_client(), user, password)
    assert answer.status_code == 401
    assert "The user name or the password is wrong." in answer.text
    assert "set-cookie" not in answer.headers


def test_three_wrong_passwords_slow_down_even_the_right_one(ann_exists):
    client = make_client()
    for _ in range(3):
        assert log_in(client, password="wrong").status_code == 401
    answer = log_in(client)
    assert answer.status_code == 429
    assert 25 <= int(answer.headers["retry-after"]) <= 30
    assert "wait 30 seconds" in answer.text


def test_what_somebody_typed_is_shown_escaped(ann_exists):
    answer = log_in(make_client(), user='"><script>x', password="wrong", next='/"><script>y')
    assert "<script>" not in answer.text
    assert "&quot;&gt;&lt;script&gt;x" in answer.text


@pytest.mark.parametrize(
    ("wanted", "used"),
    [
        ("/extract_frames?a=b", "/extract_frames?a=b"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\\evil.example", "/"),
        ("\\\\evil", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
        ("", "/"),
        ("/login?next=/x", "/"),
        ("/logout", "/"),
        ("/\t/evil.example", "/"),
    ],
)
def test_the_way_back_stays_in_the_app(ann_exists, wanted, used):
    assert safe_next(wanted) == used
    assert log_in(make_client(), next=wanted).headers["location"] == used


def test_a_large_form_is_not_read(ann_exists):
    assert log_in(make_client(), password="x" * 20_000).status_code == 413


def test_the_link_works_once(castle_folders):
    link = sessions().link_token()
    client, other = make_client(), make_client()
    assert client.get("/").headers["location"] == "/login"
    assert "castle serve" in client.get("/login").text
    assert client.get("/login?token=wrong").status_code == 403
    ahead = client.get(f"/login?token={link}", headers={"Sec-Purpose": "prefetch;prerender"})
    assert ahead.status_code == 204
    assert client.head(f"/login?token={link}").status_code == 204
    answer = client.get(f"/login?token={link}&next=/extract_frames")
    assert (answer.status_code, answer.headers["location"]) == (303, "/extract_frames")
    assert sessions().check(client.cookies[sessions().cookie_name]).user == operating_system_user()
    assert other.get(f"/login?token={link}").status_code == 403
    assert other.get(f"/login?token={sessions().link_token()}").status_code == 303


def test_links_cannot_be_guessed_quickly(castle_folders):
    sessions().link_token()
    client = make_client()
    answers = [client.get(f"/login?token=guess{number}").status_code for number in range(25)]
    assert 429 in answers
    assert set(answers) == {403, 429}


def test_the_next_link_is_printed_when_one_is_used(castle_folders, capsys):
    client = make_client()
    client.get(f"/login?token={sessions().link_token()}")
    assert f"/login?token={sessions().link_token()}" in capsys.readouterr().err


def test_the_link_and_its_sessions_end_when_users_are_added(castle_folders):
    link = sessions().link_token()
    client = make_client()
    client.get(f"/login?token={link}")
    assert client.get("/api/uploads/token?project=x").status_code == 404
    link = sessions().link_token()
    UserTable().add("ann", "ann's password")
    assert client.get("/api/uploads/token?project=x").status_code == 401
    answer = make_client().get(f"/login?token={link}")
    assert "set-cookie" not in answer.headers
    assert "your name and password" in answer.text


def test_a_password_is_no_way_in_where_there_are_no_users(castle_folders):
    assert log_in(make_client()).status_code == 403


def test_logout_ends_the_session_also_for_copies_of_the_cookie(ann_exists):
    client = make_client()
    log_in(client)
    copy = make_client()
    copy.cookies.update(client.cookies)
    assert copy.get("/api/uploads/token?project=x").status_code == 404
    question = client.get("/logout", headers={"Sec-Fetch-Site": "cross-site"})
    assert "Do you want to log out?" in question.text
    answer = client.get("/logout", headers={"Sec-Fetch-Site": "same-origin"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert client.get("/").status_code == 303
    assert copy.get("/api/uploads/token?project=x").status_code == 401


def test_the_login_page_may_not_be_framed_or_cached(ann_exists):
    headers = make_client().get("/login").headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
