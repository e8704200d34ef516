"""Where a model's weights lie, what is missing, and how it is loaded.

In order: a folder or ``.pth`` file given by path; ``CASTLE_MODELS/<name>/`` (a folder saved by transformers);
``CASTLE_MODELS/<checkpoint>*.pth`` (the publisher's own file); the Hugging Face hub's cache; the hub.
The commit that a download came from is written to ``source.json`` beside the weights and is asked for ever after, so
that a name means the same numbers on this machine next year.
"""

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from castle_core.encoders.base import Encoder, Precision
from castle_core.encoders.table import DEFAULT_ENCODER, ENCODERS, EncoderInfo, Interpolation
from castle_core.errors import EncoderError
from castle_core.files import atomic_write_json, make_folder, safe_name


def models_folder() -> Path:
    """Return the folder of saved models: ``CASTLE_MODELS``, else ``~/.local/share/castle/models``."""
    default = Path.home() / ".local" / "share" / "castle" / "models"
    return Path(os.environ.get("CASTLE_MODELS") or default).expanduser().absolute()


def encoder_slug(name: str) -> str:
    """Return the name that files carry: the table's name, a folder's name, or a hub id with ``--`` for the slash."""
    if name in ENCODERS:
        return name
    path = Path(name).expanduser()
    if path.exists():
        return safe_name(path.resolve().stem if path.is_file() else path.resolve().name)
    return safe_name(re.sub(r"[^\w.\-]", "-", name.replace("/", "--")))


@dataclass(frozen=True)
class EncoderStatus:
    """Whether a model can run here, and what to do if not.

    Attributes
    ----------
    name : str
        As it was asked for.
    state : {"ready", "download", "gated", "missing"}
        On this disk (or needs no weights); can be downloaded; can be downloaded after consent; not to be found.
    size_bytes : int
        Size on disk, or of the download (four bytes a weight).
    where : str
        Path of the weights, or the hub id.
    advice : str
        One line for the user; empty when ready.
    """

    name: str
    state: Literal["ready", "download", "gated", "missing"]
    size_bytes: int
    where: str
    advice: str = ""


def _local_source(name: str) -> Path | None:
    """Find the folder or checkpoint of `name` on this disk."""
    given = Path(name).expanduser()
    if (name not in ENCODERS or os.sep in name) and given.exists():
        return given
    saved = models_folder() / encoder_slug(name)
    if (saved / "config.json").is_file():
        return saved
    info = ENCODERS.get(name)
    if info and info.checkpoint_stem and models_folder().is_dir():
        files = sorted(models_folder().glob(f"{info.checkpoint_stem}*.pth"))
        if files:
            return files[0]
    return None


