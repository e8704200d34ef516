"""SLEAP's ``.slp`` and ``.pkg.slp`` through sleap-io, which is an optional extra."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from castle_core.errors import LabelError
from castle_core.files import atomic_path, nfc
from castle_core.labelled import image_folder
from castle_core.labels.images import image_file, image_size
from castle_core.labels.model import Labels, folder_and_name, image_path
from castle_core.progress import QUIET, Task

if TYPE_CHECKING:
    from castle_core.projects import Project


def require_sleap_io() -> Any:
    """Import sleap-io.

    Raises
    ------
    LabelError
        If it is not installed; the message says how to get it.
    """
    try:
        import sleap_io
    except ImportError as error:
        raise LabelError(
            "SLEAP files need sleap-io: pip install 'castle-studio[sleap]'. COCO and DeepLabCut files need nothing."
        ) from error
    return sleap_io


def write_slp(
    project: "Project",
    labels: Labels,
    out: Path,
    *,
    skeleton: tuple[tuple[str, str], ...] = (),
    embed: bool = False,
    task: Task = QUIET,
) -> None:
    """Write labels as ``.slp``, which names the images where they lie, or as ``.pkg.slp``, which holds them.

    Each folder of images becomes one video; a frame's place in it is the place of its image in the sorted folder.
    Animals with names become tracks. All keypoints form one skeleton. SLEAP has no place for the scorer and for
    occluded points.

    Raises
    ------
    LabelError
        If sleap-io is not installed, or an image is missing.
    ProjectError
        If the disk is full or `out` may not be written.
    """
    sio = require_sleap_io()
    labels = labels.ordered()
    files = {frame: image_file(project, frame) for frame in labels.frames}
    folders: dict[str, list[str]] = {}
    for frame, path in files.items():
        image_size(path)  # a missing image is named before anything is written
        folders.setdefault(folder_and_name(frame)[0], []).append(frame)
    nodes = sio.Skeleton(
        nodes=list(labels.keypoints),
        edges=[(a, b) for a, b in skeleton if a in labels.keypoints and b in labels.keypoints],
        name="skeleton",
    )
    tracks = [sio.Track(name) for name in labels.individuals] if labels.individuals != ("",) else [None]
    frames, videos = [], []
    row_of = {frame: row for row, frame in enumerate(labels.frames)}
    for members in folders.values():
        video = sio.Video.from_filename([str(files[frame]) for frame in members])
        videos.append(video)
        for place, frame in enumerate(members):
            row = row_of[frame]
            instances = [
                sio.Instance.from_numpy(labels.xy[row, i].copy(), skeleton=nodes, track=track)
                for i, track in enumerate(tracks)
                if labels.labelled[row, i].any()
            ]
            frames.append(sio.LabeledFrame(video=video, frame_idx=place, instances=instances))
    document = sio.Labels(frames, videos=videos, skeletons=[nodes], tracks=[t for t in tracks if t is not None])
    document.provenance["castle_scorer"] = labels.scorer
    document.provenance["castle_individuals"] = list(labels.individuals)

    def progress(done: int, total: int, *_: Any) -> bool:
        task.progress(done, total)
        return True

    suffix = ".pkg.slp" if embed else ".slp"
    with atomic_path(out, publish=task.publish) as temporary:
        working = temporary.with_name(temporary.name + suffix)  # sleap-io goes by the ending
        try:
            pairs = [(frame.video, frame.frame_idx) for frame in frames] if embed else False
            sio.save_slp(document, str(working), embed=pairs, verbose=False, progress_callback=progress)
            working.replace(temporary)
        except (ValueError, RuntimeError, KeyError) as error:
            raise LabelError(f"sleap-io could not write {out.name}: {error}. Export COCO instead.") from error
        finally:
            working.unlink(missing_ok=True)


def read_slp_labels(path: Path) -> Labels:
    """Read what people labelled in a ``.slp`` or ``.pkg.slp``; predicted instances do not count.

    A video that is a list of images gives these images; a frame of a video file is
    ``labeled-data/<stem>/img<index>.png`` with eight digits. Instances without a track are told apart by their order.

    Raises
    ------
    LabelError
        If sleap-io is not installed, the file cannot be read, or nobody labelled anything in it.
    """
    sio = require_sleap_io()
    try:
        document = sio.load_slp(str(path), open_videos=False)
        return _labels(path, document)
    except LabelError:
        raise
    except Exception as error:  # sleap-io lets through whatever h5py, json and numpy raise
        raise LabelError(f"{path.name} is no readable SLEAP file ({type(error).__name__}). Save it again.") from error


def _labels(path: Path, document: Any) -> Labels:
    keypoints = tuple(dict.fromkeys(nfc(node.name) for skeleton in document.skeletons for node in skeleton.nodes))
    ours = document.provenance.get("castle_individuals")
    rows: dict[str, int] = {}
    said: list[tuple[int, str, Any]] = []
    empty = set()
    for frame in document.labeled_frames:
        users = list(frame.user_instances)
        if frame.predicted_instances and not users:
            continue
        name = _frame_path(frame, path)
        row = rows.setdefault(name, len(rows))
        if not users:
            empty.add(name)
        taken: set[str] = set()
        for instance in users:
            animal = nfc(instance.track.name) if instance.track is not None else ""
            if not animal or animal in taken:
                animal = next(n for k in range(1, 10**6) if (n := f"animal_{k}") not in taken)
            taken.add(animal)
            said.append((row, animal, instance))
    if not rows:
        raise LabelError(f"{path.name} holds no frame that a person labelled; predictions alone are no labels.")
    individuals = tuple(ours) if ours else tuple(dict.fromkeys(animal for _, animal, _ in said))
    if individuals in {("",), ("animal_1",), ()}:
        individuals, said = ("",), [(row, "", instance) for row, _, instance in said]
    xy = np.full((len(rows), len(individuals), len(keypoints), 2), np.nan)
    for row, animal, instance in said:
        places = [keypoints.index(nfc(node.name)) for node in instance.skeleton.nodes]
        xy[row, individuals.index(animal), places] = instance.numpy()[:, :2]
    xy[~np.isfinite(xy).all(axis=3)] = np.nan
    has = np.isfinite(xy[..., 0]).any(axis=0)
    has |= ~has.any(axis=0)  # a keypoint that is nowhere may be anybody's
    no_animal = frozenset(frame for frame, row in rows.items() if not np.isfinite(xy[row]).any())
    return Labels(
        keypoints,
        individuals,
        tuple(rows),
        xy,
        scorer=str(document.provenance.get("castle_scorer") or ""),
        no_animal=no_animal,
        has=np.ones_like(has) if len(individuals) == 1 else has,
    )


def _frame_path(frame: Any, path: Path) -> str:
    from castle_core.frames.names import frame_name

    video, index = frame.video, int(frame.frame_idx)
    names = video.filename
    embedded = getattr(video, "source_video", None)
    if not isinstance(names, list) and embedded is not None and embedded.filename:
        names = embedded.filename
    if isinstance(names, list):
        parts = [part for part in str(names[index]).replace("\\", "/").split("/") if part]
        return image_path(image_folder(parts, path), parts[-1])
    stem = str(names).replace("\\", "/").rsplit("/", 1)[-1]
    return image_path(stem.rsplit(".", 1)[0], frame_name(index))


def slp_images(path: Path, frames: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Yield (frame, content of its image file) for those of `frames` whose image the file holds or points to.

    Images in a package become PNG; images on disk are taken as they are, if they are of the same kind as the name says.
    """
    from castle_core.video.images import encode_png

    sio = require_sleap_io()
    wanted = set(frames)
    document = sio.load_slp(str(path))
    for entry in document.labeled_frames:
        frame = _frame_path(entry, path)
        if frame not in wanted:
            continue
        names = entry.video.filename
        if isinstance(names, list):
            image = Path(names[int(entry.frame_idx)])
            if image.is_file() and image.suffix.lower() == Path(frame).suffix.lower():
                wanted.discard(frame)
                yield frame, image.read_bytes()
            continue
        if not str(names).lower().endswith(".slp"):
            continue  # a video: its frames come from the project's own copy
        try:
            pixels = np.asarray(entry.image)
        except (OSError, ValueError, KeyError, IndexError, RuntimeError):
            continue
        if pixels.ndim == 3 and pixels.dtype == np.uint8 and pixels.shape[2] in {1, 3}:
            wanted.discard(frame)
            yield frame, encode_png(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
