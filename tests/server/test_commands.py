import json
import socket

import pytest

from castle_core.cli.app import app
from castle_core.cli.output import run_app
from castle_core.users import UserTable


@pytest.fixture
def no_start(monkeypatch):
    """What ``castle serve`` would have become."""
    started = []
    monkeypatch.setattr("castle_core.cli.serve.os.execv", lambda program, arguments: started.append(arguments))
    monkeypatch.setenv("CASTLE_SERVE", "")
    monkeypatch.setenv("CASTLE_HOME", "")  # so that what the command sets is put back
    return started


def test_users_from_the_command_line(castle_folders, capsys, tmp_path):
    (tmp_path / "password").write_text("a long password\n")
    assert run_app(app, ["users", "list"]) == 0
    assert "castle users add" in capsys.readouterr().err
    assert run_app(app, ["users", "add", "ann", "--password-file", str(tmp_path / "password"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"user": "ann", "new": True}
    assert UserTable().check("ann", "a long password")
    assert run_app(app, ["users", "list", "--json"]) == 0
    assert [user["name"] for user in json.loads(capsys.readouterr().out)["users"]] == ["ann"]
    assert run_app(app, ["users", "remove", "ann"]) == 0
    assert run_app(app, ["users", "remove", "ann"]) == 1
    assert "There is no user 'ann'" in capsys.readouterr().err


def test_a_password_is_never_an_argument(castle_folders, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert run_app(app, ["users", "add", "ann"]) == 1
    assert "--password-file" in capsys.readouterr().err
    assert UserTable().list() == []


def test_serve_hands_its_options_over(castle_folders, no_start, tmp_path, monkeypatch):
    import os

    from ui.settings import settings

    arguments = ["serve", "--home", str(tmp_path / "lab"), "--port", "0", "--allow", f"data={tmp_path}"]
    assert run_app(app, [*arguments, "--allow-host", "castle.lab.org", "--max-upload-gib", "2"]) == 0
    chosen = settings()
    assert chosen.login
    assert chosen.folders.roots == {"data": tmp_path}
    assert chosen.hosts == ("castle.lab.org",)
    assert chosen.max_upload == 2 << 30
    assert os.environ["CASTLE_HOME"] == str(tmp_path / "lab")
    assert (tmp_path / "lab").is_dir()
    (command,) = no_start
    assert "--server.address=127.0.0.1" in command
    assert run_app(app, ["serve", "--port", "0", "--no-login"]) == 0
    assert not settings().login


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--no-login", "--host", "0.0.0.0"], "--no-login serves this machine only"),
        (["--allow", "data"], "is not NAME=DIR"),
        (["--allow", "data=/no/such/folder"], "there is no folder"),
        (["--host", "no.such.host.invalid"], "not a name or address of this machine"),
        (["--host", "203.0.113.5"], "Cannot listen on 203.0.113.5"),
    ],
)
def test_serve_refuses_in_one_line(castle_folders, no_start, capsys, arguments, line):
    assert run_app(app, ["serve", "--port", "0", *arguments]) == 1
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
    assert not no_start


def test_a_taken_port_is_said(castle_folders, no_start, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert run_app(app, ["serve", "--port", str(taken.getsockname()[1])]) == 1
    assert "is taken" in capsys.readouterr().err
    assert not no_start


def test_a_library_without_the_app_says_so(castle_folders, no_start, capsys, monkeypatch, tmp_path):
    import castle_core

    (tmp_path / "castle_core").mkdir()
    monkeypatch.setattr(castle_core, "__file__", str(tmp_path / "castle_core" / "__init__.py"))
    assert run_app(app, ["serve"]) == 1
    assert "only castle_core was installed" in capsys.readouterr().err
