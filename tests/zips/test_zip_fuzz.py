"""Damaged and crafted zips: no crash, no write outside the target folder, no partial import."""

import random
import shutil
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from zip_builders import csv, name, png, zip_bytes

from castle_core.errors import CastleError
from castle_core.projects import Project
from castle_core.zips import import_zip, inspect_zip

pytestmark = pytest.mark.filterwarnings("ignore:Duplicate name")

WINDOWS = [*range(4), *range(141, 146)]
_NAMES = [
    "../img00000009.png",
    "/img00000009.png",
    "a\\b.png",
    "C:img00000009.png",
    "img00000009.PNG",
    "sub/img00000009.png",
    "img9.png",
    "._img00000001.png",
    "__MACOSX/x",
    ".DS_Store",
    "x.zip",
    "img.png",
    "selected_frames.csv",
    "SELECTED_FRAMES.CSV",
    "img00000143.png",
    "img00000143.jpg",
    "img\u0661\u0662.png",
    "img99999999999999999999.png",
    "a" * 300 + "1.png",
    "é\u0301 1.png",
    "img00000009.png/",
    "con.png",
    "notes.txt",
    " .png",
    "-rf 5.png",
    "\ud800".encode("utf-8", "surrogatepass").decode("latin-1") + "5.png",
]
_LINES = [
    b"img00000143.png",
    b"img00000002.png",
    b"../../etc/passwd",
    b"img00000777.png",
    b"",
    b" ",
    b"\xef\xbb\xbf",
    b"\r",
    b"\x00",
    b'"',
    b'"img00000143.png"',
    b"frame",
    b"0,img00000143.png",
    b"img00000143.png;1",
    b"\xff\xfe",
    b"\xe9",
    b"143",
    b"img143.png",
    b"labeled-data/x/img00000143.png",
    b"labeled-data\\x\\img00000143.png",
    b"img" + b"9" * 400 + b".png",
    b",",
    b"\t.png",
]


def base_files(rng: random.Random) -> list[tuple[str, bytes]]:
    files = [(name(index), png(index)) for index in WINDOWS]
    files.append(("selected_frames.csv", csv([0, 143])))
    if rng.random() < 0.1:
        files.pop()
    if rng.random() < 0.3:
        files = [(f"session/{key}", value) for key, value in files]
    return files


def mutate_files(files: list[tuple[str, bytes]], rng: random.Random) -> list[tuple[str, bytes]]:
    """Rename, damage, drop, repeat or replace files before they are packed."""
    files = list(files)
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(files))
        key, value = files[at]
        choice = rng.randrange(7)
        if choice == 0:
            files[at] = (rng.choice(_NAMES), value)
        elif choice == 1:
            files[at] = (key, mutate_bytes(value, rng))
        elif choice == 2 and len(files) > 1:
            del files[at]
        elif choice == 3:
            files.append((rng.choice(_NAMES), value))
        elif choice == 4:
            files[at] = (key, rng.choice([b"", b"text", zip_bytes({"a": b"b"}), png(3, size=(5, 5)), png_with(rng)]))
        elif choice == 5:
            lines = [name(0).encode(), name(143).encode(), *rng.choices(_LINES, k=rng.randrange(1, 4))]
            rng.shuffle(lines)
            files = [(k, b"\n".join(lines) if k.endswith("csv") else v) for k, v in files]
        else:
            files.append((rng.choice(_NAMES), b"x" * rng.randrange(100)))
    return files


def png_with(rng: random.Random) -> bytes:
    """A PNG whose header and data do not agree, with right checksums."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(
        ">2I5B", rng.choice([0, 12, 2**31]), 8, rng.choice([1, 8, 16]), rng.randrange(7), 0, 0, rng.randrange(3)
    )
    data = zlib.compress(rng.randbytes(rng.choice([0, 10, 296, 3000])))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Flip, cut, repeat or overwrite bytes."""
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        if not changed:
            break
        at = rng.randrange(len(changed))
        choice = rng.randrange(6)
        if choice == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif choice == 1:
            del changed[at:]
        elif choice == 2:
            length = rng.randrange(1, 200)
            changed[at:at] = changed[at : at + length]
        elif choice == 3:
            changed[at : at + 4] = struct.pack("<I", rng.choice([0, 1, 0xFFFFFFFF, 0x7FFFFFFF, len(changed)]))
        elif choice == 4:
            del changed[at : at + rng.randrange(1, 50)]
        else:
            changed[at : at + 8] = rng.randbytes(8)
    return bytes(changed)


