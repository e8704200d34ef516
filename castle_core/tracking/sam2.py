"""SAM 2's video model as a tracker: frames come one by one, and what it no longer looks back at is dropped.

The model looks back at the frames with drawings, at the memories of the last `num_maskmem` - 1 frames, and at the
object pointers of the last `max_object_pointers_in_encoder` - 1; everything older is forgotten, so memory stays flat.
N. Ravi et al., SAM 2: Segment Anything in Images and Videos (2024).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from castle_core.errors import RoiError
from castle_core.prompts import Prompt, prompt_mask
from castle_core.tracking.sam2_loading import Sam2
from castle_core.tracking.settings import TrackedFrame

_KEPT = ("pred_masks", "object_pointer", "object_score_logits", "maskmem_features", "maskmem_pos_enc")


class Sam2Tracker:
    """Follows ROIs with SAM 2.

    Parameters
    ----------
    sam2 : Sam2
        The model.
    prompts : sequence of Prompt
        Everything that is drawn on the frames that will come.
    height, width : int
        Of the video (pixels).
    """

    def __init__(self, sam2: Sam2, prompts: Sequence[Prompt], *, height: int, width: int) -> None:
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        if not prompts:
            raise RoiError("Nothing is drawn. Draw a box, points or an outline of each ROI on one frame.")
        self._sam2, self.height, self.width = sam2, height, width
        self.rois = tuple(sorted({prompt.roi for prompt in prompts}))
        self._by_frame: dict[int, list[Prompt]] = {}
        for prompt in prompts:
            self._by_frame.setdefault(prompt.frame_index, []).append(prompt)
        self._session = Sam2VideoInferenceSession(
            video_height=height,
            video_width=width,
            inference_device=sam2.device,
            inference_state_device=sam2.device,
            video_storage_device=sam2.device,
            dtype=sam2.dtype,
        )
        self._last: int | None = None
        self._offset = 0

    def prime(self, pictures: Sequence[tuple[Sequence[Prompt], npt.NDArray[np.uint8]]]) -> None:
        """Learn the ROIs from drawn frames of another video, as if they came just before the first frame of this one.

        Parameters
        ----------
        pictures : sequence of (drawings of one frame, (H, W, 3) uint8 RGB)
            Of any size.
        """
        size = self.height, self.width
        for number, (drawn, picture) in enumerate(pictures):
            self.height, self.width = picture.shape[:2]
            self._by_frame = {number: list(drawn)}
            self.step(number, picture)
        self.height, self.width = size
        self._by_frame, self._offset = {}, len(pictures)

    def step(self, frame_index: int, picture: npt.NDArray[np.uint8]) -> TrackedFrame:
        """Find the ROIs in the next frame; those that were not drawn yet are left out.

        Parameters
        ----------
        frame_index : int
            Frames come in ascending or in descending order.
        picture : (H, W, 3) uint8 array
            RGB.
        """
        import torch

        frame_index += self._offset
        reverse = self._last is not None and frame_index < self._last
        self._last = frame_index
        self._draw(frame_index)
        if self._session.get_obj_num() == 0:
            return TrackedFrame(np.zeros((self.height, self.width), np.uint8))
        with torch.inference_mode():
            pixels = to_pixels(picture, self._sam2)
            answer = self._sam2.model(self._session, frame=pixels, frame_idx=frame_index, reverse=reverse)
            logits = torch.nn.functional.interpolate(
                answer.pred_masks.float(), (self.height, self.width), mode="bilinear", align_corners=False
            )[:, 0]
            best, which = logits.max(dim=0)
            found = torch.where(best > 0, which + 1, 0).to(torch.uint8).cpu().numpy()
            scores = torch.sigmoid(answer.object_score_logits.float()).flatten().cpu().numpy()
        self._forget(frame_index)
        ids = np.array([0, *answer.object_ids], np.uint8)
        mask = ids[found]
        present = np.bincount(mask.ravel(), minlength=256)
        confidence = {
            int(roi): float(score) if present[roi] else 0.0
            for roi, score in zip(answer.object_ids, scores, strict=True)
        }
        return TrackedFrame(mask, confidence)

    def _draw(self, frame_index: int) -> None:
        """Hand what is drawn on a frame to the model: an outline as a mask; else box and points."""
        import torch

        drawn = self._by_frame.get(frame_index, [])
        session, size = self._session, self._sam2.size
        news = []
        for roi in dict.fromkeys(prompt.roi for prompt in drawn):
            own = [prompt for prompt in drawn if prompt.roi == roi]
            number = session.obj_id_to_idx(roi)
            if needs_mask(own):
                area = prompt_mask(drawn, self.height, self.width) == roi
                if not area.any():
                    raise RoiError(f"Nothing is left of ROI {roi} on frame {frame_index}. Draw it again.")
                session.add_mask_inputs(number, frame_index, _as_mask_input(area, size))
                session.remove_point_inputs(number, frame_index)
            else:
                points, labels = _as_points(own)
                scale = np.array([size / self.width, size / self.height])
                session.add_point_inputs(
                    number,
                    frame_index,
                    {
                        "point_coords": torch.tensor(points * scale, dtype=torch.float32)[None, None],
                        "point_labels": torch.tensor(labels, dtype=torch.int32)[None, None],
                    },
                )
                session.remove_mask_inputs(number, frame_index)
            news.append(roi)
        if news:
            session.obj_with_new_inputs = news

    def _forget(self, frame_index: int) -> None:
        """Drop what the model will never look back at."""
        session, config = self._session, self._sam2.model.config
        session.processed_frames.clear()
        session.cache.clear_all()
        for number, outputs in session.output_dict_per_obj.items():
            for kind in ("cond_frame_outputs", "non_cond_frame_outputs"):
                for entry in outputs[kind].values():
                    entry.pop("high_res_masks", None)
            recent = outputs["non_cond_frame_outputs"]
            for index in list(recent):
                age = abs(frame_index - index)
                if age >= max(config.max_object_pointers_in_encoder, config.num_maskmem):
                    del recent[index]
                    continue
                recent[index].pop("pred_masks", None)
            tracked = session.frames_tracked_per_obj[number]
            for index in list(tracked):
                if index != frame_index:
                    del tracked[index]
            for inputs in (session.point_inputs_per_obj[number], session.mask_inputs_per_obj[number]):
                inputs.clear()

    def state(self) -> dict[str, Any]:
        """Return all that the next frame depends on, on the CPU: tensors, numbers, lists and mappings of them."""
        session = self._session
        return {
            "last": self._last,
            "offset": self._offset,
            "ids": list(session.obj_ids),
            "outputs": [
                {
                    kind: {
                        index: {key: entry[key].cpu() for key in _KEPT if key in entry}
                        for index, entry in table.items()
                    }
                    for kind, table in session.output_dict_per_obj[number].items()
                }
                for number in range(session.get_obj_num())
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        session = self._session
        session.reset_inference_session()
        session.processed_frames = {}
        self._last, self._offset = state["last"], state["offset"]
        if self._offset:
            self._by_frame = {}
        for roi, outputs in zip(state["ids"], state["outputs"], strict=True):
            number = session.obj_id_to_idx(roi)
            session.output_dict_per_obj[number] = {
                kind: {
                    index: {key: value.to(self._sam2.device) for key, value in entry.items()}
                    for index, entry in table.items()
                }
                for kind, table in outputs.items()
            }


def needs_mask(drawn: Sequence[Prompt]) -> bool:
    """Say whether the drawings of one ROI on one frame are an outline: anything but points and at most one box."""
    kinds = [prompt.kind for prompt in drawn]
    erased = any(prompt.kind != "point" and not prompt.positive[0] for prompt in drawn)
    return erased or kinds.count("box") > 1 or any(kind not in ("box", "point") for kind in kinds)


def _as_points(drawn: Sequence[Prompt]) -> tuple[npt.NDArray[np.float64], list[int]]:
    """Return coordinates (m, 2) and the model's labels: a box's corners are 2 and 3, points 1 (on it) or 0."""
    points: list[npt.NDArray[np.float64]] = []
    labels: list[int] = []
    for prompt in sorted(drawn, key=lambda prompt: prompt.kind != "box"):
        points.append(prompt.data.reshape(-1, 2))
        labels += [2, 3] if prompt.kind == "box" else [int(sign) for sign in prompt.positive]
    return np.concatenate(points), labels


def _as_mask_input(area: npt.NDArray[np.bool_], size: int) -> Any:
    import torch

    mask = torch.from_numpy(area.astype(np.float32))[None, None]
    scaled = torch.nn.functional.interpolate(
        mask, size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )
    return (scaled >= 0.5).float()


def to_pixels(picture: npt.NDArray[np.uint8], sam2: Sam2) -> Any:
    """Return a frame as the model wants it: (1, 3, size, size), normalised."""
    import torch

    image = torch.from_numpy(np.ascontiguousarray(picture)).to(sam2.device).permute(2, 0, 1)[None].float()
    scaled = torch.nn.functional.interpolate(
        image, size=(sam2.size, sam2.size), mode="bilinear", align_corners=False, antialias=True
    )
    mean = torch.tensor(sam2.mean, device=sam2.device).view(1, 3, 1, 1)
    std = torch.tensor(sam2.std, device=sam2.device).view(1, 3, 1, 1)
    return ((scaled / 255 - mean) / std).to(sam2.dtype)
