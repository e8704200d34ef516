"""`castle_core.labels.checking` on the labels, images and skeleton of a project."""

import contextlib
from typing import TYPE_CHECKING

from castle_core.errors import LabelError
from castle_core.labels.checking import SUSPICIOUS_Z, LabelCheck, check_labels
from castle_core.labels.images import image_file, image_size
from castle_core.labels.in_project import project_labels

if TYPE_CHECKING:
    from castle_core.projects import Project


def check_project(project: "Project", *, view: str | None = None, threshold: float = SUSPICIOUS_Z) -> LabelCheck:
    """Check a project's labels; an image that is missing or damaged only leaves out the check of its size.

    Raises
    ------
    LabelError
        If nothing is labelled, or a label file cannot be read.
    """
    labels = project_labels(project, view)
    if not labels.frames:
        raise LabelError(f"Nothing is labelled in the project {project.name} yet.")
    sizes = {}
    for frame in labels.frames:
        with contextlib.suppress(LabelError):
            sizes[frame] = image_size(image_file(project, frame))
    return check_labels(labels, skeleton=project.skeleton, sizes=sizes, threshold=threshold)
