"""The few endpoints of Label Studio that are needed, over plain HTTP, with errors that say what to do.

Both kinds of token work: a legacy token is sent as it is; a personal access token (three parts with dots) buys an
access token of five minutes. A request that creates something is never repeated blindly.
"""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import requests
from requests.auth import AuthBase

from castle_core.errors import LabelStudioError
from castle_core.label_studio.address import normalise_url
from castle_core.label_studio.failures import LabelStudioGoneError, answer_error, no_answer

CONNECT_S, READ_S = 10.0, 180.0
_TRIES = 3
_ACCESS_S = 200.0  # an access token lives 300 s
_PAGE = 500
_IDS_AT_ONCE = 200  # they stand in the address, of which many proxies take 8 kB
# What Label Studio computes for its list of tasks unless these columns are hidden: most of its work, and not used.
_DEAR = (
    *("annotations_results", "predictions_results", "predictions_score", "avg_lead_time", "file_upload"),
    *("storage_filename", "annotators", "completed_at", "annotations_ids", "state"),
)
_WHOLE = "id,data,updated_at,draft_exists,annotations,result,was_cancelled,ground_truth,completed_by,created_username,"
_WHOLE += "parent_prediction"
_RETRY_STATUS = {502, 503, 504}


class _Header(AuthBase):
    """Sets our header itself: otherwise a ``~/.netrc`` of the user would replace it."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._value
        return request


def is_personal(token: str) -> bool:
    """Say whether a token is a personal access token (a JSON web token) and not a legacy one."""
    return token.count(".") == 2


class LabelStudio:
    """A Label Studio server, as one of its users.

    Parameters
    ----------
    url : str
        Its address (see `normalise_url`).
    token : str
        A legacy token or a personal access token.

    Raises
    ------
    LabelStudioError
        By every method, if the server does not answer, refuses the token or the request. The message never holds
        the token.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url = normalise_url(url)
        self._token = token.strip()
        if not self._token or not self._token.isascii() or any(letter.isspace() for letter in self._token):
            raise LabelStudioError(
                "The token is empty or holds blanks. Copy it again from Label Studio's account page."
            )
        self._session = requests.Session()
        self._access = ""
        self._access_until = 0.0
        self._known = False  # whether it has answered as a Label Studio does

    def __repr__(self) -> str:
        return f"LabelStudio({self.url!r})"

    def __enter__(self) -> "LabelStudio":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    # ------------------------------------------------------------------ requests

    def _auth(self) -> AuthBase:
        if not is_personal(self._token):
            return _Header(f"Token {self._token}")
        if not self._access or time.monotonic() > self._access_until:
            answer = self._send("POST", "/api/token/refresh/", auth=None, repeat=True, json={"refresh": self._token})
            if answer.status_code >= 400:
                raise answer_error(self.url, answer, personal=True)
            self._access = str(_json(self.url, answer).get("access", ""))
            self._access_until = time.monotonic() + _ACCESS_S
        return _Header(f"Bearer {self._access}")

    def _send(
        self, method: str, path: str, *, auth: AuthBase | None, repeat: bool, **options: Any
    ) -> requests.Response:
        for attempt in range(_TRIES if repeat else 1):
            if attempt:
                time.sleep(0.5 * 2**attempt)
            last = attempt == (_TRIES if repeat else 1) - 1
            try:
                answer = self._session.request(
                    method,
                    self.url + path,
                    auth=auth or _NO_AUTH,
                    timeout=(CONNECT_S, READ_S),
                    allow_redirects=False,
                    **options,
                )
            except requests.RequestException as error:
                if last or not isinstance(error, requests.ConnectionError | requests.Timeout):
                    raise no_answer(self.url, error) from error
                continue
            if answer.status_code in _RETRY_STATUS and not last:
                continue
            return answer
        raise AssertionError("unreachable")

    def request(self, method: str, path: str, *, repeat: bool | None = None, **options: Any) -> requests.Response:
        """Send one request as the user and return the answer, whose status is below 300.

        Parameters
        ----------
        method, path : str
            The path begins with ``/api``.
        repeat : bool, optional
            Whether the request may be sent again after a broken connection; by default only what changes nothing.
        **options
            As `requests.request` takes them.
        """
        again = method in {"GET", "HEAD"} if repeat is None else repeat
        answer = self._send(method, path, auth=self._auth(), repeat=again, **options)
        if answer.status_code == 401 and is_personal(self._token):
            self._access = ""  # ended before its time, as after a restart of the server with another key
            answer = self._send(method, path, auth=self._auth(), repeat=again, **options)
        if answer.status_code >= 300:
            raise answer_error(self.url, answer, personal=is_personal(self._token), known=self._known)
        self._known = True
        return answer

    def _json(self, method: str, path: str, **options: Any) -> Any:
        return _json(self.url, self.request(method, path, **options))

    # ------------------------------------------------------------------ server and projects

    def whoami(self) -> dict[str, Any]:
        """Return the token's user."""
        return dict(self._json("GET", "/api/current-user/whoami"))

    def projects(self) -> Iterator[dict[str, Any]]:
        """Yield ``id``, ``title``, ``description`` and ``created_at`` of every project that the user sees."""
        page = 1
        while True:
            parameters = {"page": page, "page_size": 100, "include": "id,title,description,created_at"}
            found = self._json("GET", "/api/projects", params=parameters)
            yield from found["results"]
            if not found.get("next"):
                return
            page += 1

    def project(self, ls_project: int) -> dict[str, Any]:
        """Return a project; `LabelStudioGoneError` if it is not there."""
        return dict(self._json("GET", f"/api/projects/{ls_project}"))

    def create_project(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Make a project."""
        return dict(self._json("POST", "/api/projects", json=dict(values)))

    def change_project(self, ls_project: int, values: Mapping[str, Any]) -> dict[str, Any]:
        """Change some of a project's settings."""
        return dict(self._json("PATCH", f"/api/projects/{ls_project}", repeat=True, json=dict(values)))

    def config_refusal(self, ls_project: int, label_config: str) -> str | None:
        """Ask whether a project could take another labels configuration; return why not, None if it can.

        Changing the project itself would not ask: it also takes what leaves labels without a name.
        """
        path = f"/api/projects/{ls_project}/validate"
        try:
            self.request("POST", path, repeat=True, json={"label_config": label_config})
        except LabelStudioGoneError:
            raise
        except LabelStudioError as error:
            if getattr(error, "status", None) == 400:
                return str(getattr(error, "detail", "")) or str(error)
            raise
        return None

    # ------------------------------------------------------------------ tasks

    def task_overview(self, ls_project: int) -> list[dict[str, Any]]:
        """Return every task without its regions, in the order of ids: data, counts, drafts, time of its last change."""
        # of predictions the names of their models are asked for: the counter is not updated when one is deleted; and
        # whether there is a draft, since the drafts themselves are listed for their author alone
        fields = "id,data,updated_at,total_annotations,cancelled_annotations,predictions_model_versions,draft_exists"
        hidden = [f"tasks:{name}" for name in _DEAR]
        query = json.dumps({"hiddenColumns": {"explore": hidden, "labeling": hidden}})
        return list(self._pages(ls_project, {"include": fields, "query": query, "page_size": _PAGE}))

    def tasks_in_full(
        self, ls_project: int, tasks: Sequence[int], *, predictions: bool = False, of: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the tasks of these ids with annotations and whether there are drafts; those that are gone are left out.

        Parameters
        ----------
        ls_project : int
        tasks : sequence of int
        predictions : bool
            With their predictions too, which is dear: see `predictions`.
        of : int, optional
            How many tasks the project has: if most of them are wanted, all are asked for, which is quicker.
        """
        fields = f"{_WHOLE},predictions,model_version,score" if predictions else _WHOLE
        parameters: dict[str, Any] = {"fields": "all", "include": fields}
        if of is not None and 4 * len(tasks) >= 3 * of:
            wanted = set(tasks)
            everything = self._pages(ls_project, {**parameters, "page_size": _PAGE})
            yield from (task for task in everything if task["id"] in wanted)
            return
        for start in range(0, len(tasks), _IDS_AT_ONCE):
            part = list(tasks[start : start + _IDS_AT_ONCE])
            chosen = {"filter": "filter:tasks:id", "operator": "in_list", "type": "Number", "value": part}
            query = json.dumps({"filters": {"conjunction": "and", "items": [chosen]}}, separators=(",", ":"))
            yield from self._pages(ls_project, {**parameters, "query": query, "page_size": _IDS_AT_ONCE})

    def predictions(self, ls_project: int) -> dict[int, list[dict[str, Any]]]:
        """Return all predictions of a project by task, oldest first.

        A tenth of the work that they cost together with their tasks, but in one answer: not for huge projects.
        """
        found: dict[int, list[dict[str, Any]]] = {}
        for each in self._json("GET", "/api/predictions/", params={"project": ls_project}):
            found.setdefault(int(each["task"]), []).append(each)
        return {task: sorted(several, key=lambda each: int(each["id"])) for task, several in found.items()}

    def _pages(self, ls_project: int, parameters: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        page, seen = 1, 0
        while True:
            found = self._json("GET", "/api/tasks", params={"project": ls_project, "page": page, **parameters})
            tasks = found["tasks"]
            yield from tasks
            seen += len(tasks)
            if not tasks or seen >= found["total"]:  # the page after the last one would be a 404
                return
            page += 1

    def upload_images(self, ls_project: int, images: Sequence[tuple[str, bytes]]) -> list[int]:
        """Upload pictures without making tasks of them; return the ids of the uploads in the same order.

        Each gets a form field of its own: of several files in one field only the last would be kept.

        Parameters
        ----------
        ls_project : int
        images : sequence of (str, bytes)
            File name and content; at most 100 in one request, or Label Studio fails.
        """
        files = [(f"f{place}", (name, data)) for place, (name, data) in enumerate(images)]
        parameters = {"commit_to_project": "false"}
        answer = self._json("POST", f"/api/projects/{ls_project}/import", params=parameters, files=files)
        ids = [int(each) for each in answer["file_upload_ids"]]
        if len(ids) != len(images):
            raise LabelStudioError(
                f"Label Studio kept {len(ids)} of {len(images)} pictures. Push again; if it stays so, its disk may be "
                "full."
            )
        return ids

    def uploads(self, ls_project: int, ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """Return ``id``, ``file`` (path below ``/data``) and ``size`` of uploads, of all when `ids` is None."""
        parameters = {"all": "true"} if ids is None else {"ids": json.dumps(list(ids))}
        return list(self._json("GET", f"/api/projects/{ls_project}/file-uploads", params=parameters))

    def import_tasks(self, ls_project: int, tasks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Make tasks; returns ``task_ids``, ``task_count``, ``annotation_count`` and ``prediction_count``."""
        parameters = {"return_task_ids": "true"}
        return dict(
            self._json("POST", f"/api/projects/{ls_project}/import", params=parameters, json=[dict(t) for t in tasks])
        )

    def add_predictions(self, ls_project: int, predictions: Sequence[Mapping[str, Any]]) -> int:
        """Add predictions (``task``, ``model_version``, ``score``, ``result``) to tasks; return how many were made."""
        path = f"/api/projects/{ls_project}/import/predictions"
        return int(self._json("POST", path, json=[dict(each) for each in predictions])["created"])

    def delete_prediction(self, prediction: int) -> None:
        """Delete a prediction; one that is gone already is no error."""
        with contextlib.suppress(LabelStudioGoneError):
            self.request("DELETE", f"/api/predictions/{prediction}", repeat=True)

    def add_annotation(self, task: int, result: Sequence[Mapping[str, Any]]) -> None:
        """Add an annotation to a task."""
        self.request("POST", f"/api/tasks/{task}/annotations/", json={"result": [dict(r) for r in result]})


class _NoAuth(AuthBase):
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.pop("Authorization", None)
        return request


_NO_AUTH = _NoAuth()


def _json(url: str, answer: requests.Response) -> Any:
    try:
        return answer.json()
    except ValueError as error:
        # without a length, an answer that was cut looks like a whole one
        if not answer.content or "json" in answer.headers.get("Content-Type", ""):
            raise no_answer(url, requests.ConnectionError("the answer ends early")) from error
        raise LabelStudioError(
            f"What answers at {url} is not Label Studio. Copy the address from the browser in which you label."
        ) from error
