"""``selected_frames.csv`` of a zip: reading it in all the forms that people make, and deriving a missing one."""

import csv
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from castle_core.zips.names import CSV_NAME, ZippedFrame, frame_name
from castle_core.zips.report import Findings, frame_list

CONTEXT = 2
_IMAGE_NAME = re.compile(r"\.(png|jpe?g)$", re.IGNORECASE)
_TRAILING_NUMBER = re.compile(r"(\d+)\.(?:png|jpe?g)$", re.IGNORECASE | re.ASCII)


def read_selected(data: bytes, file: str, frames: Sequence[ZippedFrame], findings: Findings) -> tuple[int, ...] | None:
    """Read which frames are to be labelled.

    Parameters
    ----------
    data : bytes
        The csv. Lines may be names (``img00000143.png``) or paths (``labeled-data/session/img00000143.png``). A byte
        order mark, Windows line ends and spaces are read over and mentioned; a header, extra columns, repeated names
        and other encodings are offered as repairs.
    file : str
        Its name inside the zip, for the report.
    frames : sequence of ZippedFrame
        The zip's images.
    findings : Findings
        Gets what is wrong; an error for each name without its image.

    Returns
    -------
    tuple of int or None
        Sorted frame indices; None if the csv lists nothing at all.
    """
    text = _decode(data, file, findings)
    if text is None:
        return ()
    cells = _cells(text, file, findings)
    by_name = {frame.base: frame.frame_index for frame in frames}
    by_index = {frame.frame_index for frame in frames}
    selected: dict[int, str] = {}
    n_missing = n_renamed = 0
    for cell in cells:
        base = PurePosixPath(cell.replace("\\", "/")).name
        index = by_name.get(base)
        if index is None:
            number = _TRAILING_NUMBER.search(base)
            if number and len(number[1].lstrip("0")) <= 12 and int(number[1]) in by_index:
                index = int(number[1])
                n_renamed += base != frame_name(index)
        if index is None:
            n_missing += 1
            shown = cell if len(cell) <= 80 else cell[:80] + "…"
            findings.error(
                "csv-missing-file",
                shown,
                f"{CSV_NAME} lists it, but it is not in the zip.",
                "Add the image or delete the line.",
            )
        elif index in selected:
            findings.fixable("csv-repair", file, f"It lists {base} twice.", "Each frame is listed once.")
        else:
            selected[index] = base
    if n_renamed:
        findings.fixable(
            "csv-repair",
            file,
            f"{n_renamed} of its names are written differently from the images' names.",
            "Names are matched by frame number.",
        )
    if not selected and not n_missing:
        return None
    return tuple(sorted(selected))


def _decode(data: bytes, file: str, findings: Findings) -> str | None:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
        findings.fixable("csv-repair", file, "It is saved as UTF-16 text.", "It is read as UTF-16.")
    else:
        encoding = "utf-8-sig"
        if data.startswith(b"\xef\xbb\xbf"):
            findings.warning(
                "csv-reading", file, "It starts with a byte order mark.", "Nothing to do: the mark was read over."
            )
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        findings.error("csv", file, "It is not a text file (UTF-8).", "Save it as plain text, one image name a line.")
        return None
    if "\x00" in text:
        findings.error("csv", file, "It is not a text file.", "Save it as plain text, one image name a line.")
        return None
    if "\r" in text:
        findings.warning(
            "csv-reading", file, "It has Windows line ends.", "Nothing to do: they were read as line ends."
        )
    return text


