"""What the user set on the page: one flat record of plain values, and the settings of a job that follow from it."""

import json
import re
from collections.abc import Mapping
from typing import Any

import streamlit as st

from castle_core.encoders.table import DEFAULT_ENCODER
from castle_core.errors import CastleError, ConfigError
from castle_core.job_functions.latents import config_from_json
from castle_core.projects import Project
from castle_core.ranges import parse_bound

SECTION = "extract_latent"
OTHER_MODEL = "other"
_PREFIX = "latent-"
_LOADED = "latent-form-of"

DEFAULTS: dict[str, Any] = {
    "encoder": DEFAULT_ENCODER,
    "encoder_other": "",
    "roi_ids": "1",
    "batch_size": 32,
    "batch_auto": False,
    "videos": [],
    "skip_existing": True,
    "when_different": "recompute",
    "start": "0",
    "stop": "1",
    "every": 1,
    "input_size": None,
    "precision": "auto",
    "center": False,
    "center_roi": 1,
    "width": 300,
    "height": 300,
    "rotate": False,
    "tail_roi": 2,
    "tail_point": "nearest",
    "remove_background": False,
    "keep": "all",
    "smooth": False,
    "fill_gaps": 0,
    "letterbox": False,
    "module": "none",
    "outputs": ["roi-mean"],
    "points": [],
    "interpolation": "bilinear",
    "likelihood_threshold": 0.6,
    "angles": 7,
    "stack": False,
}
PREPROCESS_FIELDS = (
    "center",
    "center_roi",
    "width",
    "height",
    "rotate",
    "tail_roi",
    "tail_point",
    "remove_background",
    "keep",
    "smooth",
    "fill_gaps",
    "letterbox",
)
# Center ROI, Rotate based on Tail, Remove Background
PRESETS = {
    "General behavior": (True, False, False),
    "Posture analysis": (True, True, True),
    "Locomotion patterns": (True, True, False),
    "No preprocessing": (False, False, False),
}


def key_of(name: str) -> str:
    """Return the widget's key of a setting."""
    return _PREFIX + name


def load_form(values: Mapping[str, Any]) -> None:
    """Put settings into the widgets; what is missing or of another type gets its default."""
    for name, default in DEFAULTS.items():
        value = values.get(name, default)
        fits = isinstance(value, type(default)) or (default is None and isinstance(value, int))
        st.session_state[key_of(name)] = value if fits else default


def settle_form(project: Project) -> None:
    """Load the project's saved settings where the widgets show nothing yet, or another project's."""
    if st.session_state.get(_LOADED) != str(project.path):
        saved = project.settings(SECTION).get("form")
        load_form(saved if isinstance(saved, dict) else {})
        st.session_state[_LOADED] = str(project.path)
    for name, default in DEFAULTS.items():
        st.session_state.setdefault(key_of(name), default)


def current_form() -> dict[str, Any]:
    """Return the settings as the widgets show them."""
    return {name: st.session_state.get(key_of(name), default) for name, default in DEFAULTS.items()}


def apply_preset(name: str) -> None:
    """Set Center ROI, Rotate based on Tail and Remove Background as the preset says."""
    for field, value in zip(("center", "rotate", "remove_background"), PRESETS[name], strict=True):
        st.session_state[key_of(field)] = value


def preset_of(form: Mapping[str, Any]) -> str | None:
    """Return the preset that the settings agree with."""
    three = bool(form["center"]), bool(form["center"] and form["rotate"]), bool(form["remove_background"])
    return next((name for name, values in PRESETS.items() if values == three), None)


def read_roi_ids(text: str) -> list[int]:
    """Read ROI IDs: numbers with commas or spaces between.

    Raises
    ------
    ConfigError
        If there is none, or something is no number.
    """
    parts = [part for part in re.split(r"[\s,;]+", text.strip()) if part]
    if not parts or not all(part.isascii() and part.isdigit() and len(part) < 4 for part in parts):
        raise ConfigError(f"Enter ROI ID: {text!r} is not a list of numbers. Write e.g. 1 or 1, 2.")
    if too_large := [part for part in parts if int(part) > 255]:
        raise ConfigError(f"Enter ROI ID: {too_large[0]} cannot be: ROIs are 1 to 255, and 0 is the whole frame.")
    return [int(part) for part in parts]


def roi_problem(form: Mapping[str, Any]) -> str:
    """Say what is wrong with Enter ROI ID; empty if nothing is."""
    try:
        read_roi_ids(form["roi_ids"])
    except ConfigError as error:
        return str(error)
    return ""


def range_problem(form: Mapping[str, Any]) -> str:
    """Say what is wrong with From or To; empty if nothing is."""
    for label, name, default in (("From", "start", "0"), ("To", "stop", "1")):
        try:
            parse_bound(str(form[name]).strip() or default)
        except CastleError as error:
            return f"{label}: {error}"
    return ""


