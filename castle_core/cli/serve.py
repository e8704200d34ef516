"""``castle serve``: start the app, and say how to open it."""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(
    home: Annotated[
        Path | None, typer.Option("--home", metavar="DIR", help="Folder of the projects (CASTLE_HOME; ~/castle).")
    ] = None,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes any free one.")] = 8501,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="NAME=DIR", help="Let people link videos from this folder. May be repeated."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="Answer under this host name as well (a proxy's name)."),
    ] = None,
    max_upload_gib: Annotated[
        float, typer.Option("--max-upload-gib", min=0.001, help="Largest upload in GiB.")
    ] = 256.0,
    no_login: Annotated[
        bool, typer.Option("--no-login", help="No login; answers only browsers on this machine.")
    ] = False,
) -> None:
    """Start the app and its workers, and print the link to open.

    Without users (castle users add) the link holds a token that works once.
    """
    from castle_core.errors import ConfigError, ProjectError
    from castle_core.files import make_folder
    from castle_core.jobs import running_app
    from castle_core.server_folders import ServerFolders
    from castle_core.state import castle_home, castle_state

    if no_login and host not in ("127.0.0.1", "localhost", "::1"):
        raise ConfigError(
            f"--no-login serves this machine only, so it cannot listen on {host}. "
            "Leave --host out, or leave --no-login out and log in."
        )
    script = find_app()
    folders = ServerFolders.parse(allow or [])
    if home is not None:
        os.environ["CASTLE_HOME"] = str(home.expanduser().absolute())
    projects = make_folder(castle_home())
    if not projects.is_dir():
        raise ProjectError(f"{projects} is not a folder. Give the folder of the projects with --home DIR.")
    other = running_app(castle_state())
    if other is not None:
        raise ConfigError(
            f"castle runs already (process {other}). Use that one, stop it, or set CASTLE_STATE to another folder."
        )
    check_port(host, port)
    os.environ["CASTLE_SERVE"] = json.dumps(
        {
            "allow": {name: str(path) for name, path in folders.roots.items()},
            "login": not no_login,
            "host": host,
            "hosts": allow_host or [],
            "max_upload": int(max_upload_gib * (1 << 30)),
        }
    )
    # The app takes this process's place, so signals and the exit code are its own.
    options = {"server.address": host, "server.port": port, "logger.hideWelcomeMessage": "true"}
    arguments = [f"--{name}={value}" for name, value in options.items()]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(script), *arguments])


def find_app() -> Path:
    """Return the path of ``app.py``, which lies beside ``castle_core`` in the repository.

    Raises
    ------
    ConfigError
        If only the library is installed, without the app.
    """
    import castle_core
    from castle_core.errors import ConfigError

    root = Path(castle_core.__file__).resolve().parent.parent
    missing = [name for name in ("app.py", "ui", "pages", ".streamlit/config.toml") if not (root / name).exists()]
    if missing:
        raise ConfigError(
            f"The app's files ({', '.join(missing)}) are not beside the library in {root}: only castle_core was "
            "installed. Clone the repository and run make serve there (or pip install --editable .)."
        )
    return root / "app.py"


def check_port(host: str, port: int) -> None:
    """Say in one line why `host` and `port` cannot be listened on.

    Raises
    ------
    ConfigError
        If the port is taken, or the address is not one of this machine.
    """
    from castle_core.errors import ConfigError

    try:
        family, kind, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except PermissionError as error:
        raise ConfigError(f"Port {port} needs administrator rights. Choose one above 1024 with --port.") from error
    except socket.gaierror as error:
        raise ConfigError(f"--host {host} is not a name or address of this machine.") from error
    except OSError as error:
        if error.errno == 98:
            raise ConfigError(
                f"Port {port} is taken, perhaps by another castle. Stop it, or choose a port with --port."
            ) from error
        raise ConfigError(f"Cannot listen on {host}:{port}: {error.strerror}. Check --host.") from error
