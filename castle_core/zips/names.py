"""Which entries of a zip are frames, which frame each one is, and what else lies in there."""

import re
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from castle_core.zips.report import Findings, frame_list

CSV_NAME = "selected_frames.csv"
_STRICT = re.compile(r"^img(\d{8}|[1-9]\d{8,11})\.png$", re.ASCII)
_NUMBERED = re.compile(r"^(?P<prefix>.*?)(?P<digits>\d+)$", re.ASCII | re.DOTALL)
_FRAME_SUFFIXES = {".png", ".jpg", ".jpeg"}
_OTHER_IMAGE_SUFFIXES = {".tif", ".tiff", ".bmp", ".gif", ".webp", ".jp2", ".raw", ".dng", ".heic", ".exr"}
_JUNK_NAMES = {".ds_store", "thumbs.db", "desktop.ini", ".localized", "icon\r", ".spotlight-v100", ".trashes"}
_MAX_FRAME_INDEX = 10**12


def frame_name(frame_index: int) -> str:
    """Return the name of a frame's image in the strict form, ``img%08d.png``."""
    return f"img{frame_index:08d}.png"


@dataclass(frozen=True, slots=True)
class ZippedFrame:
    """One image of a zip and the frame of the video that it is."""

    entry: zipfile.ZipInfo
    frame_index: int

    @property
    def file(self) -> str:
        """The name inside the zip."""
        return self.entry.filename

    @property
    def base(self) -> str:
        """The last part of the name inside the zip."""
        return PurePosixPath(self.entry.filename).name


@dataclass
class Contents:
    """What lies in a zip: its frames in the order of their index, and its list of frames to label."""

    frames: list[ZippedFrame] = field(default_factory=list)
    csv: zipfile.ZipInfo | None = None


def is_junk(file: str) -> bool:
    """Tell whether macOS or Windows left this file in the zip: ``__MACOSX``, ``._*``, ``.DS_Store``, ``Thumbs.db``."""
    parts = PurePosixPath(file).parts
    return "__MACOSX" in parts or any(part.startswith("._") or part.lower() in _JUNK_NAMES for part in parts)


def is_frame_name(file: str) -> bool:
    """Tell whether a file is taken for a frame by the ending of its name."""
    return not is_junk(file) and PurePosixPath(file).suffix.lower() in _FRAME_SUFFIXES


def classify(entries: list[zipfile.ZipInfo], name: str, findings: Findings) -> Contents:
    """Sort the entries of a zip into frames, the csv, junk and the rest, and give each image its frame index.

    The frame index is the number at the end of the name. Names other than ``img`` and a number are taken only if all
    images share what stands before the number, so that ``cam1_img0005`` and ``cam2_img0005`` are not mixed.

    Parameters
    ----------
    entries : list of ZipInfo
        The zip's list of contents, already checked by `check_entries`.
    name : str
        The zip's name, for the report.
    findings : Findings
        Gets what is wrong with the names.

    Returns
    -------
    Contents
        The frames, sorted by index and each once, and the entry of the csv.
    """
    images: list[zipfile.ZipInfo] = []
    lists: list[zipfile.ZipInfo] = []
    for entry in entries:
        file = entry.filename
        if file.endswith("/"):
            continue
        path = PurePosixPath(file)
        suffix = path.suffix.lower()
        if is_junk(file):
            findings.fixable(
                "junk",
                file,
                "Left in the zip by the operating system; not a frame.",
                "Files of macOS and Windows are skipped.",
            )
        elif suffix in _FRAME_SUFFIXES:
            images.append(entry)
        elif path.name.lower() == CSV_NAME:
            lists.append(entry)
        elif suffix in _OTHER_IMAGE_SUFFIXES:
            findings.error(
                "unsupported-image",
                file,
                f"{suffix[1:].upper()} images are not taken.",
                "Save the frames as 8-bit PNG.",
            )
        else:
            findings.fixable("left-out", file, "Not a frame.", "Files that are not frames are left out.")
    contents = Contents()
    if not images:
        findings.error("no-frames", name, "The zip holds no frames.", "Pack the frames as img00000143.png and so on.")
        return contents
    contents.frames = _number(images, findings)
    folders = _check_folders(images, findings)
    contents.csv = _find_csv(lists, folders, findings)
    return contents


