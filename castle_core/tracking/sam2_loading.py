"""Loads a SAM 2 video model: from a folder, or from the hub at a fixed revision."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from castle_core.errors import EncoderError

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=False)
class Sam2:
    """A loaded model.

    Attributes
    ----------
    model : transformers.Sam2VideoModel
    device : str
    dtype : torch.dtype
    size : int
        Edge (pixels) of the square that it sees.
    mean, std : tuple of float
        Of its pictures, for values 0 … 1, RGB.
    name : str
        As asked for, with the commit where it came from the hub.
    """

    model: Any
    device: str
    dtype: Any
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    name: str


def load_sam2(name: str, *, device: str | None = None, precision: Literal["auto", "fp32", "bf16"] = "auto") -> Sam2:
    """Load a model.

    Parameters
    ----------
    name : str
        A folder that transformers saved, or a hub id, optionally ``owner/model@revision``. What is in the hub's cache
        already is taken from there; else it is downloaded.
    device : str, optional
        A torch device; by default the first GPU, or the CPU.
    precision : {"auto", "fp32", "bf16"}
        "auto" is bf16 on a GPU and fp32 on a CPU.

    Raises
    ------
    EncoderError
        If there is no such model, it cannot be downloaded, or it is of another kind; one line that says what to do.
    """
    import torch

    source, revision = _source(name)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if precision == "bf16" or (precision == "auto" and device != "cpu") else torch.float32
    config = _from_pretrained(name, source, revision, "config")
    if config.get("model_type") not in ("sam2_video", "sam2"):
        raise EncoderError(
            f"{name} is a model of type {config.get('model_type')!r}, not SAM 2. Choose facebook/sam2.1-hiera-small, "
            "its -tiny, -base-plus or -large, or a folder that holds one of them."
        )
    model = _exact_places(_from_pretrained(name, source, revision, "model"), device, dtype)
    preprocessing = _from_pretrained(name, source, revision, "preprocessing")
    size = model.config.image_size
    commit = getattr(model.config, "_commit_hash", None)
    return Sam2(
        model,
        device,
        dtype,
        int(size if isinstance(size, int) else size[0]),
        tuple(preprocessing.get("image_mean") or _MEAN),
        tuple(preprocessing.get("image_std") or _STD),
        f"{source}@{commit}" if commit else str(source),
    )


def _exact_places(model: Any, device: str, dtype: Any) -> Any:
    """Move a model to a device and a precision, but have places worked out in fp32.

    Of 1024 pixels bf16 tells only every fourth one apart, so clicks and corners of boxes would shift.
    """
    import torch

    places = [model.prompt_encoder.shared_embedding, model.shared_image_embedding]
    exact = [place.positional_embedding.detach().to(device=device, dtype=torch.float32, copy=True) for place in places]
    model = model.to(device=device, dtype=dtype).eval()
    if dtype != torch.float32:
        for place, frequencies in zip(places, exact, strict=True):
            place.positional_embedding = frequencies
            place.register_forward_hook(lambda module, given, answer: answer.to(dtype))
    return model


def _source(name: str) -> tuple[str, str | None]:
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise EncoderError(f"{folder} holds no config.json, so it is not a saved model. Choose the model's folder.")
        return str(folder), None
    match = re.fullmatch(r"([\w.\-]+/[\w.\-]+)(?:@([\w.\-/]+))?", name)
    if match is None:
        raise EncoderError(
            f"There is no model {name!r}: no such folder, and no hub id like facebook/sam2.1-hiera-small. "
            "Give the folder of a saved model, or a hub id."
        )
    return match[1], match[2]


def _from_pretrained(name: str, source: str, revision: str | None, what: str) -> Any:
    """Load one thing, from the disk if it is there."""
    from transformers import Sam2VideoModel
    from transformers.configuration_utils import PreTrainedConfig
    from transformers.utils import cached_file

    def load(local_files_only: bool) -> Any:
        if what == "config":
            return PreTrainedConfig.get_config_dict(source, revision=revision, local_files_only=local_files_only)[0]
        if what == "model":
            return Sam2VideoModel.from_pretrained(
                source, revision=revision, local_files_only=local_files_only, use_safetensors=True
            )
        return _preprocessing(cached_file, source, revision, local_files_only)

    try:
        try:
            return load(True)
        except (OSError, ValueError):
            if Path(source).is_dir():
                raise
            return load(False)
    except Exception as error:  # whatever the hub or the file answers, the user needs one line
        lines = str(error).strip().splitlines()
        detail = lines[0][:200] if lines else type(error).__name__
        raise EncoderError(
            f"The model {name} cannot be loaded ({detail}). Check the name and the network, or copy its folder "
            "(config.json, model.safetensors) to this machine and give the folder."
        ) from error


def _preprocessing(cached_file: Any, source: str, revision: str | None, local_files_only: bool) -> dict[str, Any]:
    """Return the model's own mean and deviation, or nothing where it comes without them."""
    import json

    for file in ("video_preprocessor_config.json", "preprocessor_config.json", "processor_config.json"):
        try:
            path = cached_file(source, file, revision=revision, local_files_only=local_files_only)
        except (OSError, ValueError):
            continue
        if path is not None:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            inner = values.get("video_processor") or values.get("image_processor") or values
            return dict(inner)
    return {}
