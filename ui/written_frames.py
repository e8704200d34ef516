"""The frames that were written, by video: pictures, what is labelled, where they lie, and all of them as a zip."""

from typing import Any

import streamlit as st

from castle_core.errors import CastleError
from castle_core.frames import read_record
from castle_core.machine import clock
from castle_core.projects import Project
from ui import media
from ui.components.gallery import gallery
from ui.downloads import download_link, frames_zip_url
from ui.pictures import labelled_frames, picture, timeline_of
from ui.words import code, counted


def videos_with_frames(project: Project) -> list[str]:
    """Return the stems of which frames are selected, or images lie in ``labeled-data``."""
    return [stem for stem in project.frame_folders() if project.selected(stem)]


def overview(project: Project, stems: list[str]) -> None:
    """Show one line a video: how many frames, how many of them labelled, and where they lie."""
    rows, counts = [], []
    for stem in stems:
        selected, labelled = project.selected(stem), set(labelled_frames(project, stem))
        done = sum(frame in labelled for frame in selected)
        counts.append((len(selected), done))
        rows.append(
            {
                "video": stem,
                "frames": len(selected),
                "labelled": done,
                "done": done / len(selected) if selected else 0.0,
                "folder": str(project.frames_folder(stem)),
            }
        )
    total, done = sum(n for n, _ in counts), sum(n for _, n in counts)
    st.markdown(
        f"**{counted(total, 'frame')}** of {counted(len(stems), 'video')} selected, **{done:,} labelled**, "
        f"{total - done:,} to label."
    )
    if len(rows) > 1:
        st.dataframe(
            rows,
            hide_index=True,
            column_config={"done": st.column_config.ProgressColumn("done", format="percent", min_value=0, max_value=1)},
        )


def frames_of(project: Project, stem: str) -> None:
    """Show the written frames of one video."""
    folder = project.frames_folder(stem)
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    with left:
        st.caption("Folder (copy with the button at its right end)")
        st.code(str(folder), language=None, wrap_lines=True)
    with right:
        st.html(download_link(frames_zip_url(project, stem), "Download as zip"))
    try:
        selected = project.selected(stem)
        labelled = project.labelled(stem)
    except CastleError as error:
        st.error(code(str(error)), icon=":material/error:")
        return
    gallery([_section(project, stem, selected, labelled)], applied=0, editable=False, key=f"written-{stem}")


def _section(project: Project, stem: str, selected: dict[int, str], labelled: frozenset[int]) -> dict[str, Any]:
    timeline = timeline_of(project, stem) if stem in {video.stem for video in project.videos()} else None
    fps = timeline.average_fps if timeline else None
    url = picture(project)
    reasons = {
        frame.frame_index: frame.reason
        for each in read_record(project.frames_folder(stem)).rounds
        for frame in each.frames
        if frame.reason
    }

    def image(frame: int, width: int) -> str:
        return url(stem, frame, width) if timeline else media.written_url(project, stem, selected[frame])

    return {
        "stem": stem,
        "title": stem,
        "n_frames": timeline.n_frames if timeline else max(selected, default=0) + 1,
        "fps": fps or 1.0,
        "length": clock(timeline.duration_s) if timeline else "",
        "count": f"{counted(len(selected), 'frame')}, {sum(frame in labelled for frame in selected)} labelled",
        "aspect": f"{timeline.width}/{timeline.height}" if timeline else "4/3",
        "motion": timeline.motion if timeline else (),
        "start": 0,
        "stop": timeline.n_frames if timeline else max(selected, default=0) + 1,
        "exclude": [],
        "labelled": [frame for frame in selected if frame in labelled],
        "selected": [],
        "small": url(stem, "FRAME", 180) if timeline else "",
        "large": url(stem, "FRAME", 1280) if timeline else "",
        "entries": [
            {
                "key": f"{stem}:{frame}",
                "frame": frame,
                "time": clock(frame / fps) if fps else "",
                "reason": reasons.get(frame, ""),
                "state": "keep" if frame in labelled else "open",
                "mark": "Labelled" if frame in labelled else "To label",
                "icon": "keep" if frame in labelled else "label",
                "swap": False,
                "src": image(frame, 320),
                "large": image(frame, 1280),
            }
            for frame in selected
        ],
    }
