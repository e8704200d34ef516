"""Files in and out: labels of other tools into the project, and the project's labels for other tools."""

from pathlib import Path
from typing import Any

import streamlit as st

from castle_core.errors import CastleError
from castle_core.labelled import all_label_files
from castle_core.labels.exporting import FORMATS, WITH_PRE_LABELS, export_state
from castle_core.labels.keypoints import read_keypoints
from castle_core.machine import readable_size
from castle_core.predictions import find_models
from castle_core.projects import Project
from ui import uploads
from ui.add_videos import upload_panel
from ui.downloads import download_link
from ui.job_panel import ACTIVE, describe, last_ended, live_bar
from ui.labels.drawn import export_url
from ui.labels.keypoints_panel import take_over
from ui.people import current_user
from ui.server import jobs
from ui.words import counted, percent, plain

EXPORT, IMPORT = "export_labels", "import_labels"
_NO_MODEL = "No pre-labels"
LABEL_ENDINGS = (".csv", ".h5", ".json", ".slp")
KEYPOINT_ENDINGS = (".yaml", ".yml")
_SHOWN = ("lightning-pose", "dlc", "coco", "pictures", "slp", "pkg-slp", "label-studio")


def exports_panel(project: Project, view: str | None) -> None:
    """Show both ways beside each other."""
    left, right = st.columns([7, 5], gap="large")
    with left:
        st.subheader("Out", anchor=False)
        st.caption("A file is prepared here, then it can be downloaded. The project itself stays as it is.")
        empty = not all_label_files(project.path)
        if empty:
            st.info(
                "Nothing is labelled yet: only the frames to label can go out, for Label Studio. Files for Lightning "
                "Pose, DeepLabCut, COCO and SLEAP can be prepared once there are labels.",
                icon=":material/label_off:",
            )
            st.caption(
                ":material/lightbulb: Lightning Pose needs no file: the project folder has its layout, so its own app "
                "can label the frames in `labeled-data/` where they lie."
            )
        shown = [name for name in _SHOWN if name == WITH_PRE_LABELS or not empty]
        for place, name in enumerate(shown):
            if place % 2 == 0:
                columns = st.columns(2)
            with columns[place % 2], st.container(border=True, height="stretch", key=f"format-{name}"):
                st.markdown(f"**{FORMATS[name].title}**")
                st.caption(FORMATS[name].help)
                model, threshold = _pre_labels(project) if name == WITH_PRE_LABELS else (None, 0.0)
                export_button(
                    project,
                    name,
                    view,
                    model=model,
                    threshold=threshold,
                )
    with right:
        st.subheader("In", anchor=False)
        _import(project, view)


def _pre_labels(project: Project) -> tuple[str | None, float]:
    """Ask for the model whose predictions go along as pre-labels; nothing is asked where there is none."""
    models = [each.name for each in find_models(project.path, [v.stem for v in project.videos()]) if each.files]
    if not models:
        return None, 0.0
    chosen = st.selectbox(
        "Pre-labels",
        [_NO_MODEL, *models],
        key="export-model",
        help="This model's predictions are in the tasks, as points to start from.",
    )
    if chosen == _NO_MODEL:
        return None, 0.0
    threshold = st.number_input(
        "Smallest likelihood",
        0.0,
        1.0,
        0.5,
        0.05,
        key="export-threshold",
        help="Points of which the model is less sure are left out.",
    )
    return str(chosen), float(threshold)


def export_button(
    project: Project,
    name: str,
    view: str | None,
    *,
    model: str | None = None,
    threshold: float = 0.0,
    label: str = "Prepare",
) -> None:
    """Show Prepare, the bar while it is prepared, or the download."""
    path = str(project.path)
    settings: dict[str, Any] = {"format": name, "view": view}
    settings |= {"model": model, "threshold": threshold} if model else {}
    mine = [job for job in jobs().list(project=path, kinds=[EXPORT], limit=200) if job.settings == settings]
    active = next((job for job in mine if job.state in ACTIVE), None)
    if active is not None:
        _bar(active.id)
        return
    last = max(mine, key=lambda job: job.id, default=None)
    if last is not None and last.state == "failed":
        st.error(plain(last.error or "The export failed."), icon=":material/error:")
    made = last.result if last is not None and last.state == "finished" and last.result else None
    state = export_state(project, name, model=model, threshold=threshold)
    if made and state in str(made["path"]) and Path(str(made["path"])).exists():
        address = export_url(project, str(made["path"]), str(made["name"]))
        st.html(download_link(address, f"{made['name']} · {readable_size(int(made['bytes']))}"))
        for note in made["notes"]:
            st.caption(plain(str(note)))
        return
    st.button(
        label,
        key=f"export-{name}",
        icon=":material/inventory_2:",
        on_click=_export,
        args=(path, name, settings),
        help=f"{FORMATS[name].title}: {FORMATS[name].help}",
    )


