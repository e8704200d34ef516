"""Keypoints and skeleton: named, ordered, renamed, joined, or taken over from a file."""

import html
from collections.abc import Sequence

import streamlit as st

from castle_core.errors import CastleError
from castle_core.labels import Labels, project_labels
from castle_core.labels.in_project import label_state
from castle_core.labels.keypoints import Skeleton, keypoint_sources, rename_keypoint
from castle_core.projects import Project
from ui.labels.drawn import drawn_url
from ui.words import code, counted, plain

_COLUMNS = 3
_FIRST = "first"


def keypoints_panel(project: Project, view: str | None) -> None:
    """Show the names, the skeleton, a labelled frame with both, and the files that they can be read from."""
    names, skeleton = project.keypoints, project.skeleton
    labels = _labels(project, view)
    left, right = st.columns([7, 5], gap="large")
    with left:
        if project.read_only:
            st.info("This project is read-only: keypoints cannot be changed.", icon=":material/lock:")
        _names(project, names, skeleton, labels)
        if len(names) > 1:
            _order(project, names)
            _skeleton(project, names, skeleton)
    with right:
        _preview(project, view, labels)
        if not project.read_only:
            _from_file(project, names)


def _labels(project: Project, view: str | None) -> Labels | None:
    try:
        return project_labels(project, view)
    except CastleError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None


# ---------------------------------------------------------------------------------------------------------- names


def _names(project: Project, names: Sequence[str], skeleton: Sequence[tuple[str, str]], labels: Labels | None) -> None:
    counts = {}
    if labels is not None:
        counts = {name: int(labels.labelled[:, :, k].any(axis=1).sum()) for k, name in enumerate(labels.keypoints)}
    with st.form("keypoints", border=True, enter_to_submit=False):
        st.subheader("Keypoints", anchor=False)
        if names:
            st.caption(
                "A new name is written into CollectedData.csv as well. Label Studio and models keep the old one."
            )
        typed = []
        for start in range(0, len(names), _COLUMNS):
            for column, place in zip(
                st.columns(_COLUMNS), range(start, min(start + _COLUMNS, len(names))), strict=False
            ):
                typed.append(
                    column.text_input(
                        f"{place + 1} · {counted(counts.get(names[place], 0), 'label')}",
                        names[place],
                        key=f"keypoint-{place}-{names[place]}",
                        disabled=project.read_only,
                    )
                )
        new = st.text_area(
            "More keypoints",
            placeholder="nose, left_ear, right_ear, tail_base",
            height=68,
            help="Separated by commas or line breaks, in the order in which you label.",
            key=f"keypoints-new-{len(names)}",
            disabled=project.read_only,
        )
        gone = st.multiselect(
            "Remove from the list",
            list(names),
            help="Labels that are there stay in CollectedData.csv.",
            placeholder="None",
            key=f"keypoints-gone-{len(names)}",
            disabled=project.read_only or not names,
        )
        if st.form_submit_button("Save keypoints", type="primary", disabled=project.read_only):
            _save(project, names, typed, split_names(new), gone, skeleton)


def split_names(text: str) -> list[str]:
    """Return the names in a text that separates them by commas or line breaks."""
    return [part.strip() for line in text.splitlines() for part in line.split(",") if part.strip()]


def _save(
    project: Project,
    names: Sequence[str],
    typed: Sequence[str],
    new: Sequence[str],
    gone: Sequence[str],
    skeleton: Sequence[tuple[str, str]],
) -> None:
    try:
        _save_names(project, names, [text.strip() for text in typed], new, gone, skeleton)
    except CastleError as error:
        st.error(plain(str(error)), icon=":material/error:")
    else:
        st.rerun()


