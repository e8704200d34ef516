"""SAM 2 as a tracker: the library's own answers, in flat memory, resumable, from boxes, points and masks."""

import numpy as np
import pytest
from tiny_sam2 import save_tiny_sam2

from castle_core.errors import EncoderError, RoiError
from castle_core.prompts import Prompt
from castle_core.tracking.sam2 import Sam2Tracker, to_pixels
from castle_core.tracking.sam2_loading import load_sam2

torch = pytest.importorskip("torch")
HEIGHT, WIDTH, N = 48, 72, 24  # longer than the 7 masks and 16 pointers that it remembers


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return load_sam2(str(save_tiny_sam2(tmp_path_factory.mktemp("sam2") / "tiny")))


@pytest.fixture(scope="module")
def clip():
    rng = np.random.default_rng(0)
    frames = rng.integers(90, 120, (N, HEIGHT, WIDTH, 3)).astype(np.uint8)
    for i in range(N):
        frames[i, 10:30, 5 + i : 25 + i] = 20
    return frames


def library_logits(tiny, clip, prompts, order):
    """Give the whole clip to the library's own session, draw on the first frame, and let it run through."""
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    pixels = torch.cat([to_pixels(frame, tiny) for frame in clip])
    session = Sam2VideoInferenceSession(pixels, HEIGHT, WIDTH, dtype=torch.float32)
    ids = []
    for prompt in prompts:
        number = session.obj_id_to_idx(prompt.roi)
        if prompt.kind == "mask":
            mask = torch.from_numpy(prompt.data.astype(np.float32))[None, None]
            mask = torch.nn.functional.interpolate(mask, (64, 64), mode="bilinear", antialias=True)
            session.add_mask_inputs(number, prompt.frame_index, (mask >= 0.5).float())
        else:
            scale = np.array([64 / WIDTH, 64 / HEIGHT])
            labels = [2, 3] if prompt.kind == "box" else prompt.positive.astype(int).tolist()
            points = torch.tensor(prompt.data.reshape(1, 1, -1, 2) * scale, dtype=torch.float32)
            session.add_point_inputs(
                number,
                prompt.frame_index,
                {"point_coords": points, "point_labels": torch.tensor(labels, dtype=torch.int32)[None, None]},
            )
        ids.append(prompt.roi)
    session.obj_with_new_inputs = ids
    reverse = order[0] > order[-1]
    result = {}
    with torch.inference_mode():
        for answer in tiny.model.propagate_in_video_iterator(session, start_frame_idx=order[0], reverse=reverse):
            logits = torch.nn.functional.interpolate(answer.pred_masks, (HEIGHT, WIDTH), mode="bilinear")[:, 0]
            result[answer.frame_idx] = logits.numpy()
    return result


def painted(logits, rois):
    best = logits.argmax(axis=0)
    return np.where(logits.max(axis=0) > 0, np.array(rois)[best], 0).astype(np.uint8)


