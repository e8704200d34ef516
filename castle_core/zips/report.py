"""What the dry run of a zip says: every problem with its file, what to do about it, and how bad it is."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from castle_core.errors import ZipError

Severity = Literal["error", "fixable", "warning"]
SEVERITIES: tuple[Severity, ...] = ("error", "fixable", "warning")

# One title a kind, for the headings of grouped reports. Kinds are stable words that a page may key on.
TITLES: dict[str, str] = {
    "archive": "The archive cannot be used",
    "too-large": "The archive is too large",
    "unsafe-name": "Names that would leave the folder",
    "link": "Links and special files",
    "encrypted": "Encrypted files",
    "compression": "Compression that is not supported",
    "nested-zip": "Archives inside the archive",
    "damaged": "Damaged files",
    "not-an-image": "Files that are not the images their names say",
    "image-kind": "Images that 8-bit PNG cannot hold without loss",
    "image-size": "Images of different sizes",
    "unsupported-image": "Image formats that are not supported",
    "duplicate": "Frames that come twice",
    "name": "Names without a clear frame number",
    "folders": "Frames in several folders",
    "no-frames": "No frames",
    "csv": "selected_frames.csv",
    "csv-missing-file": "selected_frames.csv names files that are not there",
    "csv-unsure": "No selected_frames.csv, and it cannot be derived",
    "past-the-end": "Frames past the end of the video",
    "conflict": "Frames that differ from those in the project",
    "disk": "Not enough space",
    "junk": "Files that macOS and Windows leave in zips",
    "left-out": "Files that are not frames",
    "nested-folder": "Frames inside a folder",
    "rename": "Other names than img and 8 digits",
    "video-name": "The name of the video",
    "convert-jpeg": "JPEG images",
    "convert-png": "PNG kinds that are converted without loss",
    "not-unpacked": "Not looked into yet",
    "csv-derived": "selected_frames.csv is derived",
    "csv-repair": "selected_frames.csv needs repair",
    "csv-reading": "How selected_frames.csv was read",
    "context": "Not usable for context models",
    "stray": "Images that are neither to be labelled nor context",
    "video-missing": "The video is not in the project",
    "video-size": "Another size than the video",
    "video-offset": "Frames that look like another frame of the video",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding about one file of a zip.

    Attributes
    ----------
    kind : str
        A key of `TITLES`.
    file : str
        The file's name inside the zip, as the zip gives it, or the zip's own name.
    problem : str
        What is wrong, in a sentence.
    fix : str
        For "fixable": what the import will do when fixes are accepted. Otherwise: what the user can do.
    severity : {"error", "fixable", "warning"}
        "error": the zip is refused. "fixable": it is imported once the fix is accepted. "warning": it is imported.
    """

    kind: str
    file: str
    problem: str
    fix: str
    severity: Severity

    def to_json(self) -> dict[str, str]:
        """Return the fields of ``castle import-zip --json``."""
        return {"file": self.file, "problem": self.problem, "fix": self.fix, "severity": self.severity}


