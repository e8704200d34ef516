"""A made-up project with exact ground truth: an animal in an arena, filmed from above."""

from castle_core.demo.body import KEYPOINTS, SKELETON
from castle_core.demo.drawing import ROI_BODY, ROI_HEAD, ROI_TAIL
from castle_core.demo.project import ERRING_MODEL, GOOD_MODEL, GROSS_ERROR_PX, make_demo

__all__ = [
    "ERRING_MODEL",
    "GOOD_MODEL",
    "GROSS_ERROR_PX",
    "KEYPOINTS",
    "ROI_BODY",
    "ROI_HEAD",
    "ROI_TAIL",
    "SKELETON",
    "make_demo",
]
