"""What the documentation says is there: files behind links, commands and options of examples."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from castle_core.cli.app import app

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")])
COMMANDS = typer.main.get_command(app).commands


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset|href)="([^"]+)"', text)
    for target in targets:
        if target.startswith(("http://", "https://", "#", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve()
        assert found.exists(), f"{page.name}: {target}"
        if anchor and found.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", found.read_text(encoding="utf-8"), flags=re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{page.name}: {target}"


def examples(page: Path) -> list[str]:
    """The lines of code blocks that call castle, continued lines joined."""
    blocks = re.findall(r"^\s*```\w*\n(.*?)^\s*```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split(" #")[0].strip() for line in lines if re.match(r"\s*castle [a-z]", line)]


def test_examples_use_what_there_is():
    seen = 0
    for page in PAGES:
        for line in examples(page):
            words = shlex.split(line)[1:]
            command = COMMANDS[words.pop(0)]
            while getattr(command, "commands", None):
                command = command.commands[words.pop(0)]
            known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
            for word in words:
                if word.startswith("-") and not re.fullmatch(r"-[\d.]+", word):
                    assert word.split("=")[0] in known, f"{page.name}: {line}"
            seen += 1
    assert seen > 10


def test_every_command_is_described():
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    missing = [name for name in COMMANDS if f"## castle {name}\n" not in text]
    assert not missing, f"run python scripts/make_cli_docs.py: {missing} are not in docs/cli.md"
