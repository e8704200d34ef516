"""Login in a real browser: what headers it sends by itself, and what people see."""

import pytest
from serving import running_server

from castle_core.users import UserTable

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]


@pytest.fixture
def state(tmp_path, castle_folders, monkeypatch):
    monkeypatch.setenv("CASTLE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CASTLE_STATE", str(tmp_path / "state"))
    return tmp_path


def log_in(page, password):
    page.get_by_label("User name").fill("ann")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_a_person_logs_in_and_out(chromium, state):
    from axe_playwright_python.sync_playwright import Axe

    UserTable().add("ann", "ann's password")
    with running_server(state) as server:
        for scheme in ("light", "dark"):
            context = chromium.new_context(color_scheme=scheme)
            page = context.new_page()
            page.goto(f"{server.url}/label_export")
            log_in(page, "wrong")
            page.get_by_role("alert").get_by_text("is wrong").wait_for()
            assert Axe().run(page).violations_count == 0
            log_in(page, "ann's password")
            page.wait_for_url(f"{server.url}/label_export*")
            page.get_by_text("Log out").wait_for()
            page.get_by_text("Log out").click()
            page.wait_for_url(f"{server.url}/login")
            page.goto(server.url)
            assert page.get_by_role("heading", name="Log in").is_visible()
            context.close()


def test_the_printed_link_opens_the_app_and_an_ended_session_is_noticed(chromium, state):
    with running_server(state) as server:
        link = next(word for word in server.text().split() if "token=" in word)
        context = chromium.new_context()
        page = context.new_page()
        page.goto(link)
        page.get_by_text("Log out").wait_for()
        assert "token" not in page.url
        UserTable().add("ann", "ann's password")  # from now on the link's sessions are worth nothing
        page.reload()
        page.get_by_role("heading", name="Log in").wait_for()
        context.close()
