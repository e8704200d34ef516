"""How frames are chosen: how many, by which method, and what happens afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from castle_core.latent_files import latent_sets, without_latents
from castle_core.projects import Project
from ui.words import counted, plain

METHODS = {
    "kmeans": "Diverse poses",
    "kcenter": "Farthest apart",
    "uniform": "Even distances",
    "random": "Random",
    "latents": "Diverse latents",
}
_HELP = {
    "kmeans": "k-means: groups frames by what they look like and takes the middle of each group: common and rare poses "
    "alike.",
    "kcenter": "k-centre: each frame lies as far as possible from the others: rare poses first.",
    "uniform": "The middle of equal parts of the video.",
    "random": "Every frame has the same chance.",
    "latents": "As diverse poses, but by the latents of a visual model that were computed before.",
}
_SESSION: Any = "session"


@dataclass(frozen=True)
class Options:
    """What the user set, as the job takes it."""

    settings: dict[str, Any]
    context: int
    review: bool
    latents: dict[str, str] = field(default_factory=dict)


def options_panel(project: Project, stems: Sequence[str]) -> Options:
    """Show the options for choosing frames of these videos."""
    saved = project.settings("extract_frames")
    settings: dict[str, Any] = {}
    many = len(stems) > 1
    budget = (
        many
        and st.segmented_control(
            "How many",
            ["per video", "over all videos"],
            default="over all videos" if saved.get("budget") else "per video",
            required=True,
            key="how-many",
            persist_state=_SESSION,
            help="Over all videos: one number of frames, shared out so that videos that differ more give more frames.",
        )
        == "over all videos"
    )
    left, right = st.columns(2, vertical_alignment="bottom")
    if budget:
        settings["budget"] = int(
            left.number_input(
                "Frames in all", len(stems), 20_000, max(len(stems), int(saved.get("budget") or 100)), key="budget"
            )
        )
        settings["minimum"] = int(
            right.number_input("At least per video", 0, settings["budget"] // len(stems), 1, key="minimum")
        )
        at_most = st.number_input(
            "At most per video",
            max(1, settings["minimum"]),
            settings["budget"],
            None,
            placeholder="no limit",
            key="maximum",
        )
        settings["maximum"] = int(at_most) if at_most else None
        settings["n"] = max(1, settings["budget"] // len(stems))
    else:
        settings["n"] = int(
            left.number_input(
                "Frames per video", 1, 2000, int(saved.get("n") or 20), key="frames-per-video", persist_state=_SESSION
            )
        )
        if many:
            right.markdown(f"**{counted(settings['n'] * len(stems), 'frame')}** in all")
    sets = latent_sets(project.path, stems) if stems else {}
    methods = [method for method in METHODS if method != "latents" or sets]
    method = str(
        (left if budget else right if not many else st).selectbox(
            "Method", methods, format_func=METHODS.__getitem__, key="method", persist_state=_SESSION
        )
    )
    settings["method"] = method
    latents = {}
    if method == "latents":
        chosen = st.selectbox(
            "Latents", list(sets), key="latents", help="Kinds of latents that every chosen video has."
        )
        latents = {stem: str(path) for stem, path in sets[str(chosen)].items()}
    st.caption(_HELP[method])
    if not sets and (lacking := without_latents(project.path, stems)):
        st.caption(
            ":material/info: To choose by latents, extract them of every chosen video too: "
            f"{plain(', '.join(lacking[:3]))}{' …' if len(lacking) > 3 else ''} "
            f"{'has' if len(lacking) == 1 else 'have'} none."
        )
    context = st.checkbox(
        "Context frames ±2",
        value=bool(saved.get("context", 2)),
        key="context",
        persist_state=_SESSION,
        help="Also writes the two frames before and after each one, for models that look at neighbouring frames. "
        "Recommended, though not required.",
    )
    review = st.checkbox(
        "Review before writing",
        value=bool(saved.get("review", True)),
        key="review",
        persist_state=_SESSION,
        help="On: you look at the frames first. Off: they are written at once; a whole round can still be undone.",
    )
    with st.expander("More", icon=":material/tune:"):
        settings["seed"] = int(
            st.number_input(
                "Seed", 0, 2**31 - 1, int(saved.get("seed") or 0), key="seed", help="Same seed, same frames."
            )
        )
        if method in ("kmeans", "kcenter"):
            settings["features"] = st.selectbox(
                "Compare frames by",
                ["gradients", "pixels"],
                format_func={"gradients": "edges (gradient directions)", "pixels": "brightness (pixels)"}.__getitem__,
                key="features",
            )
            settings["exhaustive"] = st.checkbox(
                "Look at every frame",
                key="exhaustive",
                help="Otherwise a long video is searched where it moves: much quicker, and nearly as good.",
            )
        gap = st.number_input(
            "Smallest distance in frames",
            1,
            100_000,
            None,
            placeholder="automatic",
            key="min-gap",
            help="Between two picks.",
        )
        if gap:
            settings["min_gap"] = int(gap)
    return Options(settings, 2 if context else 0, bool(review), latents)
