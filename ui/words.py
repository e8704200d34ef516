"""Text from users and files, made safe for Markdown, and numbers made readable."""

import re

_HUB = re.compile(r"(?:https://)?(huggingface\.co/[\w.\-]+/[\w.\-]*\w)")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-!|~$:&])")


def plain(text: str) -> str:
    """Escape a file name, path or message so that Markdown shows it as it is: no HTML, links, icons or formulas."""
    return _MARKDOWN.sub(r"\\\1", text).replace("\n", " ")


def prose(text: str) -> str:
    """As `plain`, but what stands between backticks is shown as code, and addresses at Hugging Face are links."""
    parts = text.replace("\n", " ").split("`")
    if len(parts) % 2 == 0:  # one backtick has no partner
        return plain(text)
    return "".join(f"`{part}`" if place % 2 else _linked(part) for place, part in enumerate(parts))


def _linked(text: str) -> str:
    parts = _HUB.split(text)
    return "".join(f"[{plain(part)}](https://{part})" if place % 2 else plain(part) for place, part in enumerate(parts))


def code(text: str) -> str:
    """Make text safe between backticks, where Markdown shows everything else as it is."""
    return text.replace("`", "'").replace("\n", " ")[:400]


def counted(n: int, one: str, many: str | None = None) -> str:
    """Write a number with its noun: ``1 frame``, ``1,200 frames``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def percent(done: float, total: float) -> int:
    """Return the whole percentage done, 0 to 100; 100 % only at the end."""
    if total <= 0:
        return 0
    return min(100 if done >= total else 99, max(0, int(100 * done / total)))
