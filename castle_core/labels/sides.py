"""Which keypoints are the left and the right one of a pair, by their names."""

import re
from collections.abc import Sequence

_TOKENS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^A-Za-z0-9]+")
_WORD = re.compile(r"left|right", re.IGNORECASE)
_OTHER = {"left": "right", "right": "left", "l": "r", "r": "l"}


def side_pairs(keypoints: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Return the pairs of places (left, right) whose names differ in their side only.

    Sides are the words left and right, a letter l or r that stands alone, and codes such as LH and RF. Numbers in the
    names do not matter where the side is told by a code: ``paw1LH`` and ``paw4RH`` are a pair.
    """
    plain = {name: _plain(name) for name in keypoints}
    pairs = []
    taken: set[str] = set()
    for name in keypoints:
        side, mirrored = _mirrored(name)
        if side != "left" or name in taken:
            continue
        candidates = [other for other in keypoints if other != name and other.lower() == mirrored.lower()]
        if not candidates:
            candidates = [other for other in keypoints if other != name and plain[other] == _plain(mirrored)]
        free = [other for other in candidates if other not in taken]
        if len(free) == 1:
            pairs.append((list(keypoints).index(name), list(keypoints).index(free[0])))
            taken |= {name, free[0]}
    return tuple(pairs)


def _plain(name: str) -> str:
    return re.sub(r"\d", "", name).lower()


def _mirrored(name: str) -> tuple[str, str]:
    """Return the side that a name tells (empty if none) and the name of the other side."""
    word = _WORD.search(name)
    if word:
        other = _OTHER[word[0].lower()]
        other = other.upper() if word[0].isupper() else other.capitalize() if word[0][0].isupper() else other
        return word[0].lower(), name[: word.start()] + other + name[word.end() :]
    tokens = _TOKENS.findall(name)
    for place, token in enumerate(tokens):
        alone = token.lower() in {"l", "r"}
        code = len(token) == 2 and token.isupper() and token[0] in "LR" and token[1] in "HFBM"
        if alone or code:
            other = _OTHER[token[0].lower()]
            swapped = (other.upper() if token[0].isupper() else other) + token[1:]
            side = "left" if token[0].lower() == "l" else "right"
            return side, "".join([*tokens[:place], swapped, *tokens[place + 1 :]])
    return "", name
