"""The list of latent files, each with its settings in words."""

from collections import Counter
from collections.abc import Sequence

import streamlit as st

from castle_core.errors import CastleError
from castle_core.inspection import LatentFile, is_quick, list_latent_files, sampling_words
from castle_core.projects import Project
from ui.inspector.look import Look, look_at
from ui.job_panel import last_ended, live_bar, watched
from ui.people import current_user
from ui.server import jobs
from ui.words import counted, plain

EXTRACTIONS = ("latents",)


def latent_files(project: Project) -> tuple[LatentFile, ...]:
    """Return the project's latent files; where there are none, say how to get some."""
    files = list_latent_files(project)
    if not files:
        path = str(project.path)
        if watched(EXTRACTIONS, project=path):
            st.info(
                "There are no latents in this project yet. They are being extracted.", icon=":material/scatter_plot:"
            )
            live_bar(EXTRACTIONS, project=path, note="They appear here as soon as they are written.")
        else:
            st.info(
                "There are no latents in this project yet. Extract some, or open a CASTLE project that has them.",
                icon=":material/scatter_plot:",
            )
        st.page_link("pages/extract_latent.py", label="Extract latent", icon=":material/arrow_forward:")
    return files


def choose_file(files: Sequence[LatentFile]) -> LatentFile:
    """Let the user choose a file."""
    stems = list(dict.fromkeys(file.stem for file in files))
    stem = str(st.selectbox("Video", stems, key="inspector-video")) if len(stems) > 1 else stems[0]
    if len(stems) == 1:
        st.markdown(f"**{plain(stem)}**")
    ours = {file.relative: file for file in files if file.stem == stem}
    names = names_of(list(ours.values()))
    shared = shared_words(list(ours.values()))
    chosen = st.radio(
        "Latent file",
        list(ours),
        format_func=lambda relative: plain(names[relative]),
        captions=[plain(", ".join(_rest_of_words(file, names[file.relative], shared))) for file in ours.values()],
        key=f"inspector-file-{stem}",
    )
    if shared:
        st.caption(f"All {len(ours)} files: {plain(', '.join(shared))}")
    file = ours[str(chosen)]
    st.caption(f"`{file.path.name}`")
    return file


def _rest_of_words(file: LatentFile, name: str, shared: Sequence[str]) -> tuple[str, ...]:
    said = file.words and name.startswith(f"{file.title} · {file.words[0]}")
    return tuple(word for word in (file.words[1:] if said else file.words) if word not in shared)


def shared_words(files: Sequence[LatentFile]) -> tuple[str, ...]:
    """Return the settings that all of several files have, which need not be said with each."""
    if len(files) < 2:
        return ()
    return tuple(word for word in files[0].words if all(word in file.words for file in files))


def names_of(files: Sequence[LatentFile]) -> dict[str, str]:
    """Return a name for each file (by its relative path) that no other one has: a browser tells choices apart by name.

    It is the title, with what the rows are and then the file's name where others have the same.
    """
    names = {file.relative: file.title for file in files}
    rows = {file.relative: file.words[0] if file.words else "" for file in files}
    for more in (rows, {file.relative: file.path.name for file in files}):
        taken = Counter(names.values())
        for relative, name in list(names.items()):
            if taken[name] > 1 and more[relative]:
                names[relative] += f" · {more[relative]}"
    return names


def opened(project: Project, file: LatentFile) -> Look | None:
    """Open the file; a large one is read by a job first, and None is returned until it has."""
    if not is_quick(project, file.path):
        running = [
            job
            for job in watched(["inspect_latents"], project=str(project.path))
            if job.settings.get("file") == file.relative
        ]
        st.info("This file is large or compressed: it is read once, then every look is quick.", icon=":material/info:")
        if not running and st.button("Read it now", type="primary", key="inspector-read"):
            jobs().submit(
                "inspect_latents",
                project=str(project.path),
                settings={"file": file.relative},
                owner=current_user(),
                title=f"Read {file.path.name}",
            )
            st.rerun()
        live_bar(["inspect_latents"], project=str(project.path))
        job = last_ended(["inspect_latents"], project=str(project.path))
        if job is not None and job.state == "failed" and not running and job.settings.get("file") == file.relative:
            st.error(plain(job.error or "It could not be read."), icon=":material/error:")
        return None
    try:
        with st.spinner("Reading …", show_time=False):
            look = look_at(project, file)
    except CastleError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None
    sampled = sampling_words(look.summary.status)
    gone = f" · {look.summary.gaps:,} without a value" if look.summary.gaps else ""
    st.caption(f"{counted(look.summary.n, 'frame')}{_width(look)}{f' · {sampled}' if sampled else ''}{gone}")
    if not look.has_video:
        st.caption(":material/info: The video of these latents is not in the project, so frames have no picture.")
    return look


def _width(look: Look) -> str:
    if look.file.kind == "rows":
        return f" × {counted(look.summary.dim, 'channel')}"
    return ", each a map of tokens"