def _save_names(
    project: Project,
    names: Sequence[str],
    typed: Sequence[str],
    new: Sequence[str],
    gone: Sequence[str],
    skeleton: Sequence[tuple[str, str]],
) -> None:
    swap = dict(zip(names, typed, strict=True))
    kept = [name for name in names if name not in set(gone)]
    final = [swap[name] for name in kept] + list(new)
    if not all(final) or len(set(final)) != len(final):
        twice = next((name for name in final if name and final.count(name) > 1), "")
        raise CastleError(f"{twice or 'An empty name'} cannot be a keypoint: each needs a name of its own.")
    renamed = {old: now for old, now in swap.items() if old != now and old in kept}
    if not project.document().get("keypoints") and names:
        project.save_keypoints(names, skeleton)
    warnings: list[str] = []
    # names that are exchanged for each other go through a name that nobody uses
    through = {old: f"{old} (being renamed)" for old in renamed if renamed[old] in names}
    for old in through:
        rename_keypoint(project, old, through[old])
    for old, now in renamed.items():
        done = rename_keypoint(project, through.get(old, old), now)
        warnings += [line.replace(through[old], old) if old in through else line for line in done.warnings]
    known = set(final)
    pairs = [(swap.get(a, a), swap.get(b, b)) for a, b in skeleton if a not in gone and b not in gone]
    project.save_keypoints(final, [pair for pair in pairs if known.issuperset(pair)])
    said = [f"{counted(len(final), 'keypoint')} saved."]
    if renamed:
        said.append("Renamed: " + ", ".join(f"{old} → {now}" for old, now in renamed.items()) + ".")
    if gone:
        said.append("Labels of " + ", ".join(gone) + " stay in CollectedData.csv.")
    st.session_state["label-note"] = " ".join(said)
    st.session_state["label-warnings"] = list(dict.fromkeys(warnings))


# ---------------------------------------------------------------------------------------------------------- order


def _order(project: Project, names: Sequence[str]) -> None:
    with st.container(border=True, key="keypoint-order"):
        st.subheader("Order", anchor=False)
        st.caption("The order in which people label, with its keys in Label Studio. Label files stay as they are.")
        left, middle, right = st.columns([3, 3, 2], vertical_alignment="bottom")
        moved = left.selectbox("Move", list(names), index=None, key="order-what", placeholder="Keypoint")
        places = [_FIRST, *(f"after {name}" for name in names if name != moved)]
        where = middle.selectbox("To", places, index=None, key="order-where", placeholder="Place")
        right.button(
            "Move",
            icon=":material/swap_vert:",
            width="stretch",
            disabled=project.read_only or moved is None or where is None,
            on_click=_move,
            args=(str(project.path), moved, where),
            key="order-move",
        )


def moved_to(names: Sequence[str], moved: str, where: str) -> tuple[str, ...]:
    """Return the names with one of them ``first``, or ``after <another>``."""
    rest = [name for name in names if name != moved]
    at = 0 if where == _FIRST else rest.index(where.removeprefix("after ")) + 1
    return (*rest[:at], moved, *rest[at:])


def _move(path: str, moved: str, where: str) -> None:
    project = Project.open(path)
    _save_skeleton(project, moved_to(project.keypoints, moved, where), project.skeleton)
    st.session_state["order-what"] = st.session_state["order-where"] = None


# ---------------------------------------------------------------------------------------------------------- skeleton


def _skeleton(project: Project, names: Sequence[str], skeleton: Sequence[tuple[str, str]]) -> None:
    with st.container(border=True, key="skeleton"):
        st.subheader("Skeleton", anchor=False)
        st.caption("Lines between keypoints. They are drawn on the frames, and their lengths are compared.")
        if skeleton:
            labels = [f"{a} - {b}" for a, b in skeleton]
            kept = st.pills(
                "Lines (click one to remove it)",
                labels,
                selection_mode="multi",
                default=labels,
                format_func=plain,
                key=f"lines-{'|'.join(labels)}",
                disabled=project.read_only,
            )
            if len(kept) != len(labels):
                pairs = [pair for pair, label in zip(skeleton, labels, strict=True) if label in kept]
                _save_skeleton(project, names, pairs)
                st.rerun()
        left, middle, right = st.columns([3, 3, 2], vertical_alignment="bottom")
        one = left.selectbox("From", list(names), index=None, key="line-from", placeholder="Keypoint")
        rest = [name for name in names if name != one]
        other = middle.selectbox("To", rest, index=None, key="line-to", placeholder="Keypoint")
        right.button(
            "Add line",
            icon=":material/add:",
            width="stretch",
            disabled=project.read_only or not (one and other),
            on_click=_add_line,
            args=(str(project.path), one, other),
        )


