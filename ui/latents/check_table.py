"""The table of the check before a run; in a narrow window its rows become blocks."""

import html
from collections.abc import Sequence
from typing import Any

import streamlit as st

from castle_core.machine import readable_time

_VERDICTS = {"ready": "✓ ready", "skip": "» exists", "warning": "⚠ look", "problem": "✕ cannot run"}
_HEADS = ("Video", "Verdict", "Frames", "With the ROI", "Disk", "Time", "What to do")


def check_table(rows: Sequence[dict[str, Any]]) -> None:
    """Show rows of `PreflightRow`: what was found of every video, and what to do."""
    heads = "".join(f'<th scope="col">{head}</th>' for head in _HEADS)
    body = "".join(_line(row) for row in rows)
    tall = ' class="tall" tabindex="0"' if len(rows) > 12 else ""
    st.html(
        f'<div{tall}><table class="castle-check" aria-label="Check of the videos"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _line(row: dict[str, Any]) -> str:
    share = ", <br>".join(f"ROI {html.escape(roi)}: {100 * value:.0f} %" for roi, value in row["roi_share"].items())
    cells = (
        html.escape(row["video"]),
        f'<b class="{html.escape(row["verdict"])}">{_VERDICTS[row["verdict"]]}</b>',
        f"{row['n_frames']:,}" if row["n_frames"] else "",
        share,
        f"{row['bytes_needed'] / 1e6:,.1f} MB" if row["bytes_needed"] else "",
        readable_time(row["seconds"]) if row["seconds"] else "",
        html.escape(fix_of(row)),
    )
    return "<tr>" + "".join(f'<td data-head="{head}">{c}</td>' for head, c in zip(_HEADS, cells, strict=True)) + "</tr>"


def fix_of(row: dict[str, Any]) -> str:
    """Say what was found about a video and what to do about it."""
    existing = "; ".join(row["existing"])
    if row["verdict"] == "skip":
        return existing or "nothing: exists with the same settings"
    parts = [row["message"].rstrip(".")] if row["verdict"] != "ready" else []
    different = [line for line in row["existing"] if "same settings" not in line]
    if different:
        parts.append("; ".join(different) + ": Extract makes it anew, or choose Keep both")
    if row["verdict"] == "warning" and "NaN" in row["message"]:
        parts.append("Track again, or fill gaps")
    return ". ".join(parts) or "nothing: ready"