def preprocess_settings(form: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `Preprocess`; size and rotation act only with Center ROI on."""
    center = bool(form["center"])
    return {
        "center_roi": int(form["center_roi"]) if center else None,
        "crop_width": int(form["width"]),
        "crop_height": int(form["height"]),
        "tail_roi": int(form["tail_roi"]) if center and form["rotate"] else None,
        "tail_point": str(form["tail_point"]),
        "remove_background": str(form["keep"]) if form["remove_background"] else None,
        "smooth_s": 0.1 if center and form["smooth"] else 0.0,
        "fill_gaps": int(form["fill_gaps"]) if center else 0,
        "letterbox": bool(form["letterbox"]),
    }


def encoder_of(form: Mapping[str, Any]) -> str:
    """Return the model's name, folder or name on the Hugging Face hub."""
    return str(form["encoder_other"]).strip() if form["encoder"] == OTHER_MODEL else str(form["encoder"])


def config_settings(form: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `ExtractConfig` as JSON, checked.

    Raises
    ------
    ConfigError
        If a value cannot be; the message says what to change.
    """
    module = form["module"]
    poolings = {"global": ["global"], "point": ["point"]}.get(module) or list(form["outputs"])
    if not poolings:
        raise ConfigError("Choose at least one Output in the Post-Encoder Module.")
    if not encoder_of(form):
        raise ConfigError("Name a visual model: a folder on the server, or a name on Hugging Face like owner/model.")
    settings = {
        "encoder": encoder_of(form),
        "roi_ids": read_roi_ids(form["roi_ids"]),
        "preprocess": preprocess_settings(form),
        "poolings": poolings,
        "points": list(form["points"]) if module == "point" else [],
        "interpolation": form["interpolation"],
        "likelihood_threshold": float(form["likelihood_threshold"]),
        "input_size": int(form["input_size"]) if form["input_size"] else None,
        "precision": form["precision"],
        "batch_size": None if form["batch_auto"] else int(form["batch_size"]),
        "start": str(form["start"]).strip() or "0",
        "stop": str(form["stop"]).strip() or "1",
        "every": int(form["every"]),
    }
    config_from_json(settings)
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain


def job_settings(form: Mapping[str, Any], action: str) -> dict[str, Any]:
    """Return what the job ``latents`` takes for Extract (``latent``), ``crop`` or ``rotation``."""
    return {
        "videos": list(form["videos"]),
        "config": config_settings(form),
        "latent": action == "latent",
        "rotation": int(form["angles"]) if action == "rotation" else 0,
        "stack": bool(form["stack"]) if action == "rotation" else False,
        "crop_video": action == "crop",
        "skip_existing": bool(form["skip_existing"]),
        "keep_both": form["when_different"] == "keep-both",
        "all_or_nothing": True,
    }


def form_of_job(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Turn an earlier job's settings back into what the widgets show."""
    config = dict(settings.get("config", {}))
    preprocess = dict(config.get("preprocess", {}))
    poolings = list(config.get("poolings", ["roi-mean"]))
    module = {("global",): "global", ("point",): "point"}.get(tuple(poolings), "none")
    return {
        **DEFAULTS,
        "encoder": config.get("encoder", DEFAULT_ENCODER),
        "roi_ids": ", ".join(str(roi) for roi in config.get("roi_ids", [1])),
        "batch_size": config.get("batch_size") or 32,
        "batch_auto": config.get("batch_size", 32) is None,
        "videos": list(settings.get("videos", [])),
        "skip_existing": bool(settings.get("skip_existing", True)),
        "when_different": "keep-both" if settings.get("keep_both") else "recompute",
        "start": str(config.get("start", "0")),
        "stop": str(config.get("stop", "1")),
        "every": int(config.get("every", 1)),
        "input_size": config.get("input_size"),
        "precision": config.get("precision", "auto"),
        "center": preprocess.get("center_roi") is not None,
        "center_roi": preprocess.get("center_roi") or 1,
        "width": preprocess.get("crop_width", 300),
        "height": preprocess.get("crop_height", 300),
        "rotate": preprocess.get("tail_roi") is not None,
        "tail_roi": preprocess.get("tail_roi") or 2,
        "tail_point": preprocess.get("tail_point", "nearest"),
        "remove_background": preprocess.get("remove_background") is not None,
        "keep": preprocess.get("remove_background") or "all",
        "smooth": bool(preprocess.get("smooth_s")),
        "fill_gaps": int(preprocess.get("fill_gaps", 0)),
        "letterbox": bool(preprocess.get("letterbox", False)),
        "module": module,
        "outputs": poolings if module == "none" else ["roi-mean"],
        "points": list(config.get("points", [])),
        "interpolation": config.get("interpolation", "bilinear"),
        "likelihood_threshold": float(config.get("likelihood_threshold", 0.6)),
        "angles": int(settings.get("rotation") or 7),
        "stack": bool(settings.get("stack", False)),
    }


def apply_form(project: Project, form: Mapping[str, Any]) -> None:
    """Fix the preprocessing settings, and save all settings in the project (the button Apply).

    Raises
    ------
    ConfigError
        If they contradict each other.
    ProjectError
        If the project is read-only.
    """
    config_settings(form)
    project.save_settings(SECTION, {"form": dict(form), "preprocess": preprocess_settings(form)})


def applied(project: Project) -> dict[str, Any] | None:
    """Return the preprocessing settings that were fixed by Apply, or None."""
    value = project.settings(SECTION).get("preprocess")
    return value if isinstance(value, dict) else None


def why_not(project: Project, form: Mapping[str, Any]) -> str:
    """Say why nothing may be extracted now; empty if it may."""
    fixed = applied(project)
    if fixed is None:
        return "Please click Apply on the preprocessing settings first."
    if fixed != preprocess_settings(form):
        return "The preprocessing settings changed since Apply. Click Apply again first."
    try:
        config_settings(form)
    except ConfigError as error:
        return str(error)
    return ""
