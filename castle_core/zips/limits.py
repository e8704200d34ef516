"""How large a zip of frames may be, so that a crafted one cannot fill the memory or the disk."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ZipLimits:
    """Bounds on a zip of frames; all of them are far above what a real one needs.

    Attributes
    ----------
    entries : int
        Files and folders in the zip.
    directory_bytes : int
        Size of the zip's list of contents, which is read into memory.
    ratio : float
        Unpacked over packed size, of one file or of all; PNG and JPEG do not compress any further, so real zips
        stay near 1.
    ratio_from_bytes : int
        Unpacked size from which `ratio` counts: a tiny flat picture may compress well.
    csv_bytes : int
        Size of ``selected_frames.csv``.
    image_bytes : int
        Unpacked size of one image file.
    image_pixels : int
        Width times height of one image.
    spare_bytes : int
        What must stay free on the project's disk.
    """

    entries: int = 100_000
    directory_bytes: int = 64 << 20
    ratio: float = 100.0
    ratio_from_bytes: int = 16 << 20
    csv_bytes: int = 16 << 20
    image_bytes: int = 512 << 20
    image_pixels: int = 100_000_000
    spare_bytes: int = 64 << 20


LIMITS = ZipLimits()