BLOB = np.zeros((HEIGHT, WIDTH), bool)
BLOB[10:30, 5:25] = True
CASES = {
    "mask": [Prompt(0, 3, "mask", BLOB)],
    "box": [Prompt(0, 3, "box", [5, 10, 25, 30])],
    "points": [Prompt(0, 3, "point", [[15, 20], [60, 40]], [True, False])],
    "two": [Prompt(0, 3, "box", [5, 10, 25, 30]), Prompt(0, 9, "mask", np.roll(BLOB, 30, axis=1))],
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("backward", [False, True])
def test_exactly_what_the_librarys_own_session_says(tiny, clip, case, backward):
    order = list(range(N - 1, -1, -1)) if backward else list(range(N))
    prompts = [Prompt(order[0], p.roi, p.kind, p.data, p.positive) for p in CASES[case]]
    expected = library_logits(tiny, clip, prompts, order)
    tracker = Sam2Tracker(tiny, prompts, height=HEIGHT, width=WIDTH)
    rois = [p.roi for p in prompts]
    seen = set()
    for i in order:
        found = tracker.step(i, clip[i])
        np.testing.assert_array_equal(found.mask, painted(expected[i], rois), err_msg=f"frame {i}")
        assert set(found.confidence) == set(rois)
        seen |= set(np.unique(found.mask).tolist())
    assert seen <= {0, *rois}
    assert len(expected) == N


def test_memory_does_not_grow_with_the_video(tiny, clip):
    tracker = Sam2Tracker(tiny, CASES["two"], height=HEIGHT, width=WIDTH)
    kept = []
    for i in range(48):
        tracker.step(i, clip[i % N])
        state = tracker.state()
        kept.append(
            sum(v.numel() for o in state["outputs"] for t in o.values() for e in t.values() for v in e.values())
        )
    assert kept[47] == kept[25]
    assert not tracker._session.processed_frames


def test_a_resumed_tracker_goes_on_exactly(tiny, clip, tmp_path):
    whole = Sam2Tracker(tiny, CASES["two"], height=HEIGHT, width=WIDTH)
    expected = [whole.step(i, clip[i]) for i in range(N)]
    first = Sam2Tracker(tiny, CASES["two"], height=HEIGHT, width=WIDTH)
    for i in range(12):
        first.step(i, clip[i])
    torch.save(first.state(), tmp_path / "state.pt")
    second = Sam2Tracker(tiny, CASES["two"], height=HEIGHT, width=WIDTH)
    second.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    for i in range(12, N):
        found = second.step(i, clip[i])
        np.testing.assert_array_equal(found.mask, expected[i].mask)
        assert found.confidence == expected[i].confidence


def test_a_roi_that_is_drawn_later_joins_then_and_a_correction_is_taken(tiny, clip):
    prompts = [Prompt(0, 1, "mask", BLOB), Prompt(5, 2, "mask", np.roll(BLOB, 30, axis=1)), Prompt(8, 1, "mask", BLOB)]
    tracker = Sam2Tracker(tiny, prompts, height=HEIGHT, width=WIDTH)
    found = [tracker.step(i, clip[i]) for i in range(12)]
    assert set(found[4].confidence) == {1}
    assert set(found[5].confidence) == {1, 2}
    drawn = found[8].mask == 1
    assert (drawn & BLOB).sum() / (drawn | BLOB).sum() > 0.8


def test_half_precision_runs(clip, tmp_path):
    half = load_sam2(str(save_tiny_sam2(tmp_path / "tiny")), precision="bf16")
    tracker = Sam2Tracker(half, CASES["two"], height=HEIGHT, width=WIDTH)
    for i in range(10):
        found = tracker.step(i, clip[i])
    assert set(np.unique(found.mask)) <= {0, 3, 9}


def test_half_precision_tells_neighbouring_pixels_apart(tmp_path):
    import torch

    folder = str(save_tiny_sam2(tmp_path / "tiny"))
    whole, half = (load_sam2(folder, precision=precision).model for precision in ("fp32", "bf16"))
    for model in (whole, half):
        model.prompt_encoder.input_image_size = 1024  # of the published models
    points = torch.tensor([[[[x, 1000.5] for x in (1000.0, 1001.0, 1002.0, 1003.0)]]])
    labels = torch.ones((1, 1, 4), dtype=torch.int32)
    exact, found = (m.prompt_encoder(points, labels, None, None)[0][0, 0, :4].float() for m in (whole, half))
    torch.testing.assert_close(found, exact, atol=0.05, rtol=0.02)
    assert torch.unique(found, dim=0).shape[0] == 4
    image = half.get_image_wide_positional_embeddings()
    assert image.dtype == torch.bfloat16
    torch.testing.assert_close(image.float(), whole.get_image_wide_positional_embeddings(), atol=0.02, rtol=0.02)


@pytest.mark.parametrize(
    ("name", "words"), [("no such thing", "hub id"), ("/", "config.json"), ("owner-without/model@x y", "hub id")]
)
def test_a_missing_model_says_what_to_do(name, words):
    with pytest.raises(EncoderError, match=words):
        load_sam2(name)


def test_another_kind_of_model_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "dinov2"}')
    with pytest.raises(EncoderError, match="not SAM 2"):
        load_sam2(str(tmp_path))


def test_no_drawing_is_refused(tiny):
    with pytest.raises(RoiError, match="Nothing is drawn"):
        Sam2Tracker(tiny, [], height=HEIGHT, width=WIDTH)
