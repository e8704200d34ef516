"""Address, tokens and the connection check against a real Label Studio."""

import contextlib
import http.server
import socket
import threading

import pytest
from lab import allow, logged_in, make_project

from castle_core.errors import LabelStudioError
from castle_core.label_studio import (
    LabelStudio,
    PushConfig,
    check_connection,
    credentials_id,
    list_credentials,
    pull,
    push,
    read_credentials,
    remove_credentials,
    save_credentials,
)
from castle_core.label_studio.address import normalise_url
from castle_core.label_studio.client import is_personal
from castle_core.label_studio.connection import login_refused
from castle_core.state import castle_state


@contextlib.contextmanager
def web_server(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class Other(http.server.BaseHTTPRequestHandler):
    """Some other web server."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>hello</html>")

    def log_message(self, *arguments):
        pass


@pytest.mark.parametrize(
    ("given", "clean"),
    [
        ("http://lab:8080/", "http://lab:8080"),
        ("lab:8080", "http://lab:8080"),
        (" https://lab/ls/projects/3/data?tab=1 ", "https://lab/ls"),
        ("https://lab/user/login/?next=/", "https://lab"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_addresses_as_people_paste_them(given, clean):
    assert normalise_url(given) == clean


@pytest.mark.parametrize("given", ["", "ftp://lab", "http://", "http://lab:port", "http://me:pw@lab"])
def test_what_is_no_address(given):
    with pytest.raises(LabelStudioError):
        normalise_url(given)


def test_a_good_connection(label_studio):
    found = check_connection(f"{label_studio.url}/projects/", label_studio.token)
    assert (found.url, found.version, found.user, found.warnings) == (
        label_studio.url,
        "1.23.2",
        label_studio.email,
        (),
    )


def test_what_is_wrong_is_said(label_studio):
    with pytest.raises(LabelStudioError, match="does not accept the token \\(401\\)"):
        check_connection(label_studio.url, "0" * 40)
    with pytest.raises(LabelStudioError, match="empty or holds blanks"):
        check_connection(label_studio.url, "two words")
    with pytest.raises(LabelStudioError, match="personal access token \\(401\\)"):
        check_connection(label_studio.url, "a.b.c")
    with pytest.raises(LabelStudioError, match="does not speak https"):
        check_connection(label_studio.url.replace("http:", "https:"), label_studio.token)
    with pytest.raises(LabelStudioError, match="no computer of this name"):
        check_connection("http://no-such-host.invalid", label_studio.token)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(LabelStudioError, match="nothing answers there"):
        check_connection(f"http://127.0.0.1:{port}", label_studio.token)
    with web_server(Other) as url, pytest.raises(LabelStudioError, match="is not Label Studio"):
        check_connection(url, label_studio.token)


def test_an_address_that_leads_on(label_studio):
    class Front(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(301)
            self.send_header("Location", label_studio.url + self.path)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *arguments):
            pass

    with web_server(Front) as url:
        found = check_connection(url, label_studio.token)
        assert found.url == label_studio.url
        assert "leads on" in found.warnings[0]
        with pytest.raises(LabelStudioError, match="leads on to http"):
            LabelStudio(url, label_studio.token).whoami()
        with pytest.raises(LabelStudioError, match="Give that address instead"):  # the token goes to no other host
            check_connection(url.replace("127.0.0.1", "localhost"), label_studio.token)


def test_a_login_form_that_label_studio_refuses_is_noticed(label_studio):
    assert not login_refused(label_studio.url)
    assert login_refused(label_studio.url, origin="https://labserver")  # as behind a proxy with https


def test_both_kinds_of_token_and_legacy_ones_switched_off(label_studio):
    with logged_in(label_studio) as session:
        allow(session, label_studio)
        answer = session.post(f"{label_studio.url}/api/token/")
        if answer.status_code == 409:
            pytest.skip("the user of this server has a personal access token already")
        token = answer.json()["token"]
        assert is_personal(token)
        try:
            assert check_connection(label_studio.url, token).user == label_studio.email
            allow(session, label_studio, legacy=False)
            with pytest.raises(LabelStudioError, match="takes no legacy tokens"):
                check_connection(label_studio.url, label_studio.token)
            project = make_project()
            with LabelStudio(label_studio.url, token) as server:
                report = push(project, server, PushConfig())
                assert report.created == 3
                server._access = "ended.before.time"  # an access token lives five minutes only
                assert pull(project, server).open == 3
                # revoked in the middle of the work: a clear line, and the rest follows with a new one
                session.post(f"{label_studio.url}/api/token/blacklist/", json={"refresh": token}).raise_for_status()
                server._access = ""
                with pytest.raises(LabelStudioError, match="wrong, or was revoked"):
                    pull(project, server)
            again = session.post(f"{label_studio.url}/api/token/").json()["token"]
            with LabelStudio(label_studio.url, again) as server:
                assert push(project, server, PushConfig()).skipped == 3
            session.post(f"{label_studio.url}/api/token/blacklist/", json={"refresh": again})
        finally:
            allow(session, label_studio)


def test_tokens_are_kept_for_one_person_and_never_shown():
    kept = save_credentials("http://lab:8080/", "secret-token", owner="anna", user="anna@lab")
    path = castle_state() / "label-studio" / f"{kept.id}.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert "secret" not in repr(kept)
    assert read_credentials(kept.id, owner="anna") == kept
    assert kept.id == credentials_id("http://lab:8080", "anna") != credentials_id("http://lab:8080", "bert")
    for wrong in (kept.id, "../" + kept.id, "", "0" * 24):
        with pytest.raises(LabelStudioError, match="is not here"):
            read_credentials(wrong, owner="bert")
    assert list_credentials("bert") == []
    save_credentials("http://lab:8080", "another", owner="anna")
    assert [each.token for each in list_credentials("anna")] == ["another"]
    remove_credentials(kept.id, owner="anna")
    assert list_credentials("anna") == []
    assert "token" not in repr(LabelStudio("http://lab", "secret-token"))


def test_a_netrc_of_the_user_does_not_replace_the_token(label_studio, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert check_connection(label_studio.url, label_studio.token).user == label_studio.email
