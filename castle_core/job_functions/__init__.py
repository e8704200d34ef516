"""What the workers can run, by name.

A job function is ``f(task, *, project, owner, **settings) -> dict``: JSON in, JSON out. It may be ended at any moment
and run again from the start with the same arguments; then it finds what the attempt before it finished, and the result
is the same as without the interruption.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from castle_core.errors import JobError


@dataclass(frozen=True)
class JobKind:
    """One kind of job.

    Attributes
    ----------
    title : str
        What people see.
    function : str
        ``module:function``, imported by the worker only.
    needs_gpu : bool
        Whether it runs a model: on a GPU's worker where the machine has one, else on a CPU.
    """

    title: str
    function: str
    needs_gpu: bool = False


JOB_KINDS: dict[str, JobKind] = {
    "choose_frames": JobKind("Choose frames", "castle_core.job_functions.choose_frames:choose_frames"),
    "write_board": JobKind("Write frames", "castle_core.job_functions.write_board:write_board"),
    "check_upload": JobKind("Check a new video", "castle_core.job_functions.check_upload:check_upload"),
    "inspect_zips": JobKind("Look at zips", "castle_core.job_functions.inspect_zips:inspect_zips"),
    "import_masks": JobKind("Take in masks", "castle_core.job_functions.import_masks:import_masks"),
    "import_zips": JobKind("Import frames", "castle_core.job_functions.import_zips:import_zips"),
    "demo": JobKind("Make the demo project", "castle_core.job_functions.demo:demo"),
    "measure_model": JobKind("Score a model", "castle_core.job_functions.measure_model:measure_model"),
    "prepare_video": JobKind("Read a video", "castle_core.job_functions.prepare_video:prepare_video"),
    "check_labels": JobKind("Check labels", "castle_core.job_functions.labels:check_job"),
    "export_labels": JobKind("Export labels", "castle_core.job_functions.labels:export_job"),
    "import_labels": JobKind("Import labels", "castle_core.job_functions.labels:import_job"),
    "board_of_frames": JobKind("Put frames on a board", "castle_core.job_functions.inspection:board_of_frames"),
    "export_latents": JobKind("Export latents", "castle_core.job_functions.inspection:export_latents"),
    "inspect_latents": JobKind("Read latents", "castle_core.job_functions.inspection:inspect_latents"),
    "umap_latents": JobKind("Lay out latents by UMAP", "castle_core.job_functions.inspection:umap_latents"),
    "latents": JobKind("Extract latents", "castle_core.job_functions.latents:latents", needs_gpu=True),
    "check_latents": JobKind(
        "Look before extracting", "castle_core.job_functions.latent_page:check_latents", needs_gpu=True
    ),
    "risky_frames": JobKind("Look for risky frames", "castle_core.job_functions.latent_page:find_risky_frames"),
    "run_frame": JobKind("Run Frame", "castle_core.job_functions.latent_page:run_one_frame", needs_gpu=True),
    "roi_centroids": JobKind("Points from a ROI", "castle_core.job_functions.latent_page:roi_centroids"),
    "download_model": JobKind("Download a model", "castle_core.job_functions.latent_page:download_model"),
    "pull_labels": JobKind("Pull labels", "castle_core.job_functions.label_studio:pull_labels"),
    "push_labels": JobKind("Push to Label Studio", "castle_core.job_functions.label_studio:push_labels"),
    "proxy": JobKind("Make a copy that browsers play", "castle_core.job_functions.proxy:proxy"),
    "read_masks": JobKind("Read masks", "castle_core.job_functions.read_masks:read_masks"),
    "track": JobKind("Track ROIs", "castle_core.job_functions.track:track"),
    # The same with a model: the background tracker must not wait behind what fills a GPU.
    "track_by_model": JobKind("Track ROIs", "castle_core.job_functions.track:track", needs_gpu=True),
    "mend_masks": JobKind("Mend masks", "castle_core.job_functions.track:mend_masks"),
    "masks_from_points": JobKind("Masks from keypoints", "castle_core.job_functions.track:masks_from_points"),
    "suggest": JobKind("Find hard frames", "castle_core.job_functions.suggest:suggest"),
}


def job_function(kind: str) -> Callable[..., dict[str, Any]]:
    """Import the function of a kind of job.

    Raises
    ------
    JobError
        If there is no such kind.
    """
    if kind not in JOB_KINDS:
        raise JobError(f"There is no job called {kind!r}. There are: {', '.join(sorted(JOB_KINDS))}.")
    module, _, name = JOB_KINDS[kind].function.partition(":")
    function: Callable[..., dict[str, Any]] = getattr(importlib.import_module(module), name)
    return function