def _bar(number: int) -> None:
    @st.fragment(run_every=1.0, key=f"export-bar-{number}")
    def bar() -> None:
        job = jobs().get(number)
        if job is None or job.state not in ACTIVE:
            st.rerun()
        st.progress(percent(job.done, job.total or 0) / 100, text=describe(job))

    bar()


def _export(path: str, name: str, settings: dict[str, Any]) -> None:
    title = f"Export labels for {FORMATS[name].title}"
    jobs().submit(EXPORT, project=path, settings=settings, owner=current_user(), title=title)


def _import(project: Project, view: str | None) -> None:
    if project.read_only:
        st.info("This project is read-only: labels cannot be brought in.", icon=":material/lock:")
        return
    st.caption(
        "CollectedData.csv of Lightning Pose or DeepLabCut, DeepLabCut's .h5, COCO keypoints (.json) and SLEAP "
        "(.slp, .pkg.slp). Rows that a file does not know stay. A config.yaml gives names and skeleton."
    )
    upload_panel(
        project,
        kinds=(*LABEL_ENDINGS, *KEYPOINT_ENDINGS),
        label="Label files to upload",
        hint="Images are taken from the file, the project or its videos. Nothing is changed before you press Import.",
        group="labels",
    )
    if live_bar([IMPORT], project=str(project.path)):
        return
    _result(project)
    for upload in uploads.finished(current_user(), project, "labels"):
        path = uploads.received_path(project, upload)
        if upload.ending in KEYPOINT_ENDINGS and path.exists():
            _keypoints_only(project, upload.id, upload.name, str(path))
        if upload.ending not in LABEL_ENDINGS:
            continue
        if not path.exists():  # imported: its file went with the import
            uploads.forget(current_user(), project, upload.id)
            continue
        with st.container(border=True, key=f"labels-{upload.id}"):
            st.markdown(f"**{plain(upload.name)}**")
            keep = st.toggle(
                "Keep what is labelled here",
                key=f"keep-{upload.id}",
                help="Frames that have labels in the project stay as they are. Off: the file's labels replace them.",
            )
            with st.container(horizontal=True):
                st.button(
                    "Import labels",
                    key=f"import-{upload.id}",
                    type="primary",
                    on_click=_start_import,
                    args=(str(project.path), str(path), upload.name, keep, view),
                )
                st.button(
                    "Delete",
                    key=f"delete-labels-{upload.id}",
                    type="tertiary",
                    on_click=_forget,
                    args=(str(project.path), upload.id),
                )


def _keypoints_only(project: Project, identity: str, name: str, path: str) -> None:
    with st.container(border=True, key=f"labels-{identity}"):
        st.markdown(f"**{plain(name)}**")
        try:
            found = read_keypoints(Path(path))
        except CastleError as error:
            st.error(plain(str(error).replace(Path(path).name, name)), icon=":material/error:")
        else:
            st.caption(plain(", ".join(found.keypoints)))
            st.button(
                "Take over keypoints",
                key=f"take-{identity}",
                type="primary",
                on_click=take_over,
                args=(str(project.path), list(found.keypoints), [list(pair) for pair in found.pairs]),
            )
        st.button(
            "Delete",
            key=f"delete-labels-{identity}",
            type="tertiary",
            on_click=_forget,
            args=(str(project.path), identity),
        )


def _result(project: Project) -> None:
    job = last_ended([IMPORT], project=str(project.path))
    if job is None or st.session_state.get("import-seen", 0) >= job.id:
        return
    if job.state == "failed":
        st.error(plain(job.error or "The import failed; nothing was changed."), icon=":material/error:")
    elif job.state == "finished" and job.result:
        done = job.result
        said = [
            f"{counted(len(done['added']), 'frame')} added, {len(done['changed'])} changed, "
            f"{done['unchanged']} as before, {done['kept']} of the project untouched."
        ]
        if images := done["images_copied"] + done["images_decoded"]:
            said.append(f"{counted(images, 'image')} written.")
        st.success(plain(" ".join(said)), icon=":material/check_circle:")
        if missing := done["without_image"]:
            st.warning(
                f"{counted(len(missing), 'frame has', 'frames have')} no image in the project, such as "
                f"{plain(missing[0])}. Put it there, or add its video and import again.",
                icon=":material/warning:",
            )
    st.button("Dismiss", key=f"import-dismiss-{job.id}", type="tertiary", on_click=_seen, args=(job.id,))


def _seen(number: int) -> None:
    st.session_state["import-seen"] = number


def _start_import(project: str, path: str, name: str, keep: bool, view: str | None) -> None:
    settings = {"path": path, "name": name, "keep": keep, "view": view, "remove": True}
    jobs().submit(IMPORT, project=project, settings=settings, owner=current_user(), title=f"Import {name}")


def _forget(project: str, identity: str) -> None:
    try:
        uploads.forget(current_user(), Project.open(project), identity)
    except CastleError as error:
        st.session_state["job-note"] = str(error)