def _cells(text: str, file: str, findings: Findings) -> list[str]:
    """Return the cell of each line that names an image."""
    lines = [line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.strip()]
    delimiter = next((mark for mark in ("\t", ";", ",") if mark in text), ",")
    rows: list[list[str]] = []
    for line in lines:  # one by one: an open quote must not swallow the lines after it
        try:
            rows.append(next(csv.reader([line], delimiter=delimiter, strict=True)))
        except csv.Error:
            rows.append([])
    cells: list[str] = []
    n_padded = n_columns = 0
    for number, row in enumerate(rows):
        stripped = [cell.strip() for cell in row]
        named = [cell for cell in stripped if _IMAGE_NAME.search(cell)]
        n_padded += any(cell != raw for cell, raw in zip(stripped, row, strict=True))
        n_columns += sum(bool(cell) for cell in stripped) > 1
        if named:
            cells.append(named[0])
        elif number == 0 and row and any(_IMAGE_NAME.search(cell.strip()) for other in rows[1:3] for cell in other):
            findings.fixable(
                "csv-repair", file, f"Its first line, {lines[0].strip()[:60]!r}, is a header.", "The header is skipped."
            )
        else:
            findings.error(
                "csv",
                file,
                f"Line {number + 1}, {lines[number].strip()[:60]!r}, names no image.",
                "One image name a line.",
            )
    if n_columns:
        findings.fixable("csv-repair", file, "It has several columns.", "The column with the image names is read.")
    if n_padded:
        findings.warning("csv-reading", file, "It has spaces around names.", "Nothing to do: they were read over.")
    return cells


def derive_selected(frame_indices: Sequence[int], *, n_frames: int | None) -> tuple[int, ...] | None:
    """Work out which frames are to be labelled from the context frames around them, if only one answer is possible.

    A frame to label at i comes with i-2 … i+2, clipped to the video. In each run of consecutive images, the frames
    whose whole window is there are the candidates. If together they explain every image, and none of them could be
    left out, they are the only answer. A zip without any two consecutive images has no context frames: every image is
    to be labelled. Everything else is uncertain: a run of seven may mean two frames or three.

    Parameters
    ----------
    frame_indices : sequence of int
        The frames in the zip, sorted, each once.
    n_frames : int or None
        Number of frames of the video, where it is known; without it no window is taken to be clipped at the end.

    Returns
    -------
    tuple of int or None
        Sorted frame indices, or None if it is not certain.
    """
    runs: list[list[int]] = []
    for index in frame_indices:
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    if all(len(run) == 1 for run in runs):
        return tuple(frame_indices)
    selected: list[int] = []
    for run in runs:
        if len(run) > 3 * (2 * CONTEXT + 1):  # never certain, and the test below takes the square of the length
            return None
        present = set(run)
        windows = {centre: window for centre in run if (window := context_window(centre, n_frames)) <= present}
        if set().union(*windows.values()) != present:
            return None
        for centre in windows:
            if set().union(*(window for other, window in windows.items() if other != centre)) == present:
                return None
        selected += windows
    return tuple(selected)


def context_window(frame_index: int, n_frames: int | None) -> set[int]:
    """Return the frames that a context model needs to see around one frame, clipped to the video."""
    stop = frame_index + CONTEXT + 1
    return set(range(max(0, frame_index - CONTEXT), stop if n_frames is None else min(stop, n_frames)))


def check_context(
    selected: Sequence[int], zipped: set[int], existing: set[int], *, n_frames: int | None, findings: Findings
) -> None:
    """Warn about every frame to label whose context frames are not all there.

    Parameters
    ----------
    selected : sequence of int
        Frames to label.
    zipped, existing : set of int
        Frames in the zip, and frames that the project has already.
    n_frames : int or None
        Number of frames of the video, where it is known. Without it, frames missing at the right end may be the video's
        end; the warning says so.
    findings : Findings
        Gets the warnings.
    """
    windows: set[int] = set()
    for index in selected:
        window = context_window(index, n_frames)
        windows |= window
        missing = sorted(window - zipped - existing)
        if not missing:
            continue
        fix = "Add the missing frames to the zip, or go on: only context models need them."
        if n_frames is None and missing[0] > index and missing[-1] == index + CONTEXT:
            fix = "Fine if the video ends there; put the video into the project to be sure."
        findings.warning(
            "context",
            frame_name(index),
            f"Not usable for context models: frame{'s' if len(missing) > 1 else ''} {frame_list(missing)} "
            f"{'are' if len(missing) > 1 else 'is'} missing.",
            fix,
        )
    stray = zipped - windows
    if stray and selected:
        findings.warning(
            "stray",
            frame_name(min(stray)),
            f"{len(stray)} {'image is' if len(stray) == 1 else 'images are'} neither to be labelled nor within "
            f"{CONTEXT} frames of one that is: {frame_list(stray)}.",
            f"They are stored as well. Should they be labelled? Then list them in {CSV_NAME}.",
        )