def _hub_cached(hub_id: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(hub_id, "config.json")
    except ValueError:  # not a hub id at all
        return None
    folder = Path(found).parent if isinstance(found, str) else None
    has_weights = folder is not None and any(folder.glob("*.safetensors"))
    return folder if has_weights else None


def encoder_status(name: str) -> EncoderStatus:
    """Say whether the model called `name` (table name, path or hub id) can run, without loading it."""
    info = ENCODERS.get(name)
    if info and not info.hub_id:
        return EncoderStatus(name, "ready", 0, "built in")
    source = _local_source(name)
    if source is None:
        source = _hub_cached(info.hub_id if info else name)
    if source is not None:
        files = [source] if source.is_file() else [p for p in source.rglob("*") if p.is_file()]
        return EncoderStatus(name, "ready", sum(p.stat().st_size for p in files), str(source))
    folder = models_folder()
    if info and info.gated:
        advice = (
            f"{name} must be unlocked once: accept the licence at huggingface.co/{info.hub_id}, set HF_TOKEN, "
            f"then run `castle models get {name}`; or copy {info.checkpoint_stem}*.pth into {folder}."
        )
        return EncoderStatus(name, "gated", 4 * info.n_parameters, info.hub_id, advice)
    if info:
        advice = f"Run `castle models get {name}` once, or copy a saved model to {folder / name}."
        return EncoderStatus(name, "download", 4 * info.n_parameters, info.hub_id, advice)
    if re.fullmatch(r"[\w.\-]+/[\w.\-]+", name):
        return EncoderStatus(name, "download", 0, name, f"Run `castle models get {name}` to download it from the hub.")
    known = ", ".join(ENCODERS)
    return EncoderStatus(
        name,
        "missing",
        0,
        "",
        f"There is no encoder {name!r}. Choose one of {known}, a model folder, or a hub id like owner/model.",
    )


def load_encoder(
    name: str,
    *,
    device: str = "cpu",
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
    input_size: int | None = None,
) -> Encoder:
    """Load a visual model from this disk; nothing is downloaded here (see `get_model`).

    Parameters
    ----------
    name : str
        A name of the table, a folder saved by transformers, a ``.pth`` checkpoint, or a hub id that was downloaded.
    device : str
        A torch device: ``cpu``, ``cuda``, ``cuda:1``.
    precision : {"auto", "fp32", "bf16", "fp16"}
        "auto" is fp32 on a CPU and fp16 on a GPU.
    input_size : int, optional
        Edge of the square input (pixels), a multiple of the patch size; by default the table's, or the model's own.

    Returns
    -------
    Encoder
        Ready to run.

    Raises
    ------
    EncoderError
        If the weights are missing, gated, damaged or of another kind; one line that says what to do.
    """
    info = ENCODERS.get(name)
    if info and not info.hub_id:
        from castle_core.encoders.hog import HogEncoder

        return HogEncoder(input_size or info.input_size)
    status = encoder_status(name)
    if status.state != "ready":
        raise EncoderError(status.advice)
    from castle_core.encoders.checkpoints import model_from_checkpoint
    from castle_core.encoders.transformer import TransformerEncoder, folder_normalisation

    source = Path(status.where)
    normalisation: dict[str, tuple[float, ...]] = {}
    if source.is_file():
        model = model_from_checkpoint(source)
    else:
        model = _model_from_folder(source)
        mean, std = folder_normalisation(source)
        normalisation = {"mean": mean, "std": std}
    chosen: Precision = ("fp32" if device == "cpu" else "fp16") if precision == "auto" else precision
    family: Interpolation = "bicubic" if "dinov3" in type(model).__name__.lower() else "bilinear"
    return TransformerEncoder(
        model,
        name=encoder_slug(name),
        input_size=input_size or _natural_size(info, model.config),
        interpolation=info.interpolation if info else family,
        device=device,
        precision=chosen,
        **normalisation,
    )


def natural_input(name: str) -> tuple[int, Interpolation]:
    """Return the input size (pixels) and the interpolation that `load_encoder` gives a model, without loading it.

    Of a model whose configuration is not on this disk, those of DINOv2.
    """
    if info := ENCODERS.get(name):
        return info.input_size, info.interpolation
    usual = ENCODERS[DEFAULT_ENCODER]
    source = _local_source(name) or _hub_cached(name)
    if source is None:
        return usual.input_size, usual.interpolation
    try:
        values = json.loads((source / "config.json").read_text(encoding="utf-8"))
        size = _natural_size(None, SimpleNamespace(**values))
    except (OSError, ValueError, TypeError, EncoderError):
        return usual.input_size, usual.interpolation
    return size, "bicubic" if "dinov3" in str(values.get("model_type")).lower() else "bilinear"


def _natural_size(info: EncoderInfo | None, config: Any) -> int:
    from castle_core.encoders.transformer import encoder_stride

    if info:
        return info.input_size
    stride = encoder_stride(config)
    size = getattr(config, "image_size", None) or 224
    size = size[0] if isinstance(size, list | tuple) else size
    return max(1, round(size / stride)) * stride


@contextlib.contextmanager
def _no_bar() -> Iterator[None]:
    """Keep the library's bar, which runs through in a moment, out of people's terminals."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _model_from_folder(folder: Path) -> Any:
    from transformers import AutoModel

    if not (folder / "config.json").is_file():
        raise EncoderError(
            f"{folder} holds no config.json, so it is not a saved model. Choose the folder that save_pretrained wrote."
        )
    try:
        with _no_bar():
            model = AutoModel.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, use_safetensors=True
            )
    except Exception as error:  # whatever the file holds, the user needs one line
        detail = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise EncoderError(
            f"The model in {folder} cannot be loaded ({detail}). It may be incomplete; get it again with "
            "`castle models get`, or save it with save_pretrained (safetensors)."
        ) from error
    return model.eval()


def get_model(name: str) -> Path:
    """Download a model from the hub into `models_folder` and pin the commit it came from.

    Parameters
    ----------
    name : str
        A table name or a hub id.

    Returns
    -------
    Path
        The model's folder.

    Raises
    ------
    EncoderError
        If the hub cannot be reached, asks for consent, or has no such model.
    """
    import json

    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    info = ENCODERS.get(name)
    if info and not info.hub_id:
        raise EncoderError(f"{name} needs no weights; there is nothing to download.")
    if info is None and "/" not in name:
        raise EncoderError(
            f"There is no model {name!r}. `castle models list` shows those that are known; others are named as on the "
            "Hugging Face hub, with their owner: owner/model."
        )
    hub_id = info.hub_id if info else name
    target = make_folder(models_folder()) / encoder_slug(name)
    pinned = target / "source.json"
    revision = json.loads(pinned.read_text(encoding="utf-8"))["revision"] if pinned.is_file() else None
    staging = Path(tempfile.mkdtemp(prefix=".get-", dir=models_folder()))
    try:
        patterns = ["config.json", "preprocessor_config.json", "*.safetensors", "*.safetensors.index.json", "LICENSE*"]
        cached = Path(snapshot_download(hub_id, revision=revision, allow_patterns=patterns))
        for path in cached.iterdir():
            shutil.copyfile(path.resolve(), staging / path.name)
        atomic_write_json(staging / "source.json", {"hub_id": hub_id, "revision": cached.name})
        _model_from_folder(staging)
        if target.exists():
            shutil.rmtree(target)
        staging.rename(target)
    except GatedRepoError as error:
        raise EncoderError(
            encoder_status(name).advice or f"{hub_id} asks for consent at huggingface.co/{hub_id}."
        ) from error
    except RepositoryNotFoundError as error:
        raise EncoderError(
            f"The hub has no model {hub_id} (or it is private). Check the name, and HF_TOKEN if it is private."
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise EncoderError(
            f"{hub_id} could not be downloaded ({type(error).__name__}). Check the internet connection, or copy "
            f"a saved model to {target}."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def add_model(source: Path) -> Path:
    """Copy a saved model folder or a ``.pth`` checkpoint into `models_folder`, after checking that it loads.

    Raises
    ------
    EncoderError
        If it cannot be loaded, or a model of that name is there already.
    """
    from castle_core.encoders.checkpoints import model_from_checkpoint

    folder = make_folder(models_folder())
    target = folder / safe_name(source.resolve().name)
    if target.exists():
        raise EncoderError(f"{target} exists already. Remove or rename it first.")
    if source.is_file():
        model_from_checkpoint(source)
    else:
        _model_from_folder(source)
    staging = Path(tempfile.mkdtemp(prefix=".add-", dir=folder))
    try:
        copied = staging / target.name
        if source.is_file():
            shutil.copyfile(source, copied)
        else:
            shutil.copytree(source, copied)
        copied.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target
