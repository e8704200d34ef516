"""The Inspector's jobs: read a large file, write one for other programs, lay out a UMAP, put frames on a board."""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from castle_core import boards
from castle_core.boards import Alternative, Board, BoardVideo, Entry
from castle_core.errors import ConfigError, SelectionError
from castle_core.files import make_folder
from castle_core.frames import new_id
from castle_core.frames.record import utc_now
from castle_core.progress import Task
from castle_core.projects import Project

FORMATS = {"csv": ".csv", "npy": ".npy", "nwb": ".nwb"}


def inspect_latents(task: Task, *, project: str, owner: str, file: str) -> dict[str, Any]:
    """Prepare a large or compressed latent file for the Inspector; returns ``frames`` and ``channels``."""
    from castle_core.inspection import find_latent_file, summary_of

    del owner
    opened = Project.open(project)
    summary = summary_of(opened, find_latent_file(opened, file).path, task)
    return {"frames": summary.n, "channels": summary.dim}


def export_latents(
    task: Task,
    *,
    project: str,
    owner: str,
    file: str,
    format: str,
    with_gaps: bool = True,
    session_start: str = "",
    session_description: str = "",
    subject_id: str = "",
) -> dict[str, Any]:
    """Write a latent file as csv, npy or nwb to ``exports/latents/``; returns ``path`` and ``rows``.

    Raises
    ------
    ConfigError
        If the format is unknown or the start of the session is no time with a zone.
    """
    from castle_core import inspection

    del owner
    if format not in FORMATS:
        raise ConfigError(f"Latents are exported as {', '.join(FORMATS)}, not {format!r}.")
    opened = Project.open(project)
    opened.require_writable()
    found = inspection.find_latent_file(opened, file)
    summary = inspection.summary_of(opened, found.path, task)
    rows = inspection.rows_of(opened, found.path)
    folder = make_folder(opened.path / "exports" / "latents")
    name = found.path.name.removesuffix(".npz")
    if sum(file.path.name == found.path.name for file in inspection.list_latent_files(opened)) > 1:
        name += f"_{found.path.parent.name}"  # another folder's file of this name has its own export
    path = folder / (name + FORMATS[format])
    if format == "csv":
        n = inspection.export_csv(path, rows, summary, with_gaps=with_gaps, task=task)
    elif format == "npy":
        n = inspection.export_npy(path, rows, summary, with_gaps=with_gaps, task=task)
    else:
        try:
            start = datetime.datetime.fromisoformat(session_start)
        except ValueError as error:
            raise ConfigError(
                f"{session_start!r} is no time. Write the start of the session as 2026-11-25T10:00:00+01:00."
            ) from error
        with opened.open_video(found.stem) as video:
            times_s = video.times_s
        n = inspection.export_nwb(
            path,
            rows,
            summary,
            times_s=times_s,
            session_start=start,
            video_name=opened.video(found.stem).name,
            metadata=found.metadata,
            session_description=session_description,
            subject_id=subject_id,
            task=task,
        )
    return {"path": str(path), "rows": n}


def umap_latents(
    task: Task, *, project: str, owner: str, file: str, n_neighbors: int = 15, min_dist: float = 0.1, seed: int = 0
) -> dict[str, Any]:
    """Lay out a latent file's frames in two dimensions by UMAP; returns ``path`` of the (n, 2) .npy."""
    from castle_core.inspection import find_latent_file, summary_of
    from castle_core.inspection.umap_layout import lay_out

    del owner
    opened = Project.open(project)
    path = find_latent_file(opened, file).path
    summary = summary_of(opened, path, task)
    made = lay_out(opened, path, summary, n_neighbors=n_neighbors, min_dist=min_dist, seed=seed, task=task)
    return {"path": str(made)}


def board_of_frames(
    task: Task,
    *,
    project: str,
    owner: str,
    video: str,
    frames: Sequence[int],
    reason: str,
    alternatives: Mapping[str, Sequence[int]] | None = None,
    context: int = 2,
    review: bool = True,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Put frames that somebody chose by hand on a board, or write them at once.

    Parameters
    ----------
    task : Task
    project, owner : str
    video : str
        Stem.
    frames : sequence of int
        Those that are selected or labelled already are left out.
    reason : str
        Why they were chosen, for each.
    alternatives : mapping
        Frame (as text) → frames that may take its place.
    context : int
        Context frames on either side.
    review : bool
        Leave the board for review.
    settings : mapping
        Kept with the board.

    Returns
    -------
    dict
        ``board`` and ``frames`` with review; else what `write_board` returns.

    Raises
    ------
    SelectionError
        If no frame is left.
    FrameIndexError
        If a frame lies outside the video.
    """
    from castle_core.errors import FrameIndexError

    opened = Project.open(project)
    opened.require_writable()
    board_id = task.key or new_id()
    if not any(waiting.id == board_id for waiting in boards.list_boards(opened)):
        if before := boards.written_before(opened, board_id):
            return before.to_json()
        entry = opened.video(video)
        covered = set(opened.covered(entry.stem))
        wanted = sorted(set(map(int, frames)) - covered)
        if not wanted:
            raise SelectionError("All these frames are selected or labelled already. Draw around others.")
        with opened.open_video(entry.stem) as opened_video:
            n, times, fps = opened_video.n_frames, opened_video.times_s, float(opened_video.average_fps)
        if wanted[0] < 0 or wanted[-1] >= n:
            raise FrameIndexError(f"{entry.name} has frames 0 to {n - 1}. Extract its latents again.")
        others = alternatives or {}
        entries = tuple(
            Entry(
                id=place,
                video=entry.stem,
                frame_index=frame,
                time_s=float(times[frame]),
                reason=reason,
                alternatives=tuple(
                    Alternative(int(o), float(times[o])) for o in others.get(str(frame), ()) if 0 <= int(o) < n
                ),
            )
            for place, frame in enumerate(wanted)
        )
        about = BoardVideo(
            stem=entry.stem,
            name=entry.name,
            n_frames=n,
            duration_s=n / fps if fps else 0.0,
            average_fps=fps,
            ranges=((0, n),),
            covered=tuple(sorted(covered)),
        )
        made = Board(
            id=board_id,
            created=utc_now(),
            owner=owner,
            settings=dict(settings or {}),
            videos=(about,),
            entries=entries,
            method="by hand",
            context=context,
        )
        boards.save_board(opened, made, task)
    if review:
        return {"board": board_id, "frames": len(boards.load_board(opened, board_id).kept)}
    return boards.write_board(opened, board_id, task, who=owner).to_json()
