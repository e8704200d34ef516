"""Check labels: counts, and every labelled frame with its points, the suspicious ones first."""

import html
import json
from collections.abc import Callable
from typing import Any

import streamlit as st

from castle_core.errors import CastleError
from castle_core.job_functions.labels import CHECK_FILE
from castle_core.labels import project_labels
from castle_core.labels.in_project import label_state
from castle_core.labels.model import folder_and_name
from castle_core.projects import Project
from ui.job_panel import last_ended, live_bar
from ui.labels.drawn import drawn_url
from ui.labels.exports_panel import export_button
from ui.people import current_user
from ui.server import jobs
from ui.words import counted, plain

KIND = "check_labels"
_A_PAGE = 24


def check_panel(project: Project, view: str | None, go_to: Callable[[str], None]) -> None:
    """Show the last check, or start one; `go_to` opens another part of the page, where there is nothing to check."""
    if not project.counts().labelled:
        st.info("Nothing is labelled yet. Labels come from Label Studio or from a file.", icon=":material/label_off:")
        with st.container(horizontal=True):
            st.button("Label Studio", icon=":material/send:", on_click=go_to, args=("frames",))
            st.button("Bring a file", icon=":material/swap_vert:", on_click=go_to, args=("files",))
        return
    if live_bar([KIND], project=str(project.path)):
        return
    found = _last(project, view)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.button(
            "Check labels" if found is None else "Check again",
            icon=":material/fact_check:",
            type="primary" if found is None else "secondary",
            on_click=_start,
            args=(str(project.path), view),
        )
        export_button(project, "pictures", view, label="All pictures as a zip")
    if found is None:
        job = last_ended([KIND], project=str(project.path))
        if job is not None and job.state == "failed":
            st.error(plain(job.error or "The check failed."), icon=":material/error:")
        else:
            st.caption(
                "Each labelled frame is compared with the others: poses that are unlike them, bones of an odd length, "
                "left and right exchanged, points outside of the image."
            )
        return
    _counts(found)
    _gallery(project, view, found)


def _start(path: str, view: str | None) -> None:
    jobs().submit(KIND, project=path, settings={"view": view}, owner=current_user(), title="Check labels")


def _last(project: Project, view: str | None) -> dict[str, Any] | None:
    """Return the result of the last check, if the labels are still the same."""
    try:
        found = json.loads((project.cache_dir / CHECK_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    fresh = isinstance(found, dict) and found.get("state") == label_state(project) and found.get("view") == view
    return found if fresh else None


def _counts(found: dict[str, Any]) -> None:
    suspicious, total = found["suspicious"], found["frames"]
    if suspicious:
        st.markdown(f"**{len(suspicious):,} of {counted(total, 'labelled frame')}** should be looked at.")
    else:
        st.success(f"Nothing looks wrong in {counted(total, 'labelled frame')}.", icon=":material/check_circle:")
    for note in found["notes"]:
        st.caption(f":material/info: {plain(note)}")
    with st.expander("Labels by keypoint and video"):
        left, right = st.columns(2)
        rows = [
            {"keypoint": name, "frames": n, "share": n / total if total else 0.0}
            for name, n in found["per_keypoint"].items()
        ]
        share = st.column_config.ProgressColumn("share", format="percent", min_value=0, max_value=1)
        left.dataframe(rows, hide_index=True, column_config={"share": share})
        videos = [
            {"video": name or "labeled-data", "frames": n["frames"], "points": n["points"], "no animal": n["no_animal"]}
            for name, n in found["per_video"].items()
        ]
        right.dataframe(videos, hide_index=True)


def _gallery(project: Project, view: str | None, found: dict[str, Any]) -> None:
    suspicious = {each["frame"]: each for each in found["suspicious"]}
    which = st.segmented_control(
        "Show",
        ["suspicious", "all"],
        default="suspicious" if suspicious else "all",
        required=True,
        format_func={"suspicious": f"Suspicious · {len(suspicious)}", "all": f"All · {found['frames']:,}"}.__getitem__,
        key="check-which",
    )
    frames = list(suspicious)
    if which == "all":
        try:
            frames += [frame for frame in project_labels(project, view).frames if frame not in suspicious]
        except CastleError as error:
            st.error(plain(str(error)), icon=":material/error:")
            return
    n_pages = max(1, -(-len(frames) // _A_PAGE))
    page = 1
    if n_pages > 1:
        page = int(st.number_input(f"Page of {n_pages}", 1, n_pages, 1, key=f"check-page-{which}", width=140))
    shown = frames[(page - 1) * _A_PAGE : page * _A_PAGE]
    st.html(f'<ul class="castle-checks">{"".join(_card(project, view, f, suspicious.get(f)) for f in shown)}</ul>')


def _card(project: Project, view: str | None, frame: str, found: dict[str, Any] | None) -> str:
    findings = found["findings"] if found else []
    marked = [(each["individual"], name) for each in findings[:4] for name in each["keypoints"]]
    url = html.escape(drawn_url(project, frame, view=view, marked=marked), quote=True)
    folder, name = folder_and_name(frame)
    title = html.escape(f"{folder} / {name}" if folder else name)
    several = any(each["individual"] for each in findings)
    texts = [f"{each['individual']}: {each['text']}" if several else each["text"] for each in findings[:4]]
    said = "".join(f"<li>{html.escape(text)}</li>" for text in texts)
    more = f"<li>and {len(findings) - 4} more</li>" if len(findings) > 4 else ""
    words = html.escape("; ".join(texts) or "nothing suspicious", quote=True)
    return (
        f'<li><a href="{url}" target="_blank" rel="noopener">'
        f'<img src="{url}?w=640" loading="lazy" alt="{title}: {words}"></a>'
        f"<p>{title}</p><ul>{said}{more}</ul></li>"
    )