def _add_line(path: str, one: str, other: str) -> None:
    project = Project.open(path)
    pairs = list(project.skeleton)
    if (one, other) not in pairs and (other, one) not in pairs:
        _save_skeleton(project, project.keypoints, [*pairs, (one, other)])
    # the next line usually goes on from where this one ended
    st.session_state["line-from"], st.session_state["line-to"] = other, None


def _save_skeleton(project: Project, names: Sequence[str], pairs: Sequence[tuple[str, str]]) -> None:
    try:
        project.save_keypoints(names, pairs)
    except CastleError as error:
        st.session_state["label-warnings"] = [str(error)]


# ---------------------------------------------------------------------------------------------------------- beside


def _preview(project: Project, view: str | None, labels: Labels | None) -> None:
    st.subheader("On a labelled frame", anchor=False)
    if labels is None or not labels.labelled.any():
        st.caption("Nothing is labelled yet. Once something is, the points and lines are shown here.")
        return
    best = int(labels.labelled.sum(axis=(1, 2)).argmax())
    frame = labels.frames[best]
    url = html.escape(drawn_url(project, frame, view=view), quote=True)
    st.html(
        f'<a href="{url}" target="_blank" rel="noopener"><img class="castle-drawn" src="{url}?w=960" '
        f'alt="The labelled frame with the most points, with its keypoints and skeleton; opens large"></a>'
    )
    st.caption(f"`{code(frame)}`")


@st.cache_data(max_entries=20, show_spinner=False)
def _sources(path: str, state: str) -> dict[str, Skeleton]:
    del state  # part of the cache's key only
    return keypoint_sources(Project.open(path))


def _from_file(project: Project, names: Sequence[str]) -> None:
    found = _sources(str(project.path), label_state(project))
    with st.container(border=True, key="keypoints-from-file"):
        st.subheader("From a file", anchor=False)
        if not found:
            st.caption(
                "Keypoints are found in CollectedData.csv, predictions, DeepLabCut's config.yaml and .slp files of the "
                "project. There is none yet: bring one under *Files in and out*."
            )
            return
        source = st.selectbox("File in the project", list(found), key="keypoints-source")
        skeleton = found[str(source)]
        new = [name for name in skeleton.keypoints if name not in names]
        joined = f", {counted(len(skeleton.pairs), 'line')}" if skeleton.pairs else ""
        st.markdown(f"{counted(len(skeleton.keypoints), 'keypoint')}{joined}: {plain(', '.join(skeleton.keypoints))}")
        if skeleton.individuals:
            st.caption(f"Several animals: {plain(', '.join(skeleton.individuals))}.")
        same = tuple(names) == skeleton.keypoints and (not skeleton.pairs or skeleton.pairs == project.skeleton)
        st.button(
            "Take over",
            icon=":material/download_done:",
            disabled=same,
            help="The list becomes that of the file. Labels that are there stay in CollectedData.csv.",
            on_click=take_over,
            args=(str(project.path), list(skeleton.keypoints), [list(pair) for pair in skeleton.pairs]),
        )
        if same:
            st.caption("This is what the project has.")
        elif new and names:
            st.caption(f"New: {plain(', '.join(new))}")


def take_over(path: str, names: list[str], pairs: list[list[str]]) -> None:
    """Make these the keypoints and lines of the project; without lines, those that still fit stay."""
    project = Project.open(path)
    known = set(names)
    joined = [(a, b) for a, b in pairs] or [pair for pair in project.skeleton if known.issuperset(pair)]
    try:
        project.save_keypoints(names, joined)
    except CastleError as error:
        st.session_state["label-warnings"] = [str(error)]
    else:
        st.session_state["label-note"] = f"{counted(len(names), 'keypoint')} taken over."
