"""The last Run Frame: where its row lies, its token map in colours, and what is similar to a patch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from castle_core.latents.frame_files import similarity, token_rgb
from castle_core.projects import Project
from castle_core.video.images import encode_jpeg
from ui.components.patch import choose_patch
from ui.job_panel import ACTIVE, job_bar
from ui.latents.pictures import show_picture
from ui.latents.work import FRAME, newest
from ui.server import jobs
from ui.words import code, plain

if TYPE_CHECKING:
    from castle_core.jobs import Job

_EDGE = 518
RUN_FRAME = "run-frame"


def frame_panel(project: Project) -> None:
    """Show the newest Run Frame of the project; nothing where there is none."""
    job = newest(project, FRAME)
    if job is None:
        return
    st.subheader("Run Frame", anchor=RUN_FRAME)
    frame_result(job)


def frame_result(job: "Job") -> None:
    """Show what one Run Frame gave: its progress, its failure, or where its row lies and its token map."""
    if job.state in ACTIVE:
        _wait(job.id)
        return
    if job.state != "finished" or not job.result:
        st.error(plain(job.error or "Cancelled."), icon=":material/error:")
        return
    result = job.result
    title = f"Frame {result['frame_index']:,} of {plain(str(result['stem']))}"
    if result["status"]:
        st.warning(f"{title}: {result['words']}, so there is no row.", icon=":material/block:")
        return
    st.caption(f"{title}. Written: " + ", ".join(f"`{code(Path(path).name)}`" for path in result["paths"]))
    path = Path(result["tokens"])
    if path.is_file():
        _maps(str(path), path.stat().st_mtime_ns, int(result["frame_index"]))


@st.fragment(key="latent-maps")
def _maps(path: str, version: int, frame: int) -> None:
    kept = _kept(path, version)
    rows, columns = kept["shape"]
    one, two, three = st.columns(3)
    with one:
        row, column = choose_patch(
            kept["image"],
            rows,
            columns,
            alt=f"What the model saw of frame {frame}",
            key=f"latent-patch-{Path(path).stem}",
        )
        st.caption(f"What the model saw. Patch: row {row}, column {column} of {rows} x {columns}")
    with two:
        show_picture(kept["colours"], f"Token map of frame {frame} in colours")
        st.caption("Token map: its first three principal components as red, green, blue")
    with three:
        show_picture(_similar(path, version, row, column), f"Similarity of every patch to row {row}, column {column}")
        st.caption("Cosine similarity to the patch: dark 0 or less, bright 1")


@st.cache_data(max_entries=20, show_spinner=False)
def _kept(path: str, version: int) -> dict[str, Any]:
    del version  # part of the cache's key only
    with np.load(path) as kept:
        tokens, image = kept["tokens"], kept["image"]
    return {
        "shape": (int(tokens.shape[0]), int(tokens.shape[1])),
        "image": encode_jpeg(image),
        "colours": encode_jpeg(_large(token_rgb(tokens)), quality=92),
    }


@st.cache_data(max_entries=100, show_spinner=False)
def _similar(path: str, version: int, row: int, column: int) -> bytes:
    del version
    import cv2

    with np.load(path) as kept:
        alike = similarity(kept["tokens"], row, column)
    grey = np.round(255 * np.clip(alike, 0, 1)).astype(np.uint8)
    coloured = cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS)[..., ::-1]
    return encode_jpeg(_large(np.ascontiguousarray(coloured)), quality=92)


def _large(cells: np.ndarray) -> np.ndarray:
    import cv2

    return np.asarray(cv2.resize(cells, (_EDGE, _EDGE), interpolation=cv2.INTER_NEAREST))


@st.fragment(run_every=1.0, key="latent-frame-wait")
def _wait(number: int) -> None:
    job = jobs().get(number)
    if job.state not in ACTIVE:
        st.rerun()
    job_bar(job, place="frame")
