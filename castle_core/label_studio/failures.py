"""What Label Studio, or the way to it, answered when something failed, in one line that says what to do."""

from typing import Any

import requests

from castle_core.errors import LabelStudioError


class LabelStudioGoneError(LabelStudioError):
    """What was asked for is not in Label Studio (any more)."""


class LabelStudioLoginError(LabelStudioError):
    """Label Studio does not take the token, or the user may not do this."""


class LabelStudioUnreachableError(LabelStudioError):
    """No server answers at the address."""


def no_answer(url: str, error: requests.RequestException) -> LabelStudioUnreachableError:
    """Say why there was no answer at all."""
    text = str(error)
    if isinstance(error, requests.exceptions.SSLError):
        if "WRONG_VERSION_NUMBER" in text or "record layer" in text:
            reason = "it does not speak https. Give its address with http://"
        else:
            reason = (
                "its certificate is not trusted here. Ask its administrator for an address with a valid certificate"
            )
    elif isinstance(error, requests.exceptions.ProxyError):
        reason = "the proxy of this computer is in the way. Unset HTTP_PROXY, or name the server in NO_PROXY"
    elif isinstance(error, requests.exceptions.ConnectTimeout):
        reason = "the computer does not answer. Is it switched on, and may this network reach it?"
    elif isinstance(error, requests.exceptions.Timeout):
        reason = "it took longer than three minutes. Try again when it is less busy"
    elif "NameResolution" in text or "getaddrinfo" in text or "Name or service not known" in text:
        reason = "there is no computer of this name. Check the address"
    elif "Connection refused" in text:
        reason = "nothing answers there. Is Label Studio running, and is the port right?"
    else:
        reason = "the connection broke. What was sent so far is kept: try again, and the rest follows"
    return LabelStudioUnreachableError(f"No connection to Label Studio at {url}: {reason}.".replace("?.", "?"))


def answer_error(url: str, answer: requests.Response, *, personal: bool, known: bool = False) -> LabelStudioError:
    """Turn an answer whose status is 300 or more into the error to raise; `known`: it is a Label Studio for sure."""
    status, detail = answer.status_code, _detail(answer)
    error: LabelStudioError
    if status in {301, 302, 303, 307, 308}:
        target = answer.headers.get("Location", "").split("/api/")[0]
        if "/user/login" in target:
            error = LabelStudioLoginError(_token_line(personal, detail))
        else:
            error = LabelStudioError(f"{url} leads on to {target or 'another address'}. Give that address instead.")
    elif status == 401:
        error = LabelStudioLoginError(_token_line(personal, detail))
    elif status == 403:
        error = LabelStudioLoginError(
            f"Label Studio refuses this ({detail or 'forbidden'}). Ask its administrator whether your account may "
            "change the project, or whether a proxy in front of it blocks the request."
        )
    elif status == 404 and (detail or known):
        error = LabelStudioGoneError(
            f"Label Studio at {url} does not have it any more ({detail or 'not found'}). Was it deleted there?"
        )
    elif status == 404:
        error = LabelStudioError(
            f"What answers at {url} is not Label Studio. Copy the address from the browser in which you label."
        )
    elif status == 413:
        error = LabelStudioError(
            f"A proxy in front of {url} refuses large uploads (413). Its administrator can allow them: 64 MB will do."
        )
    elif status >= 500:
        error = LabelStudioError(
            f"Label Studio at {url} failed ({status}{f': {detail}' if detail else ''}). What was done so far is kept: "
            "try again; if it stays so, look into Label Studio's log."
        )
    else:
        error = LabelStudioError(f"Label Studio refuses this ({status}): {detail or 'no reason given'}.")
    error.status, error.detail = status, detail  # type: ignore[attr-defined]
    return error


def _token_line(personal: bool, detail: str) -> str:
    if "legacy token" in detail.lower():
        return (
            "This Label Studio takes no legacy tokens. Make a personal access token on its page Account & Settings, or "
            "let its administrator allow legacy tokens."
        )
    kind = "personal access token" if personal else "token"
    return (
        f"Label Studio does not accept the {kind} (401): it is wrong, or was revoked. Copy it again from Account & "
        "Settings in Label Studio, and save it on the page Label export."
    )


def _detail(answer: requests.Response) -> str:
    try:
        body: Any = answer.json()
    except ValueError:
        return ""
    if not isinstance(body, dict):
        return str(body)[:300]
    parts = [str(body.get("detail") or "")]
    errors = body.get("validation_errors")
    if isinstance(errors, dict):
        parts += [
            f"{key}: {' '.join(map(str, value)) if isinstance(value, list) else value}" for key, value in errors.items()
        ]
    return "; ".join(part for part in parts if part).replace("\n", " ")[:400]
