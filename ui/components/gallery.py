"""The board's pictures with their strips: keep, drop, pin, swap and add, by mouse or keyboard."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from ui.components import source

_mount = st.components.v2.component("castle_gallery", **source("gallery", with_strip=True))


def gallery(
    sections: Sequence[dict[str, Any]],
    *,
    applied: int,
    editable: bool,
    key: str,
    pins: bool = True,
    words: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Show frames and return what the user did to them.

    Parameters
    ----------
    sections : sequence of dict
        One a video: ``stem``, ``title``, ``n_frames``, ``fps``, ``length`` (text), ``aspect`` (CSS ratio), ``motion``
        (0..1, evenly spaced), ``start`` and ``stop`` (frames, half-open), ``exclude`` (pairs of frames), ``labelled``
        and ``selected`` (frames), ``small`` and ``large`` (URLs with the word FRAME for the frame index) and
        ``entries``: dicts with ``key``, ``frame``, ``time`` (text), ``reason``, ``state`` (keep, drop or pin), ``swap``
        (bool) and ``src``; optionally ``mark`` and ``icon`` instead of the state's word and sign, and for the section
        ``count`` instead of the number of kept frames. An entry's ``points`` are drawn over its picture: [x, y, colour,
        name], x and y from 0 to 1.
    applied : int
        Sequence number of the last operation that `sections` already shows; older ones are not returned.
    editable : bool
        False shows the frames without anything to change.
    pins : bool
        Whether frames can be pinned and swapped; else they can only be kept and dropped.
    words : mapping of str to str, optional
        Other words for the states, such as ``{"keep": "To send"}``.
    key : str
        Key of the widget.

    Returns
    -------
    list of dict
        New operations in order, each with ``seq``: ``{"op": "state", "keys", "state"}``, ``{"op": "swap", "key"}`` or
        ``{"op": "add", "stem", "frame"}``. They come from a browser: check them.
    """
    result = _mount(
        key=key,
        data={
            "sections": list(sections),
            "applied": applied,
            "editable": editable,
            "pins": pins,
            "words": dict(words or {}),
        },
        default={"ops": []},
        on_ops_change=lambda: None,
    )
    return new_operations(result.ops, applied)


def new_operations(operations: Any, applied: int) -> list[dict[str, Any]]:
    """Return the well-formed operations after `applied`, in order; the browser repeats what it has not seen applied."""
    fresh = [
        o for o in operations or [] if isinstance(o, dict) and isinstance(o.get("seq"), int) and o["seq"] > applied
    ]
    return sorted(fresh, key=lambda o: o["seq"])