def _check_folders(images: list[zipfile.ZipInfo], findings: Findings) -> set[PurePosixPath]:
    folders = Counter(PurePosixPath(image.filename).parent for image in images)
    if len(folders) > 1:
        listed = ", ".join(f"{str(folder)!r} ({count})" for folder, count in folders.most_common(4))
        findings.error(
            "folders",
            str(folders.most_common()[-1][0]) + "/",
            f"The frames lie in {len(folders)} folders: {listed}{', …' if len(folders) > 4 else ''}.",
            "Make one zip for each video, with its frames in one folder.",
        )
    elif (folder := next(iter(folders))) != PurePosixPath():
        findings.fixable(
            "nested-folder",
            f"{folder}/",
            "The frames lie inside a folder of the zip.",
            "The folder inside the zip is dropped.",
        )
    return set(folders)


def _find_csv(lists: list[zipfile.ZipInfo], folders: set[PurePosixPath], findings: Findings) -> zipfile.ZipInfo | None:
    """Return the csv that lies with the frames or in a folder above them."""
    if len(lists) > 1:
        for entry in lists[1:]:
            findings.error(
                "csv", entry.filename, f"A second {CSV_NAME}, beside {lists[0].filename}.", "Keep one in the zip."
            )
        return None
    if not lists:
        return None
    path = PurePosixPath(lists[0].filename)
    if not all(path.parent == folder or path.parent in folder.parents for folder in folders):
        findings.error("csv", str(path), "It does not lie with the frames.", "Put it into the frames' folder.")
    if path.name != CSV_NAME:
        findings.fixable("csv-repair", str(path), "The name is written in another case.", f"It is read as {CSV_NAME}.")
    return lists[0]


def _number(images: list[zipfile.ZipInfo], findings: Findings) -> list[ZippedFrame]:
    prefixes: Counter[str] = Counter()
    frames: dict[int, ZippedFrame] = {}
    for entry in images:
        path = PurePosixPath(entry.filename)
        match = _NUMBERED.match(path.stem)
        if match is None:
            findings.error(
                "name", entry.filename, "The name does not end in a frame number.", "Name it like img00000143.png."
            )
            continue
        prefixes[match["prefix"]] += 1
        digits = match["digits"].lstrip("0") or "0"
        if len(digits) > 12:
            findings.error(
                "name", entry.filename, f"The frame number {digits[:20]} is too large.", "Name it like img00000143.png."
            )
            continue
        frame = ZippedFrame(entry, int(digits))
        first = frames.setdefault(frame.frame_index, frame)
        if first is not frame:
            findings.error(
                "duplicate",
                frame.file,
                f"Frame {frame.frame_index} is in the zip twice, also as {first.file}.",
                "Keep one of the two.",
            )
        elif not _STRICT.match(path.name) and path.suffix.lower() == ".png":
            findings.fixable(
                "rename",
                frame.file,
                f"The name is not {frame_name(frame.frame_index)}.",
                "Frames are renamed to img and 8 digits; the number stays.",
            )
    _check_prefixes(prefixes, frames, findings)
    return [frames[index] for index in sorted(frames)]


def _check_prefixes(prefixes: Counter[str], frames: dict[int, ZippedFrame], findings: Findings) -> None:
    if len(prefixes) < 2:
        return
    usual = "img" if "img" in prefixes else prefixes.most_common(1)[0][0]
    others = sorted(prefix for prefix in prefixes if prefix != usual)
    for other in others[:100]:
        odd = [f for f in frames.values() if _NUMBERED.match(PurePosixPath(f.file).stem)["prefix"] == other]  # type: ignore[index]
        findings.error(
            "name",
            odd[0].file if odd else other,
            f"Some names start with {usual!r}, others with {other!r} "
            f"(frames {frame_list(f.frame_index for f in odd)}); "
            "it is not certain that the numbers count the same video.",
            "Name all frames alike, img and 8 digits.",
        )
