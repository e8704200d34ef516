"""The connection check: is this a Label Studio, may we in, can people log in, and what is odd about it."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from castle_core.errors import LabelStudioError
from castle_core.label_studio.address import normalise_url
from castle_core.label_studio.client import CONNECT_S, LabelStudio
from castle_core.label_studio.failures import no_answer

TESTED = (1, 23)
_ENTRY_S = 30.0


@dataclass(frozen=True)
class Connection:
    """A Label Studio that answers and takes the token.

    Attributes
    ----------
    url : str
        The address to use: where the given one leads to.
    version : str
    user : str
        Email of the token's account.
    warnings : tuple of str
        What works but is odd, a line each.
    """

    url: str
    version: str
    user: str
    warnings: tuple[str, ...] = ()


def check_connection(url: str, token: str) -> Connection:
    """Check address, token, version and the login of people, in this order.

    Raises
    ------
    LabelStudioError
        With one line that says what is wrong: the address, the token, legacy tokens switched off, ….
    """
    given = normalise_url(url)
    found, version = _find(given)
    warnings = []
    if urlsplit(found).hostname != urlsplit(given).hostname:  # the token goes to the computer that was named only
        raise LabelStudioError(f"{given} leads on to {found}. Give that address instead.")
    if found != given:
        warnings.append(f"{given} leads on to {found}; that address is used.")
    numbers = [int(part) for part in re.findall(r"\d+", version)[:2]]
    if tuple(numbers) < TESTED:
        warnings.append(
            f"This is Label Studio {version}; {TESTED[0]}.{TESTED[1]} is what was tested. Update it if you can."
        )
    with LabelStudio(found, token) as server:
        user = server.whoami()
    if login_refused(found):
        warnings.append(
            "People cannot log in at this address: Label Studio refuses the login form (403, CSRF). Its administrator "
            f"must start it with LABEL_STUDIO_CSRF_TRUSTED_ORIGINS={_origin(found)}. Pushing and pulling work all the "
            "same."
        )
    return Connection(found, version, str(user.get("email") or user.get("username") or ""), tuple(warnings))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _find(url: str) -> tuple[str, str]:
    """Return the address to which `url` leads, and the version of the Label Studio there."""
    try:
        answer = requests.get(
            f"{url}/api/version", timeout=(CONNECT_S, _ENTRY_S), headers={"Accept": "application/json"}
        )
    except requests.RequestException as error:
        raise no_answer(url, error) from error
    try:
        body: Any = answer.json()
        version = str(body["release"])
        assert "label-studio-os-package" in body
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise LabelStudioError(
            f"What answers at {url} is not Label Studio. Copy the address from the browser in which you label."
        ) from error
    return normalise_url(answer.url), version


def login_refused(url: str, origin: str | None = None) -> bool:
    """Say whether Label Studio refuses its own login form at this address, as it does behind many https proxies.

    An empty form is sent as a browser would send it: nobody is logged in, and no password is tried.
    """
    session = requests.Session()
    try:
        page = session.get(f"{url}/user/login/", timeout=(CONNECT_S, _ENTRY_S))
        csrf = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        if csrf is None:
            return False
        headers = {"Origin": origin or _origin(url), "Referer": f"{origin or _origin(url)}/user/login/"}
        form = {"csrfmiddlewaretoken": csrf.group(1), "email": "", "password": ""}
        answer = session.post(f"{url}/user/login/", data=form, headers=headers, timeout=(CONNECT_S, _ENTRY_S))
    except requests.RequestException:
        return False
    finally:
        session.close()
    return answer.status_code == 403
