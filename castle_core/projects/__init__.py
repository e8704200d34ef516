"""Where a project's files live: one folder that is readable without this app."""

from castle_core.projects.places import find_projects, is_project, is_unused, resolve_project_path
from castle_core.projects.project import LATENT_PLACES, Project, ProjectCounts
from castle_core.projects.videos import VIDEO_SUFFIXES, VideoEntry, is_video_name

__all__ = [
    "LATENT_PLACES",
    "VIDEO_SUFFIXES",
    "Project",
    "ProjectCounts",
    "VideoEntry",
    "find_projects",
    "is_project",
    "is_unused",
    "is_video_name",
    "resolve_project_path",
]
