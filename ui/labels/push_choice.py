"""Which frames go to Label Studio: all new ones, or by video, by round, by hand in the gallery."""

from typing import Any

import streamlit as st

from castle_core.errors import CastleError
from castle_core.frames import list_rounds
from castle_core.label_studio.pictures import Picture, choose_pictures, picture_at
from castle_core.label_studio.pre_label_view import label_points, pre_label_points
from castle_core.labels import Labels
from castle_core.machine import clock
from castle_core.predictions import find_predictions
from castle_core.projects import Project
from ui import media
from ui.components.gallery import gallery
from ui.pictures import timeline_of
from ui.words import counted, plain

NEW, VIDEO, ROUND, HAND = "All new", "By video", "By round", "By hand"
_LEFT_OUT = "push-left-out"


def choose(project: Project, pictures: list[Picture], there: dict[str, str]) -> tuple[list[Picture], bool]:
    """Ask how frames are chosen; return those that are new, and whether single ones can be left out in the gallery."""
    how = str(
        st.segmented_control(
            "Frames",
            [NEW, VIDEO, ROUND, HAND],
            default=NEW,
            required=True,
            key="push-how",
            help="New are the frames that are not in Label Studio yet. What is there is never sent twice.",
        )
    )
    chosen = pictures
    if how == VIDEO:
        stems = sorted({picture.video for picture in pictures})
        chosen = choose_pictures(
            project,
            pictures,
            videos=st.multiselect("Videos", stems, default=stems[:1], key="push-videos", placeholder="Choose videos"),
        )
    elif how == ROUND:
        rounds = {each.info.id: each for each in list_rounds(project)}
        picked = st.multiselect(
            "Rounds",
            list(rounds),
            default=list(rounds)[:1],
            format_func=lambda key: (
                f"{rounds[key].info.when[:16].replace('T', ' ')} · {rounds[key].info.method} · "
                f"{counted(rounds[key].n_frames, 'frame')}"
            ),
            key="push-rounds",
            placeholder="Choose rounds",
        )
        chosen = choose_pictures(project, pictures, rounds=picked)
    return [picture for picture in chosen if picture.lp_path not in there], how == HAND


def left_out(project: Project) -> list[str]:
    """Return the frames that the user took out by hand."""
    kept = st.session_state.get(_LEFT_OUT)
    return list(kept["frames"]) if isinstance(kept, dict) and kept.get("project") == str(project.path) else []


def show(
    project: Project,
    pictures: list[Picture],
    there: dict[str, str],
    points: dict[str, list[list[Any]]],
    *,
    editable: bool,
) -> None:
    """Show the frames with their pre-labels, one section a video; by hand, a click leaves one out or takes it in."""
    out = set(left_out(project))
    sections = [
        _section(project, stem, [each for each in pictures if each.video == stem], there, points, out, editable)
        for stem in sorted({picture.video for picture in pictures})
    ]
    applied = int(st.session_state.get("push-applied", 0))
    operations = gallery(
        sections,
        applied=applied,
        editable=editable,
        pins=False,
        words={"keep": "To send", "drop": "Left out"},
        key=f"push-gallery-{'edit' if editable else 'look'}",
    )
    if not operations:
        return
    known = {picture.lp_path for picture in pictures}
    for operation in operations:
        keys = [str(key) for key in operation.get("keys") or () if str(key) in known]
        if operation.get("op") == "state":
            out = out - set(keys) if operation.get("state") in {"keep", "pin"} else out | set(keys)
        applied = max(applied, int(operation["seq"]))
    st.session_state["push-applied"] = applied
    st.session_state[_LEFT_OUT] = {"project": str(project.path), "frames": sorted(out)}
    st.rerun()


_STATES = {
    "labelled": ("Labelled", "keep", "keep"),
    "empty": ("No animal", "keep", "keep"),
    "skipped": ("Skipped", "drop", "drop"),
    "open": ("In Label Studio", "label", "open"),
    "unclear": ("To look at", "look", "open"),
}


def _section(
    project: Project,
    stem: str,
    pictures: list[Picture],
    there: dict[str, str],
    points: dict[str, list[list[Any]]],
    out: set[str],
    editable: bool,
) -> dict[str, Any]:
    known = stem in {video.stem for video in project.videos()}
    timeline = timeline_of(project, stem) if known else None
    fps = timeline.average_fps if timeline else None
    last = max((picture.frame_index or 0 for picture in pictures), default=0)
    entries = []
    for picture in pictures:
        url = media.written_url(project, stem, picture.path.name)
        entry: dict[str, Any] = {
            "key": picture.lp_path,
            "frame": picture.frame_index if picture.frame_index is not None else -1,
            "time": clock(picture.frame_index / fps) if fps and picture.frame_index is not None else "",
            "reason": "",
            "state": "drop" if picture.lp_path in out and editable else "keep",
            "swap": False,
            "src": url,
            "large": url,
        }
        if picture.lp_path in there:
            entry["mark"], entry["icon"], entry["state"] = _STATES.get(there[picture.lp_path], _STATES["open"])
        elif not editable:
            entry |= {"mark": "To send", "icon": "label", "state": "open"}
        if found := points.get(picture.lp_path):
            entry["points"] = found
        entries.append(entry)
    return {
        "stem": stem or "pictures",
        "title": stem or "Pictures without a video",
        "n_frames": timeline.n_frames if timeline else last + 1,
        "fps": fps or 1.0,
        "length": clock(timeline.duration_s) if timeline else "",
        "count": counted(len(pictures), "frame"),
        "aspect": f"{timeline.width}/{timeline.height}" if timeline else "4/3",
        "motion": timeline.motion if timeline else (),
        "start": 0,
        "stop": timeline.n_frames if timeline else last + 1,
        "exclude": [],
        "labelled": [],
        "selected": [],
        "small": "",
        "large": "",
        "entries": entries,
    }


def drawn_points(
    project: Project, labels: Labels, pictures: list[Picture], model: str | None, threshold: float
) -> dict[str, list[list[Any]]]:
    """Return what goes with each frame (lp_path), as the gallery draws it: the project's labels, else pre-labels."""
    ours = label_points(project.keypoints, labels, pictures)
    open_ones = [picture for picture in pictures if picture.lp_path not in ours]
    return ours | _pre_label_points(project, open_ones, model, threshold)


def _pre_label_points(
    project: Project, pictures: list[Picture], model: str | None, threshold: float
) -> dict[str, list[list[Any]]]:
    """Return the pre-labels of frames; none where a file cannot be read."""
    if model is None or not project.keypoints:
        return {}
    files = find_predictions(project.path, [video.stem for video in project.videos()], model=model)
    stamp = tuple((str(file.path), file.path.stat().st_mtime_ns) for file in files)
    paths = tuple(picture.lp_path for picture in pictures)
    try:
        return _drawn(str(project.path), model, project.keypoints, threshold, paths, stamp)
    except CastleError as error:
        st.warning(plain(str(error)), icon=":material/warning:")
        return {}


@st.cache_data(max_entries=20, show_spinner="Reading the predictions …")
def _drawn(
    path: str, model: str, keypoints: tuple[str, ...], threshold: float, paths: tuple[str, ...], stamp: object
) -> dict[str, list[list[Any]]]:
    del stamp  # part of the cache's key only
    project = Project.open(path)
    points = pre_label_points(project, model, keypoints, threshold)
    return {lp_path: points(picture_at(project, lp_path)) for lp_path in paths}
