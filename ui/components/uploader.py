"""Big files from the browser to the server's disk: many at once, paused, resumed, also after the tab was closed."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from ui.components import source

_source = source("uploader", with_strip=True)
_mount = st.components.v2.component("castle_uploader", **_source)

_REFUSED_HTML = (
    '<div class="up"><ul role="list" aria-label="Refused files"></ul><div class="live" role="status"></div></div>'
)
_mount_refused = st.components.v2.component(
    "castle_refused_uploads",
    html=_REFUSED_HTML,
    css=_source["css"],
    js=_source["js"],
)

PIECE = 32 << 20
"""Bytes in one request. Proxies must let this pass."""


@dataclass(frozen=True)
class Uploads:
    """How many uploads of this page run, and how many ended since the tab was opened."""

    busy: int
    done: int


def uploader(
    *,
    token: str,
    group: str,
    endpoint: str,
    accept: Sequence[str],
    max_size: int,
    label: str,
    hint: str,
    key: str,
    purpose: str = "",
    refused_elsewhere: bool = False,
) -> Uploads:
    """Show the drop zone and its uploads.

    Parameters
    ----------
    token : str
        Proof of who uploads, and into which project; from `ui.uploads.token`.
    group : str
        Uploads of one group are shown together; a project and a kind of file.
    endpoint : str
        Path of the upload route.
    accept : sequence of str
        File endings with their dots, in lower case.
    max_size : int
        Largest file in bytes.
    label, hint : str
        Accessible name of the file chooser, and the small line in the drop zone.
    purpose : str
        Sent along with each file: what it is, where its ending does not say.
    refused_elsewhere : bool
        Leave out the files that are not taken: `refused_list` shows them.

    Returns
    -------
    Uploads
        Counts only: what has arrived is asked from the server.
    """
    result = _mount(
        key=key,
        data={
            "token": token,
            "group": group,
            "purpose": purpose,
            "endpoint": endpoint,
            "accept": list(accept),
            "max_size": max_size,
            "chunk": PIECE,
            "label": label,
            "hint": hint,
            "shows": "taken" if refused_elsewhere else "all",
        },
        default={"uploads": {"busy": 0, "done": 0}},
        on_uploads_change=lambda: None,
    )
    counts = result.uploads if isinstance(result.uploads, dict) else {}
    return Uploads(int(counts.get("busy") or 0), int(counts.get("done") or 0))


def refused_list(*, group: str, key: str) -> None:
    """Name the files of a group that are not taken, each with its reason, until the user dismisses it.

    The list takes no room while it is empty.
    """
    _mount_refused(key=key, data={"group": group, "shows": "refused"})
