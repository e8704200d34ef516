"""Small projects for the Label Studio tests, and what people do there, over its API."""

import contextlib
import csv
import hashlib
import re
import socket
import threading
from pathlib import Path

import cv2
import numpy as np
import requests

from castle_core.projects import Project

NAMES = ("nose", "ear", "tail base")


def write_frames(project: Project, stem: str, indices, *, size=(64, 48), seed=0) -> list[str]:
    """Write pictures of noise and list them as selected; returns their paths."""
    folder = project.path / "labeled-data" / stem
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"img{index:08d}.png" for index in indices]
    for index, name in zip(indices, names, strict=True):
        random = np.random.default_rng([seed, index])
        cv2.imwrite(str(folder / name), random.integers(0, 255, (size[1], size[0], 3), np.uint8))
    have = folder / "selected_frames.csv"
    have.write_text((have.read_text() if have.exists() else "") + "".join(f"{name}\n" for name in names))
    return [f"labeled-data/{stem}/{name}" for name in names]


def make_project(name="mice", *, keypoints=NAMES, stems=("day1",), indices=(3, 7, 11)) -> Project:
    project = Project.create(name, keypoints=keypoints)
    for number, stem in enumerate(stems):
        write_frames(project, stem, indices, seed=number)
    return project


def write_model(project: Project, model: str, stem="day1", *, n=20, shift=0.0, likelihood=0.9, keypoints=NAMES):
    """Write a model's predictions: keypoint k of frame i at `predicted`."""
    path = project.path / "models" / model / f"{stem}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        columns = [(name, axis) for name in keypoints for axis in ("x", "y", "likelihood")]
        table.writerow(["scorer", *["model"] * len(columns)])
        table.writerow(["bodyparts", *[name for name, _ in columns]])
        table.writerow(["coords", *[axis for _, axis in columns]])
        for frame in range(n):
            points = [predicted(frame, k, shift) for k in range(len(keypoints))]
            table.writerow([frame, *[number for x, y in points for number in (x, y, likelihood)]])
    return path


def predicted(frame: int, k: int, shift=0.0) -> tuple[float, float]:
    """Where the model puts a keypoint, in pixels."""
    return 5 + frame % 50 + k + shift, 6 + 2 * k + shift


def region(label, x, y, size=(64, 48), **more):
    """A region as a person's browser submits it, from pixels."""
    value = {"x": 100 * x / size[0], "y": 100 * y / size[1], "width": 0.75, "keypointlabels": [label]}
    whole = {"type": "keypointlabels", "from_name": "kp", "to_name": "img", "image_rotation": 0}
    whole |= {"original_width": size[0], "original_height": size[1], "value": value, "origin": "manual"}
    return whole | {"id": hashlib.sha256(f"{label}{x}{y}".encode()).hexdigest()[:10]} | more


def tasks(client, ls_project):
    """lp_path → task in full."""
    overview = client.task_overview(ls_project)
    return {
        each["data"]["lp_path"]: each
        for each in client.tasks_in_full(ls_project, [task["id"] for task in overview], predictions=True)
    }


def submit(client, task, regions, **more):
    """What the button Submit does."""
    answer = client.request("POST", f"/api/tasks/{task}/annotations/", json={"result": regions, **more})
    return answer.json()


@contextlib.contextmanager
def logged_in(label_studio, email=None, password=None):
    """A person's own session in Label Studio, as in a browser; by default that of its first user."""
    form = {"email": email or label_studio.email, "password": password or label_studio.password}
    with requests.Session() as session:
        _send_form(session, f"{label_studio.url}/user/login/", form)
        session.headers["X-CSRFToken"] = session.cookies["csrftoken"]
        yield session


def another_person(label_studio, email="second@example.com", password="second-password-1"):
    """The session of a second person, who joins by invitation."""
    with logged_in(label_studio) as session:
        invitation = session.get(f"{label_studio.url}/api/invite").json()
    with requests.Session() as session:
        _send_form(session, label_studio.url + invitation["invite_url"], {"email": email, "password": password})
    return logged_in(label_studio, email, password)


def _send_form(session, url, form):
    page = session.get(url).text
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page).group(1)
    session.post(url, data={**form, "csrfmiddlewaretoken": token}, headers={"Referer": url}).raise_for_status()


def allow(session, label_studio, *, personal=True, legacy=True):
    """Say which kinds of token the organisation takes."""
    values = {"api_tokens_enabled": personal, "legacy_api_tokens_enabled": legacy}
    session.post(f"{label_studio.url}/api/jwt/settings", json=values).raise_for_status()


class Wire:
    """A wire to a server that can be cut: a relay on a port of its own.

    Parameters
    ----------
    port : int
        The server's port on the loopback.
    cut_after : int, optional
        Break every connection after so many bytes to the server, until `mend` is called.
    back : bool
        Count the bytes that come from the server instead.
    """

    def __init__(self, port: int, cut_after: int | None = None, *, back: bool = False) -> None:
        self._target, self._left, self._back, self._closed = port, cut_after, back, False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def mend(self) -> None:
        with self._lock:
            self._left = None

    def close(self) -> None:
        self._closed = True
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            threading.Thread(target=self._relay, args=(near, far, not self._back), daemon=True).start()
            threading.Thread(target=self._relay, args=(far, near, self._back), daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        try:
            while data := source.recv(65536):
                if counted:
                    with self._lock:
                        if self._left is not None:
                            self._left -= len(data)
                            if self._left < 0:
                                break
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
