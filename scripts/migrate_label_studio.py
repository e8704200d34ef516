"""Starts a Label Studio once on an empty data folder, until it answers, so that the tests need not wait for migrations.

Run by install_label_studio.sh: migrate_label_studio.py LABEL-STUDIO DATA-FOLDER
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

USER, PASSWORD = "tests@example.com", "tests-password-123"
TOKEN = "0123456789abcdef0123456789abcdef01234567"


def environment(data: Path) -> dict[str, str]:
    """Return what Label Studio needs to run alone: its folder, its first user, and no word to the outside."""
    return {
        **os.environ,
        "LABEL_STUDIO_BASE_DATA_DIR": str(data),
        # a generated key that begins with $ is not read back, and every start would then make another one
        "SECRET_KEY": "castle-studio-tests-keep-one-key-for-every-start-0000",
        "LABEL_STUDIO_USERNAME": USER,
        "LABEL_STUDIO_PASSWORD": PASSWORD,
        # token settings count at the first start only, when the organisation is made
        "LABEL_STUDIO_USER_TOKEN": TOKEN,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_COLLECT_ANALYTICS": "false",
        "LABEL_STUDIO_LATEST_VERSION_CHECK": "false",
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }


def start(program: str, data: Path, port: int, log: Path) -> "subprocess.Popen[bytes]":
    """Start the server on a port of the loopback."""
    command = [program, "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    with open(log, "ab") as output:
        return subprocess.Popen(
            command,
            cwd=data,
            env=environment(data),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def free_port() -> int:
    """Return a port that is free now. Label Studio silently takes the next one when its port is busy."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait(process: "subprocess.Popen[bytes]", port: int, seconds: float) -> None:
    """Wait until our own server answers, and not another one: it must be alive and know our token."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/current-user/whoami", headers={"Authorization": f"Token {TOKEN}"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + seconds
    while True:
        if process.poll() is not None:
            raise RuntimeError("Label Studio ended at its start")
        try:
            with opener.open(request, timeout=5) as answer:
                if answer.status == 200 and USER in answer.read().decode():
                    return
        except (OSError, urllib.error.URLError):
            pass
        if time.monotonic() > deadline:
            raise RuntimeError("Label Studio did not answer in time")
        time.sleep(0.2)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End the server."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)


def main() -> None:
    program, data = sys.argv[1], Path(sys.argv[2])
    log, port = data / "first-start.log", free_port()
    process = start(program, data, port, log)
    try:
        wait(process, port, 300)
    except RuntimeError as error:
        sys.stderr.write(log.read_text(encoding="utf-8", errors="replace")[-2000:])
        sys.exit(f"{error}")
    finally:
        stop(process)


if __name__ == "__main__":
    main()