def mutate_headers(data: bytes, rng: random.Random) -> bytes:
    """Change fields of the zip's own structures, where a random byte seldom lands."""
    changed = bytearray(data)
    magic = rng.choice([b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"])
    places = [i for i in range(len(changed)) if changed[i : i + 4] == magic]
    if places:
        at = rng.choice(places) + 4 + rng.randrange(44)
        changed[at : at + 2] = struct.pack(
            "<H", rng.choice([0, 1, 8, 9, 12, 99, 0x41ED, 0xA1FF, 0xFFFF, rng.randrange(65536)])
        )
    return bytes(changed)


def fuzzed(seed: int) -> bytes:
    rng = random.Random(seed)
    data = zip_bytes(mutate_files(base_files(rng), rng))
    if rng.random() < 0.2:
        data = mutate_bytes(data, rng)
    if rng.random() < 0.2:
        data = mutate_headers(data, rng)
    return data


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def run(seeds: range, tmp_path: Path) -> dict[str, int]:
    """Look at, and import where possible, one zip a seed; returns how many were imported, need fixes, were refused."""
    outside = tmp_path / "outside"
    outside.mkdir()
    counts = {"imported": 0, "fixed": 0, "refused": 0}
    for seed in seeds:
        work = outside / "work"
        project = Project.create(work / "project")
        path = work / "session.zip"
        path.write_bytes(fuzzed(seed))
        before = tree(work)
        report = inspect_zip(path, project)
        assert tree(work) == before or set(tree(work)) - set(before) == {"project/.castle"}, seed
        assert all(p.problem and p.fix and p.file.isprintable() for p in report.problems), seed
        if not report.fixable:
            with pytest.raises(CastleError):
                import_zip(project, path, fix=True)
            assert not list(project.path.glob("labeled-data/*")), seed
            counts["refused"] += 1
        else:
            if not report.ok:
                with pytest.raises(CastleError):
                    import_zip(project, path)
                assert not list(project.path.glob("labeled-data/*")), seed
            done = import_zip(project, path, fix=True)
            listed = (done.directory / "selected_frames.csv").read_text().split()
            assert listed == [name(index) for index in report.frame_indices], seed
            images = {
                name(index)
                for index in (*report.frame_indices, *report.context_frame_indices, *report.other_frame_indices)
            }
            assert {p.name for p in done.directory.iterdir()} == images | {"selected_frames.csv", "selection.json"}, (
                seed
            )
            counts["imported" if report.ok else "fixed"] += 1
        inside = {p.name for p in work.iterdir()}
        assert inside == {"project", "session.zip"}, seed
        assert {p.name for p in outside.iterdir()} == {"work"}, seed
        shutil.rmtree(work)
    return counts


def test_mutated_zips(tmp_path):
    counts = run(range(300), tmp_path)
    assert min(counts.values()) > 15, counts


@pytest.mark.heavy
@pytest.mark.timeout(3600)
def test_ten_thousand_mutated_zips(tmp_path):
    counts = run(range(1000, 11_000), tmp_path)
    print(counts)
    assert min(counts.values()) > 500, counts


def test_the_fuzzer_reaches_the_odd_corners(tmp_path):
    """Most kinds of problem come up at least once, else the mutations would prove little."""
    found = set()
    for seed in range(300):
        path = tmp_path / "session.zip"
        path.write_bytes(fuzzed(seed))
        found |= {problem.kind for problem in inspect_zip(path).problems}
    assert found >= {
        "archive",
        "unsafe-name",
        "duplicate",
        "damaged",
        "not-an-image",
        "image-size",
        "nested-zip",
        "csv-missing-file",
        "csv",
        "csv-repair",
        "csv-derived",
        "rename",
        "junk",
        "nested-folder",
        "left-out",
        "context",
    }, found


def test_zipfile_agrees_on_the_good_ones(tmp_path):
    """What is called strict can be unpacked by Python's own reader as well."""
    for seed in range(100):
        path = tmp_path / "session.zip"
        path.write_bytes(fuzzed(seed))
        if inspect_zip(path).ok:
            with zipfile.ZipFile(path) as archive:
                assert archive.testzip() is None
