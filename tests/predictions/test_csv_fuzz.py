"""Damaged tables end in one clear line or in a suggestion, never in a traceback."""

import numpy as np
import pytest
from prediction_tables import csv_text, metric_text, walk

from castle_core.errors import CastleError
from castle_core.hard_frames import Source, SuggestConfig, suggest_frames
from castle_core.predictions import load_predictions
from castle_core.score_frames import Knowledge
from castle_core.scores import temporal_norm

PIECES = [
    b",",
    b"\n",
    b'"',
    b"\r",
    b"nan",
    b"inf",
    b"-",
    b"1e999",
    b"\x00",
    b"\xff\xfe",
    b"scorer",
    b"x",
    b" ",
    b";",
    b"9" * 30,
]


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    text = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        size = len(text)
        if not size:
            break
        at, to = sorted(int(i) for i in rng.integers(0, size + 1, 2))
        to = min(to, at + 60)
        kind = int(rng.integers(7))
        if kind == 0:
            del text[at:to]
        elif kind == 1:
            text[at:at] = PIECES[int(rng.integers(len(PIECES)))]
        elif kind == 2:
            text[at : at + 1] = bytes([int(rng.integers(256))])
        elif kind == 3:
            text[at:at] = text[at:to]
        elif kind == 4:
            del text[at:]
        elif kind == 5:  # a whole line moves or doubles
            lines = bytes(text).split(b"\n")
            line = lines[int(rng.integers(len(lines)))]
            lines.insert(int(rng.integers(len(lines) + 1)), line)
            text = bytearray(b"\n".join(lines))
        else:  # a cell changes
            lines = bytes(text).split(b"\n")
            row = int(rng.integers(len(lines)))
            cells = lines[row].split(b",")
            cells[int(rng.integers(len(cells)))] = PIECES[int(rng.integers(len(PIECES)))]
            lines[row] = b",".join(cells)
            text = bytearray(b"\n".join(lines))
    return bytes(text)


def disturb(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage that leaves a table a table: odd numbers, empty cells, rows that are gone or moved."""
    lines = data.split(b"\n")
    for _ in range(int(rng.integers(1, 12))):
        row = int(rng.integers(4, len(lines)))
        cells = lines[row].split(b",")
        kind = int(rng.integers(4))
        if kind < 2 and len(cells) > 1:
            odd = [b"", b"nan", b"inf", b"-1e30", b"0", b"1e999", b"-7.5", b" 3", b"NA"]
            cells[int(rng.integers(1, len(cells)))] = odd[int(rng.integers(len(odd)))]
            lines[row] = b",".join(cells)
        elif kind == 2 and len(lines) > 8:
            del lines[row]
        else:
            cells[1:] = [b""] * (len(cells) - 1)
            lines[row] = b",".join(cells)
    return (b"\r\n" if rng.random() < 0.2 else b"\n").join(lines)


def run(folder, n: int, seed: int) -> dict[str, int]:
    xy = walk(24, 3, seed=1)
    table = csv_text(xy).encode()
    metric = metric_text(temporal_norm(xy)).encode()
    path, metric_path = folder / "fuzz.csv", folder / "fuzz_temporal_norm.csv"
    outcome = {"suggested": 0, "refused": 0}
    lines = []
    for number in range(n):
        rng = np.random.default_rng([seed, number])
        damage = mutate if number % 2 else disturb
        both = number % 5 == 4
        path.write_bytes(table if both else damage(table, rng))
        metric_path.write_bytes(damage(metric, rng) if both else metric)
        try:
            predictions = load_predictions(path)
            source = Source("fuzz", predictions, Knowledge({"temporal_norm": metric_path} if both else {}))
            chosen = suggest_frames(source, SuggestConfig(n=3))
            assert len({pick.frame_index for pick in chosen.picks}) == 3
            outcome["suggested"] += 1
        except CastleError as error:
            outcome["refused"] += 1
            lines.append(str(error))
    assert all(line and "\n" not in line for line in lines)
    assert sorted(p.name for p in folder.iterdir()) == ["fuzz.csv", "fuzz_temporal_norm.csv"]
    return outcome


def test_300_damaged_tables(tmp_path):
    outcome = run(tmp_path, 300, seed=0)
    assert min(outcome.values()) > 60, outcome


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_10000_damaged_tables(tmp_path):
    outcome = run(tmp_path, 10_000, seed=1)
    print(outcome)
    assert sum(outcome.values()) == 10_000
