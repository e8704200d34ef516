"""Tasks and pictures for a Label Studio that this app cannot reach: one zip to import by hand."""

import base64
import json
from typing import TYPE_CHECKING, Any

from castle_core.errors import LabelError
from castle_core.labels.contents import Contents
from castle_core.labels.model import Labels

if TYPE_CHECKING:
    from castle_core.label_studio.pictures import Picture
    from castle_core.label_studio.prelabels import PreLabel, PreLabels
    from castle_core.projects import Project

_PART_BYTES = 48 * 2**20
"""Pictures of one tasks file: base64 makes a third more of it, and Label Studio takes 250 MB at a time."""

_READ_ME = """How to get these frames into Label Studio
==========================================

1. Make a project in Label Studio. Under Settings > Labeling Interface > Code, paste the content of labels_config.xml.
2. Import tasks.json (tasks_2.json and so on as well, one after the other). The pictures are inside of these files, so
   nothing else is needed: neither a shared folder nor a second server.
3. If there are pre-labels (points of a model): under Settings > Annotation, switch on that predictions are used to
   prelabel tasks. They are there from the start then, and can be moved.

If the machine of Label Studio has these pictures on its disk, import tasks_local_files.json instead, which is small:
copy the folder labeled-data into LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT, set
LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true, and add that folder as a local storage of the project (no sync).

The labels come back with: castle labels pull, once the app can reach that Label Studio.
"""


def label_studio_contents(
    project: "Project", labels: Labels, *, model: str | None = None, threshold: float = 0.0
) -> Contents:
    """Return tasks, labels configuration and pictures of the selected and the labelled frames.

    ``tasks.json`` (in parts of about 64 MB) holds the pictures as data URLs and imports anywhere;
    ``tasks_local_files.json`` names them by path for a Label Studio that serves local files. Labels go as annotations,
    predictions of `model` as pre-labels of frames without labels: Label Studio shows them once they are imported.

    Raises
    ------
    LabelError
        If there are several animals, no keypoints or no frames.
    LabelStudioError, PredictionError
        If a picture cannot be read, or the predictions cannot be used.
    """
    from castle_core.label_studio.labels_config import labels_config
    from castle_core.label_studio.pictures import project_pictures
    from castle_core.label_studio.prelabels import PreLabels
    from castle_core.label_studio.target import castle_id

    labels = labels.for_one_animal("Label Studio")
    keypoints = project.keypoints or labels.keypoints
    if not keypoints:
        raise LabelError("The project has no keypoints yet. Name them on the page Label export first.")
    pictures = [each for each in project_pictures(project, labels.frames) if each.path.is_file()]
    if not pictures:
        raise LabelError(f"The project {project.name} has no frames to label yet. Choose some first.")
    pre_labels = PreLabels(project, model, keypoints, threshold) if model else None
    tasks = _Tasks(labels, keypoints, pre_labels, "" if project.read_only else castle_id(project))
    contents = Contents()
    if pre_labels is not None:
        n = tasks.count_pre_labels(pictures)
        contents.notes.append(f"Pre-labels: {n:,} frame{'' if n == 1 else 's'}, of {model}.")
    contents.add("README.txt", _READ_ME.encode("utf-8"))
    contents.add("labels_config.xml", labels_config(keypoints).encode("utf-8"))
    contents.add("tasks_local_files.json", tasks.json(pictures, local=True))
    for number, part in enumerate(_parts(pictures), 1):
        name = "tasks.json" if number == 1 else f"tasks_{number}.json"
        contents.add(name, lambda part=part: tasks.json(part, local=False))  # type: ignore[misc]
    for picture in pictures:
        contents.add(picture.lp_path, picture.path)
    return contents


def _parts(pictures: "list[Picture]") -> "list[list[Picture]]":
    parts: list[list[Picture]] = [[]]
    size = 0
    for picture in pictures:
        n_bytes = picture.path.stat().st_size
        if parts[-1] and size + n_bytes > _PART_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(picture)
        size += n_bytes
    return parts


class _Tasks:
    """Makes the tasks of frames. Pre-labels are looked up once: a video's predictions are held one at a time."""

    def __init__(
        self, labels: Labels, keypoints: tuple[str, ...], pre_labels: "PreLabels | None", identity: str
    ) -> None:
        self._labels, self._keypoints, self._pre_labels, self._identity = labels, keypoints, pre_labels, identity
        self._row_of = {frame: row for row, frame in enumerate(labels.frames)}
        self._found: dict[str, PreLabel] = {}

    def count_pre_labels(self, pictures: "list[Picture]") -> int:
        """Look the pre-labels of these pictures up, which are sorted by video; return how many frames have some."""
        for picture in pictures:
            labelled = self._is_labelled(picture.lp_path)
            found = self._pre_labels.of(picture) if self._pre_labels is not None and not labelled else None
            if found is not None:
                self._found[picture.lp_path] = found
        return len(self._found)

    def _is_labelled(self, lp_path: str) -> bool:
        row = self._row_of.get(lp_path)
        return row is not None and (lp_path in self._labels.no_animal or bool(self._labels.labelled[row].any()))

    def json(self, pictures: "list[Picture]", *, local: bool) -> bytes:
        """Return a tasks file of these pictures."""
        return json.dumps([self._task(each, local) for each in pictures], ensure_ascii=False).encode("utf-8")

    def _task(self, picture: "Picture", local: bool) -> dict[str, Any]:
        from urllib.parse import quote

        from castle_core.label_studio.pictures import read_picture

        data, size, sha = read_picture(picture)
        if local:
            image = f"/data/local-files/?d={quote(picture.lp_path)}"
        else:
            kind = {"jpg": "jpeg"}.get(picture.path.suffix.lower()[1:], picture.path.suffix.lower()[1:])
            image = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
        task: dict[str, Any] = {
            "data": {
                "image": image,
                "video": picture.video,
                "frame": picture.frame_index if picture.frame_index is not None else -1,
                "lp_path": picture.lp_path,
                "castle_project": self._identity,
                "width": size[0],
                "height": size[1],
                "sha256": sha,
            }
        }
        result = self._annotation(picture, size)
        if result is not None:
            task["annotations"] = [{"result": result, "ground_truth": False}]
            return task
        found = self._found.get(picture.lp_path)
        if self._pre_labels is not None and found is not None:
            from castle_core.label_studio.regions import regions_of

            regions = regions_of(picture.lp_path, self._keypoints, found.xy, size).result
            if regions:
                entry = {"model_version": self._pre_labels.model, "score": found.score, "result": regions}
                task["predictions"] = [entry]
        return task

    def _annotation(self, picture: "Picture", size: tuple[int, int]) -> list[dict[str, Any]] | None:
        from castle_core.label_studio.regions import regions_of

        if not self._is_labelled(picture.lp_path):
            return None
        row = self._row_of[picture.lp_path]
        known = [name for name in self._keypoints if name in self._labels.keypoints]
        columns = [self._labels.keypoints.index(name) for name in known]
        return regions_of(picture.lp_path, known, self._labels.xy[row, 0, columns], size).result