@dataclass(frozen=True)
class ProblemGroup:
    """All problems of one kind and severity, for a report that stays readable with thousands of files."""

    kind: str
    severity: Severity
    title: str
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class ZipReport:
    """The dry run of one zip of frames. Nothing was written.

    Attributes
    ----------
    name : str
        The zip's file name.
    video : str
        The stem of the video that the frames belong to: they go to ``labeled-data/<video>``.
    ok : bool
        The zip is in the strict form: it can be imported as it is, without accepting any fix.
    problems : tuple of Problem
        Errors first, then what can be fixed, then warnings.
    fixes : tuple of str
        One line for each kind of fix offered.
    frame_indices, context_frame_indices, other_frame_indices : tuple of int
        Frames to label, those within reach of one, and the rest of the zip, as far as they are known. Sorted.
    """

    name: str
    video: str
    problems: tuple[Problem, ...]
    frame_indices: tuple[int, ...] = ()
    context_frame_indices: tuple[int, ...] = ()
    other_frame_indices: tuple[int, ...] = ()

    @property
    def ok(self) -> bool:
        """Tell whether the zip can be imported as it is."""
        return all(problem.severity == "warning" for problem in self.problems)

    @property
    def fixable(self) -> bool:
        """Tell whether the zip can be imported once the offered fixes are accepted (also true if none is needed)."""
        return all(problem.severity != "error" for problem in self.problems)

    @property
    def frames(self) -> int:
        """Number of frames to label."""
        return len(self.frame_indices)

    @property
    def context_frames(self) -> int:
        """Number of images around those that are to be labelled."""
        return len(self.context_frame_indices)

    @property
    def other_frames(self) -> int:
        """Number of images that are neither to be labelled nor context; they are stored as well."""
        return len(self.other_frame_indices)

    @property
    def fixes(self) -> tuple[str, ...]:
        """One line for each kind of fix offered, with the number of files."""
        lines = []
        for group in self.groups():
            if group.severity == "fixable":
                count = len(group.problems)
                files = f" ({count} files)" if count > 1 else ""
                lines.append(f"{group.problems[0].fix}{files}")
        return tuple(lines)

    def groups(self) -> tuple[ProblemGroup, ...]:
        """Return the problems by severity and kind, worst first."""
        found: dict[tuple[Severity, str], list[Problem]] = {}
        for problem in self.problems:
            found.setdefault((problem.severity, problem.kind), []).append(problem)
        return tuple(
            ProblemGroup(kind, severity, TITLES[kind], tuple(problems))
            for (severity, kind), problems in sorted(found.items(), key=lambda item: SEVERITIES.index(item[0][0]))
        )

    def first_error(self) -> str:
        """Return one line about why the zip is not imported: the first error, or the first open fix."""
        for problem in self.problems:
            if problem.severity != "warning":
                others = sum(p.severity == problem.severity for p in self.problems) - 1
                more = f" ({others} more in the report.)" if others else ""
                return f"{problem.file}: {problem.problem} {problem.fix}{more}"
        return ""

    def to_json(self, *, fix: bool = False) -> dict[str, Any]:
        """Return the report as JSON; ``ok`` counts the fixes as accepted if `fix`."""
        return {
            "ok": self.fixable if fix else self.ok,
            "zip": self.name,
            "video": self.video,
            "problems": [problem.to_json() for problem in self.problems],
            "fixes": list(self.fixes),
            "frames": self.frames,
            "context_frames": self.context_frames,
            "other_frames": self.other_frames,
        }


class ZipRefusedError(ZipError):
    """A zip is not imported; `report` says everything that was found."""

    def __init__(self, message: str, report: ZipReport) -> None:
        super().__init__(message)
        self.report = report


class Findings:
    """Collects problems while a zip is looked at."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def error(self, kind: str, file: str, problem: str, fix: str) -> None:
        """Add a reason to refuse the zip."""
        self._add(kind, file, problem, fix, "error")

    def fixable(self, kind: str, file: str, problem: str, fix: str) -> None:
        """Add something that the import can put right if it may."""
        self._add(kind, file, problem, fix, "fixable")

    def warning(self, kind: str, file: str, problem: str, fix: str) -> None:
        """Add something to know."""
        self._add(kind, file, problem, fix, "warning")

    def _add(self, kind: str, file: str, problem: str, fix: str, severity: Severity) -> None:
        self._problems.append(Problem(kind, printable(file), printable(problem), printable(fix), severity))

    @property
    def refused(self) -> bool:
        """Tell whether any finding so far refuses the zip."""
        return any(problem.severity == "error" for problem in self._problems)

    @property
    def n_found(self) -> int:
        """How much was found so far."""
        return len(self._problems)

    def sorted(self) -> tuple[Problem, ...]:
        """Return the problems, errors first, otherwise in the order found."""
        return tuple(sorted(self._problems, key=lambda problem: SEVERITIES.index(problem.severity)))


def printable(text: str) -> str:
    """Write characters that do not print, or that turn the writing around, as escapes: names come from anybody."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def frame_list(frame_indices: Iterable[int], *, at_most: int = 12) -> str:
    """Write frame indices for people: runs as ``141–145``, at most `at_most` runs, then how many frames are left."""
    runs: list[tuple[int, int]] = []
    for index in sorted(frame_indices):
        if runs and index == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    shown = [str(a) if a == b else f"{a}, {b}" if b == a + 1 else f"{a}–{b}" for a, b in runs[:at_most]]
    left = sum(b - a + 1 for a, b in runs[at_most:])
    return ", ".join(shown) + (f" and {left} more" if left else "")
