"""Write docs/cli.md from the commands themselves, so that it says what they take: python scripts/make_cli_docs.py"""

import inspect
from pathlib import Path
from typing import Any

import typer

from castle_core.cli.app import app

ROOT = Path(__file__).resolve().parent.parent
INTRO = """# Command line

The same engine without a browser. `castle COMMAND --help` says the same as this page, which is made from it
(`scripts/make_cli_docs.py`).

- Projects and videos are named by path or, inside `CASTLE_HOME`, by name.
- A bound is a fraction (`0.8`), a time (`90s`, `00:01:30.5`) or a frame (`1200f`). Ranges are half-open: the frame at
  the end does not belong to them.
- `--json` prints one JSON object on standard output; everything else goes to standard error.
- Exit codes: 0; 1 if something failed (one line says what, which file or frame, and what to do; `castle --debug …` adds
  the traceback); 2 for wrong usage.
"""
ORDER = ["serve", "users", "demo", "info", "select", "suggest", "export-frames", "import-zip"]
JSON_FIELDS = {
    "demo": "`videos`, `encoders`, `zips`",
    "info": "`n_frames`, `width`, `height`, `average_fps`, `duration_s`, `codec`, `keyframes`, `variable_frame_rate`",
    "select": "`picks` (each `video`, `frame_index`, `time_s`, `reason`, `score`), `coverage` (`mean`, `p95`, "
    "`uniform_mean`, `random_mean`), `min_gap_used`, `frames_decoded`",
    "suggest": "`picks` as for select, each with `reason` and `scores`",
    "export-frames": "`written`, `kept`, `directory`",
    "import-zip": "`ok`, `problems` (each `file`, `problem`, `fix`, `severity`, `zip`), `fixes`, `frames`, "
    "`context_frames`, `zips`, `imported`; what they mean: [zip-of-frames.md](zip-of-frames.md)",
    "latents": "`outputs` (each `video`, `roi`, `pooling`, `path`, `n_frames`, `dim`, `nan_rows`, `seconds`), "
    "`skipped` (`path`, `reason`), `failed`",
}


def describe(name: str, command: Any, prefix: str = "castle") -> list[str]:
    """Return the lines about one command, or about all commands of a group."""
    children = getattr(command, "commands", None)
    if children:
        lines = [f"## {prefix} {name}", "", _prose(command.help), ""]
        for child_name, child in children.items():
            lines += [line.replace("## ", "### ", 1) for line in describe(child_name, child, f"{prefix} {name}")]
        return lines
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    usage = " ".join([f"{prefix} {name}", *(_argument(p) for p in arguments), *(["[options]"] if options else [])])
    lines = [f"## {prefix} {name}", "", _prose(command.help), "", f"`{usage}`", ""]
    rows = [(f"`{_argument(p)}`", p.help) for p in arguments] + [(_option(p), _help(p)) for p in options]
    if rows:
        lines += ["| | |", "|---|---|", *(f"| {left} | {_cell(right)} |" for left, right in rows), ""]
    if prefix == "castle" and name in JSON_FIELDS:
        lines += [f"JSON: {JSON_FIELDS[name]}.", ""]
    return lines


def _prose(text: str | None) -> str:
    return inspect.cleandoc(text or "")


def _argument(parameter: Any) -> str:
    shown = str(parameter.metavar or parameter.name).strip("{}[]").removesuffix("...").upper()
    return f"{shown}..." if parameter.nargs == -1 else shown


def _option(parameter: Any) -> str:
    names = " / ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    return names if getattr(parameter, "is_flag", False) else f"{names} {parameter.metavar or ''}".rstrip()


def _help(parameter: Any) -> str:
    default = parameter.default
    is_flag = getattr(parameter, "is_flag", False)
    if is_flag or default is None or callable(default) or default == "" or parameter.required:
        return str(parameter.help or "") + (" Required." if parameter.required else "")
    return f"{parameter.help or ''} Default: {default}."


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def main() -> None:
    """Write the page."""
    group = typer.main.get_command(app)
    commands = dict(group.commands)  # type: ignore[attr-defined]
    names = [name for name in ORDER if name in commands] + sorted(set(commands) - set(ORDER))
    lines = [INTRO]
    for name in names:
        lines += describe(name, commands[name])
    text = "\n".join(lines).rstrip() + "\n"
    (ROOT / "docs" / "cli.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
