"""Track the filmed mouse from one box and draw forty frames of it: the picture of docs/tracking.md.

Run it with the project's Python; the video lies beside the project in ``../shared/data``.
"""

import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np

from castle_core.projects import Project
from castle_core.prompts import Prompt
from castle_core.rois import MaskFile
from castle_core.tracking.run import track_video
from castle_core.tracking.settings import TrackSettings

ROOT = Path(__file__).resolve().parent.parent
VIDEO = ROOT.parent / "shared" / "data" / "dlc_openfield" / "m3v1mp4.mp4"
BOX = (62, 80, 180, 192)
N_FRAMES, COLUMNS, WIDTH = 40, 8, 240


def tile(frame: np.ndarray, mask: np.ndarray, frame_index: int) -> np.ndarray:
    """Return one (h, WIDTH, 3) RGB frame with the mask's outline (yellow) and box (red)."""
    picture = frame.copy()
    shape = (mask == 1).astype(np.uint8)
    outlines, _ = cv2.findContours(shape, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, outlines, -1, (255, 200, 0), 2)
    x, y, width, height = cv2.boundingRect(shape)
    cv2.rectangle(picture, (x, y), (x + width, y + height), (230, 40, 40), 2)
    small = cv2.resize(picture, (WIDTH, round(WIDTH * frame.shape[0] / frame.shape[1])), interpolation=cv2.INTER_AREA)
    cv2.putText(small, str(frame_index), (5, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return small


def main() -> None:
    if not VIDEO.is_file():
        raise SystemExit(f"{VIDEO} is not there.")
    with tempfile.TemporaryDirectory() as folder:
        project = Project.create(Path(folder) / "mouse")
        shutil.copy(VIDEO, project.path / "videos")
        track_video(project, VIDEO.stem, [Prompt(0, 1, "box", BOX)], TrackSettings())
        masks = MaskFile(project.path / "track" / VIDEO.name / "mask_list.h5")
        with project.open_video(VIDEO.stem) as video, masks:
            chosen = np.linspace(0, video.n_frames - 1, N_FRAMES).round().astype(int)
            tiles = [tile(video.frame_at(int(i)), masks.mask_at(int(i)), int(i)) for i in chosen]  # type: ignore[arg-type]
    rows = [np.hstack(tiles[k : k + COLUMNS]) for k in range(0, N_FRAMES, COLUMNS)]
    path = ROOT / "docs" / "pictures" / "tracking-open-field.jpg"
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    print(path)


if __name__ == "__main__":
    main()
