"""Zips of frames: a dry run that explains every problem, fixes that are offered, and an import of all or nothing."""

from castle_core.zips.example import EXAMPLE_NAME, example_zip
from castle_core.zips.importing import ZipImport, ZipSource, import_zip, import_zips, inspect_zips
from castle_core.zips.inspection import inspect_zip
from castle_core.zips.limits import LIMITS, ZipLimits
from castle_core.zips.report import Problem, ProblemGroup, ZipRefusedError, ZipReport

__all__ = [
    "EXAMPLE_NAME",
    "LIMITS",
    "Problem",
    "ProblemGroup",
    "ZipImport",
    "ZipLimits",
    "ZipRefusedError",
    "ZipReport",
    "ZipSource",
    "example_zip",
    "import_zip",
    "import_zips",
    "inspect_zip",
    "inspect_zips",
]
