"""Right column: the actions, the check before a run, the live log with a bar a video, and the summary."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from castle_core.errors import CastleError
from castle_core.machine import readable_time
from castle_core.projects import Project, VideoEntry
from ui.job_panel import ACTIVE, SAFE, describe, job_bar
from ui.latents.form import current_form, form_of_job, job_settings, key_of, load_form, why_not
from ui.latents.preview_panel import current_frame, preview_video
from ui.latents.work import NOTE, newest, start
from ui.people import current_user
from ui.pictures import timeline_of
from ui.server import jobs
from ui.words import code, counted, percent, plain

if TYPE_CHECKING:
    from castle_core.jobs import Job

KIND = "latents"
CHECK = "check_latents"
FRAME = "run_frame"
_ACTIONS = {
    "latent": ("Extract", ":material/play_arrow:", None),
    "crop": ("Extract Crop Video", ":material/crop:", "The crop at Width x Height, as a film. Needs Center ROI."),
    "rotation": (
        "Extract Rotation Latent",
        ":material/rotate_right:",
        "The mean over turned pictures: does not depend on orientation; 'stack' keeps it.",
    ),
    "frame": ("Run Frame", ":material/photo:", "Runs the frame of the preview and writes a 1-row result at once."),
}
_SESSION: Any = "session"
_VERDICTS = {"ready": "✓ ready", "skip": "⏩ exists", "warning": "⚠ look", "problem": "✕ problem"}


def actions_panel(project: Project, form: dict[str, Any], targets: Sequence[VideoEntry]) -> None:
    """Show actions, check, log and summary."""
    st.subheader("Log and actions", anchor=False)
    running = [job for job in jobs().list(project=str(project.path), states=ACTIVE, limit=50) if job.kind == KIND]
    for place, (action, (label, icon, about)) in enumerate(_ACTIONS.items()):
        if st.button(
            label,
            key=f"latent-{action}",
            icon=icon,
            help=about,
            type="primary" if place == 0 and not running else "secondary",
            width="stretch",
            disabled=project.read_only,
        ):
            _begin(project, action, targets)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.number_input("Angles", 1, 72, key=key_of("angles"), persist_state=_SESSION, help="Of the rotation latent.")
        st.checkbox("stack", key=key_of("stack"), persist_state=_SESSION, help="Keep every angle instead of the mean.")
    if note := st.session_state.pop(NOTE, None):
        st.error(plain(note), icon=":material/error:")
    if running:
        _live(running[0].id, [entry.name for entry in targets])
    else:
        _ended(project)


def _begin(project: Project, action: str, targets: Sequence[VideoEntry]) -> None:
    form = current_form()
    if reason := why_not(project, form):
        st.session_state[NOTE] = reason
        return
    if action == "crop" and not form["center"]:
        st.session_state[NOTE] = "A crop video needs Center ROI on. Switch it on and click Apply."
        return
    settings = job_settings(form, action)
    if action == "frame":
        entry = preview_video(targets)
        timeline = timeline_of(project, entry.stem)
        frame = current_frame(entry.stem, timeline.n_frames if timeline else 1)
        start(
            project,
            FRAME,
            {"video": entry.stem, "frame_index": frame, "config": settings["config"]},
            f"Run frame {frame} of {entry.name}",
        )
    else:
        name = targets[0].name if len(targets) == 1 else counted(len(targets), "video")
        start(project, KIND, settings, f"{_ACTIONS[action][0]}: {name}")
    st.rerun()


# ------------------------------------------------------------------ the check before a run


def check_panel(project: Project, form: dict[str, Any]) -> None:
    """Show the table of videos: readable, masks, ROI, what exists, disk space, time; with a fix beside each problem."""
    st.subheader("Before you start", anchor=False)
    if why_not(project, form):
        st.caption("After Apply, every video is looked at: masks, ROIs, what exists already, disk space and time.")
        return
    settings = job_settings(form, "latent")
    asked = {"videos": settings["videos"], "config": settings["config"]}
    job = newest(project, CHECK, asked)
    if job is not None and job.state in ACTIVE:
        _wait(job.id)
        return
    if st.button(
        "Check the videos" if job is None else "Check again", key="latent-check", icon=":material/fact_check:"
    ):
        start(project, CHECK, asked, "Look before extracting")
        st.rerun()
    if job is None:
        st.caption("These settings have not been checked yet.")
    elif job.state != "finished":
        st.error(plain(job.error or "The check did not end."), icon=":material/error:")
    else:
        _table(job.result or {})


def start_check(project: Project, form: dict[str, Any]) -> None:
    """Look at the videos now, without being asked (after Apply)."""
    try:
        settings = job_settings(form, "latent")
    except CastleError:
        return
    start(project, CHECK, {"videos": settings["videos"], "config": settings["config"]}, "Look before extracting")


def _table(result: dict[str, Any]) -> None:
    rows = [
        {
            "Video": row["video"],
            "Verdict": _VERDICTS[row["verdict"]],
            "Frames": row["n_frames"],
            "With the ROI": ", ".join(f"ROI {roi}: {100 * share:.0f} %" for roi, share in row["roi_share"].items()),
            "Disk": f"{row['bytes_needed'] / 1e6:,.1f} MB" if row["bytes_needed"] else "",
            "Time": readable_time(row["seconds"]) if row["seconds"] else "",
            "What to do": fix_of(row),
        }
        for row in result.get("rows", [])
    ]
    st.dataframe(rows, hide_index=True, height="content" if len(rows) < 12 else 440)
    seconds = sum(row["seconds"] for row in result.get("rows", []))
    if seconds:
        st.caption(
            f"About {readable_time(seconds)} for the model on {plain(str(result.get('device', '')))}, measured on two "
            "pictures."
        )


def fix_of(row: dict[str, Any]) -> str:
    """Say what was found about a video and what to do about it."""
    existing = "; ".join(row["existing"])
    if row["verdict"] == "skip":
        return existing or "nothing: exists with the same settings"
    parts = [row["message"]] if row["verdict"] != "ready" else []
    different = [line for line in row["existing"] if "same settings" not in line]
    if different:
        parts.append("; ".join(different) + ": Extract makes it anew, or choose Keep both")
    if row["verdict"] == "warning" and "NaN" in row["message"]:
        parts.append("track again, or fill gaps")
    return ". ".join(parts) or "nothing: ready"


# ------------------------------------------------------------------ log and summary


def progress_of_videos(job: "Job", lines: Sequence[str]) -> list[tuple[str, float, str]]:
    """Return (video, share done 0..1, state in words) for every video that the log has begun."""
    begun = [line.strip()[len("Processing ") : -3] for line in lines if line.strip().startswith("Processing ")]
    failed = {line.split("Error processing ")[1].split(": ")[0] for line in lines if "Error processing " in line}
    begun = list(dict.fromkeys(begun))
    found = []
    for place, name in enumerate(begun):
        if name in failed:
            found.append((name, 1.0, "failed"))
        elif place + 1 < len(begun) or job.state == "finished":
            found.append((name, 1.0, "done"))
        else:
            several = job.total > 1000 and job.total % 1000 == 0 and job.message.startswith(name)
            share = (job.done % 1000) / 1000 if several else job.done / job.total if job.total else 0.0
            found.append((name, min(share, 1.0), "running"))
    return found


def _live(number: int, names: Sequence[str]) -> None:
    @st.fragment(run_every=1.0, key="latent-live")
    def live() -> None:
        job = jobs().get(number)
        if job.state not in ACTIVE:
            st.rerun()
        job_bar(job)
        lines = jobs().log(number)
        videos = progress_of_videos(job, lines)
        for name, share, words in videos if len(names) > 1 else []:
            st.progress(
                percent(share, 1) / 100,
                text=f"{plain(name)} · {words} · {describe(job)}" if words == "running" else f"{plain(name)} · {words}",
            )
        waiting = len(names) - len(videos)
        if len(names) > 1 and waiting > 0:
            st.caption(f"{counted(waiting, 'video')} to come")
        _log(lines)
        st.caption(SAFE + " Cancel keeps what is finished.")

    live()


def _log(lines: Sequence[str]) -> None:
    if lines:
        st.code("\n".join(line.strip("\n") for line in lines[-200:]), language=None, height=220, wrap_lines=True)


def _ended(project: Project) -> None:
    """Show how the last run ended."""
    job = newest(project, KIND)
    if job is None:
        st.caption("Nothing has been extracted from this page yet.")
        return
    result = job.result or {}
    if job.state == "finished":
        _summary(result)
    elif job.state == "cancelled":
        st.info("Cancelled. What was finished is kept: Continue goes on from there.", icon=":material/pause:")
    else:
        st.error(plain(job.error or "Failed."), icon=":material/error:")
    with st.container(horizontal=True):
        if job.state in ("cancelled", "failed") and job.owner == current_user():
            st.button("Continue", key="latent-continue", icon=":material/play_arrow:", on_click=_retry, args=(job.id,))
        if result.get("outputs") and Path("pages/inspector.py").is_file():
            st.page_link("pages/inspector.py", label="Look at them in the Inspector", icon=":material/query_stats:")
    with st.expander("Log of the last run", icon=":material/terminal:"):
        _log(jobs().log(job.id))
    _crop_videos(project, result)


def _summary(result: dict[str, Any]) -> None:
    outputs, skipped, failed = (result.get(name, []) for name in ("outputs", "skipped", "failed"))
    films = result.get("crop_videos", [])
    parts = [counted(len(outputs), "file") + " written"] if outputs else []
    parts += [counted(len(films), "crop video") + " written"] if films else []
    parts += [counted(len(skipped), "file") + " skipped"] if skipped else []
    parts += [counted(len(failed), "video") + " failed"] if failed else []
    words = "Extraction Complete! " + (", ".join(parts) or "nothing to do") + "."
    (st.warning if failed else st.success)(words, icon=":material/error:" if failed else ":material/check_circle:")
    if outputs:
        st.dataframe(
            [
                {
                    "File": Path(row["path"]).name,
                    "Rows": row["n_frames"],
                    "Numbers a row": row["dim"],
                    "NaN rows": row["nan_rows"],
                    "Folder": str(Path(row["path"]).parent),
                }
                for row in outputs
            ],
            hide_index=True,
        )
    for row in skipped[:20]:
        st.caption(f":material/fast_forward: {plain(Path(row['path']).name)}: {plain(row['reason'])}")
    for row in failed:
        st.caption(f":material/close: **{plain(row['video'])}**: {plain(row['reason'])}")


def _crop_videos(project: Project, result: dict[str, Any]) -> None:
    from ui.media import crop_url

    films = {Path(row["path"]).name: row for row in result.get("crop_videos", []) if Path(row["path"]).is_file()}
    if not films:
        return
    name = st.selectbox("Crop video", list(films), key="latent-crop-film")
    url = crop_url(project, project.video(films[str(name)]["video"]).stem, str(name))
    st.html(
        f'<video class="castle-drawn" controls muted preload="metadata" src="{url}" aria-label="Crop video"></video>'
    )
    st.caption(f"`{code(films[str(name)]['path'])}`")


def _retry(number: int) -> None:
    try:
        jobs().retry(number, by=current_user())
    except CastleError as error:
        st.session_state[NOTE] = str(error)


@st.fragment(run_every=1.0, key="latent-check-wait")
def _wait(number: int) -> None:
    job = jobs().get(number)
    if job.state not in ACTIVE:
        st.rerun()
    job_bar(job)


def earlier_settings(project: Project) -> None:
    """Offer the settings of earlier runs."""
    runs = [job for job in jobs().list(project=str(project.path), limit=100) if job.kind == KIND][:12]
    if not runs:
        return
    with st.expander("Settings of another run", icon=":material/history:"):
        names = {job.id: f"{job.title} · {job.owner} · {in_words(job.settings)}" for job in runs}
        number = st.selectbox("Run", list(names), format_func=names.__getitem__, key="latent-earlier")
        chosen = next(job for job in runs if job.id == number)
        st.button("Take these settings", key="latent-take", on_click=load_form, args=(form_of_job(chosen.settings),))
        st.caption("They are put into the fields above; Apply fixes them.")


def in_words(settings: dict[str, Any]) -> str:
    """Say in a few words what a run was asked."""
    form: dict[str, Any] = form_of_job(settings)
    parts = [Path(form["encoder"]).name, f"ROI {form['roi_ids']}"]
    if form["center"]:
        parts.append(f"crop {form['width']} x {form['height']} around ROI {form['center_roi']}")
    parts += ["rotated"] if form["rotate"] else []
    parts += ["background removed"] if form["remove_background"] else []
    labels: dict[str, Callable[[], str]] = {
        "global": lambda: "global average",
        "point": lambda: f"point {', '.join(form['points'])}",
    }
    parts.append(labels.get(form["module"], lambda: ", ".join(form["outputs"]))())
    return ", ".join(parts)
