"""A correct zip of frames to look at and to copy from."""

import io
import zipfile

import numpy as np

from castle_core.zips.names import CSV_NAME, frame_name
from castle_core.zips.selected import CONTEXT

EXAMPLE_NAME = "subject023_session0.zip"
_SELECTED = (143, 1156, 34567)
_WIDTH, _HEIGHT = 320, 240


def example_zip() -> bytes:
    """Make the documented example, ``subject023_session0.zip``: three frames to label, each with its ±2 neighbours.

    Returns
    -------
    bytes
        The zip. Its images are 320 x 240 grey PNGs of a spot that moves; two calls return the same bytes.
    """
    import cv2

    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for centre in _SELECTED:
            for frame_index in range(centre - CONTEXT, centre + CONTEXT + 1):
                picture = np.full((_HEIGHT, _WIDTH), 32, np.uint8)
                angle = frame_index * 0.11
                spot = (round(_WIDTH / 2 + 90 * np.cos(angle)), round(_HEIGHT / 2 + 70 * np.sin(angle)))
                cv2.circle(picture, spot, 22, 210, -1, cv2.LINE_AA)
                cv2.putText(picture, f"frame {frame_index}", (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 150, 1)
                _, png = cv2.imencode(".png", picture)
                archive.writestr(_entry(frame_name(frame_index)), bytes(png))
        archive.writestr(_entry(CSV_NAME), "".join(f"{frame_name(index)}\n" for index in _SELECTED))
    return written.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=(2026, 1, 1, 0, 0, 0))
    entry.external_attr = 0o644 << 16
    return entry
