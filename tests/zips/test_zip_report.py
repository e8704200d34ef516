"""The dry run: what is taken as it is, what is offered, what is refused."""

import io
import os
import struct
import time
import zipfile

import cv2
import numpy as np
import psutil
import pytest
from zip_builders import (
    SELECTED,
    WINDOWS,
    csv,
    documented,
    encode,
    kinds,
    name,
    picture,
    png,
    png_header,
    write_zip,
    zip_bytes,
)

from castle_core.errors import ZipError
from castle_core.zips import ZipLimits, example_zip, inspect_zip
from castle_core.zips.inspection import read_entry


@pytest.fixture
def look(tmp_path):
    """Write the files as a zip and return its report."""

    def inspect(files, *, zip_name="session0.zip", **options):
        return inspect_zip(write_zip(tmp_path / zip_name, files), **options)

    return inspect


def test_documented_example_is_strict(look):
    report = look(documented(), zip_name="subject023_session0.zip")
    assert report.ok
    assert report.problems == ()
    assert report.video == "subject023_session0"
    assert report.frame_indices == tuple(SELECTED)
    assert report.context_frame_indices == tuple(i for i in WINDOWS if i not in SELECTED)
    assert report.to_json()["frames"] == 3
    assert report.to_json()["context_frames"] == 12


def test_example_to_download_is_strict(tmp_path):
    path = tmp_path / "subject023_session0.zip"
    path.write_bytes(example_zip())
    report = inspect_zip(path)
    assert report.ok
    assert not report.problems
    assert report.frame_indices == tuple(SELECTED)
    assert example_zip() == example_zip()


def test_path_form_of_the_csv_is_strict(look):
    files = documented()
    files["selected_frames.csv"] = "".join(f"labeled-data/session0/{name(i)}\n" for i in SELECTED).encode()
    report = look(files)
    assert report.problems == ()
    assert report.frame_indices == tuple(SELECTED)


def test_zip64_is_fine(tmp_path):
    path = tmp_path / "session0.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for key, content in documented().items():
            with archive.open(key, "w", force_zip64=True) as entry:
                entry.write(content)
    assert inspect_zip(path).problems == ()
    # A real zip64 end record, as every zip of more than 65,535 files has.
    many = tmp_path / "many.zip"
    one = png(0)
    with zipfile.ZipFile(many, "w", zipfile.ZIP_STORED) as archive:
        for index in range(3):
            archive.writestr(name(10 * index), one)
        archive.writestr("selected_frames.csv", csv([0, 10, 20]))
    data = many.read_bytes()
    end = data.rfind(b"PK\x05\x06")
    _, _, _, _, count, size, start, _ = struct.unpack("<4s4H2LH", data[end : end + 22])
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    last = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    many.write_bytes(data[:end] + end64 + locator + last)
    report = inspect_zip(many)
    assert kinds(report, "error") == set()
    assert report.frames == 3


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        pytest.param(lambda f: {**f, "__MACOSX/._img00000141.png": b"\x00\x05\x16\x07"}, "junk", id="macosx"),
        pytest.param(lambda f: {**f, "._img00000141.png": b"\x00\x05\x16\x07"}, "junk", id="appledouble"),
        pytest.param(lambda f: {**f, ".DS_Store": b"Bud1"}, "junk", id="ds-store"),
        pytest.param(lambda f: {**f, "Thumbs.db": b"x"}, "junk", id="thumbs"),
        pytest.param(lambda f: {**f, "notes.txt": b"hello"}, "left-out", id="notes"),
        pytest.param(lambda f: {f"session0/{k}": v for k, v in f.items()}, "nested-folder", id="nested"),
        pytest.param(lambda f: {f"a/b/{k}": v for k, v in f.items()}, "nested-folder", id="nested-twice"),
        pytest.param(lambda f: {k.replace("img000", "img"): v for k, v in f.items()}, "rename", id="5-digits"),
        pytest.param(lambda f: {k.replace(".png", ".PNG"): v for k, v in f.items()}, "rename", id="upper-case"),
        pytest.param(lambda f: {k.replace("img", "frame_"): v for k, v in f.items()}, "rename", id="other-prefix"),
        pytest.param(lambda f: {k: v for k, v in f.items() if k.endswith("png")}, "csv-derived", id="no-csv"),
        pytest.param(lambda f: {**f, "selected_frames.csv": b""}, "csv-derived", id="empty-csv"),
        pytest.param(lambda f: {**f, "selected_frames.csv": b"\r\n \n"}, "csv-derived", id="blank-csv"),
        pytest.param(
            lambda f: {("SELECTED_FRAMES.CSV" if k.endswith("csv") else k): v for k, v in f.items()},
            "csv-repair",
            id="csv-name-case",
        ),
    ],
)
def test_safe_fixes_are_offered(look, change, kind):
    report = look(change(documented()))
    assert not report.ok
    assert report.fixable
    assert kind in kinds(report, "fixable")
    assert report.frame_indices == tuple(SELECTED)
    assert report.context_frames == 12
    assert report.fixes


@pytest.mark.parametrize(
    ("text", "kind", "severity"),
    [
        (b"\xef\xbb\xbf" + csv(SELECTED), "csv-reading", "warning"),
        (csv(SELECTED).replace(b"\n", b"\r\n"), "csv-reading", "warning"),
        (csv(SELECTED).replace(b"img", b"  img").replace(b"\n", b" \n"), "csv-reading", "warning"),
        (b"image\n" + csv(SELECTED), "csv-repair", "fixable"),
        (b"0\n" + csv(SELECTED), "csv-repair", "fixable"),
        (csv(SELECTED) + csv(SELECTED[:1]), "csv-repair", "fixable"),
        (csv(SELECTED).decode().encode("utf-16"), "csv-repair", "fixable"),
        (csv(SELECTED).replace(b"img000", b"img"), "csv-repair", "fixable"),
        (
            b",frame\n" + b"".join(b"%d,%s\n" % (i, name(f).encode()) for i, f in enumerate(SELECTED)),
            "csv-repair",
            "fixable",
        ),
    ],
    ids=["bom", "crlf", "spaces", "header", "pandas-header", "repeated", "utf-16", "other-padding", "columns"],
)
def test_csv_forms(look, text, kind, severity):
    report = look({**documented(), "selected_frames.csv": text})
    assert kinds(report) == {kind}
    assert kinds(report, severity) == {kind}
    assert report.frame_indices == tuple(SELECTED)
    assert report.ok == (severity == "warning")


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        (csv([143, 999]), "csv-missing-file", "img00000999.png"),
        (csv(SELECTED) + b"rubbish\n", "csv", "rubbish"),
        (b"\x00\x01\x02" * 50, "csv", "text"),
        (b"\xff\xfe\x00", "csv", "text"),
        (b"caf\xe9.png\n", "csv", "UTF-8"),
        (b'"img00000143.png\nimg00001156.png\n', "csv", ""),
    ],
    ids=["missing-file", "other-line", "binary", "half-utf-16", "latin-1", "open-quote"],
)
def test_csv_refused(look, text, kind, says):
    report = look({**documented(), "selected_frames.csv": text})
    assert kind in kinds(report, "error")
    assert any(says in p.file + p.problem for p in report.problems)


def test_csv_that_lists_context_frames_is_mentioned(look):
    report = look({**documented(), "selected_frames.csv": csv(WINDOWS)})
    assert report.ok
    assert "143, 1156, 34567" in next(p.fix for p in report.problems if p.kind == "csv-reading")


@pytest.mark.parametrize(
    ("indices", "n_frames", "expected"),
    [
        ([5, 9, 20], None, [5, 9, 20]),
        ([0, 1, 2], None, [0]),
        ([141, 142, 143, 144, 145], None, [143]),
        ([141, 142, 143, 144, 145, 146], None, [143, 144]),
        ([141, 142, 143, 144, 145, 146, 147], None, None),
        ([0, 1, 2, 3], None, None),
        ([97, 98, 99], None, None),
        ([97, 98, 99], 100, [99]),
        ([5, 6], None, None),
        ([1, 7, 8, 9, 10, 11], None, None),
        (list(range(5000)), None, None),
        ([], None, []),
    ],
)
def test_derived_only_when_certain(indices, n_frames, expected):
    from castle_core.zips.selected import derive_selected

    derived = derive_selected(indices, n_frames=n_frames)
    assert derived == (None if expected is None else tuple(expected))


def test_uncertain_without_csv_is_refused(look):
    report = look({name(i): png(i) for i in range(100, 107)})
    assert kinds(report, "error") == {"csv-unsure"}
    assert not report.fixable


def test_incomplete_context_names_the_frames(look):
    files = documented()
    del files[name(141)], files[name(34569)]
    report = look(files)
    assert report.ok
    found = {p.file: p for p in report.problems if p.kind == "context"}
    assert set(found) == {name(143), name(34567)}
    assert "141" in found[name(143)].problem
    assert "not usable for context models" in found[name(143)].problem.lower()
    assert "video ends" in found[name(34567)].fix


def test_images_that_the_csv_does_not_ask_for_are_mentioned(look):
    report = look({**documented(), name(5000): png(5000)})
    assert report.ok
    assert [(p.kind, p.file, p.severity) for p in report.problems] == [("stray", name(5000), "warning")]
    assert 5000 not in report.frame_indices


def test_context_is_clipped_at_the_start(look):
    files = {name(i): png(i) for i in range(4)}
    files["selected_frames.csv"] = csv([0, 1])
    assert look(files).problems == ()


@pytest.mark.parametrize(
    "bad",
    [
        "../img00000001.png",
        "a/../../img00000001.png",
        "/etc/img00000001.png",
        "C:/img00000001.png",
        "c:img00000001.png",
        "..\\img00000001.png",
        "a\\img00000001.png",
        "img0000\x010001.png",
        "img00000001.png\x00.txt",
    ],
)
def test_names_that_leave_the_folder(look, bad):
    entry = zipfile.ZipInfo("placeholder")
    entry.filename = bad
    report = look([*documented().items(), (entry, png(1))])
    assert kinds(report, "error") == {"unsafe-name"}
    assert not report.fixable
    assert all(p.file.isprintable() for p in report.problems)


def test_one_bad_name_hides_no_other_problem(look):
    files = {f"frames/{name(i)}": png(i) for i in (3, 9)}
    files |= {"__MACOSX/frames/._x.png": b"\0", "notes.txt": b"n", "frames/scan.tif": b"t"}
    report = look([("../evil.png", png(1)), *files.items()])
    assert {problem.file for problem in report.problems if problem.severity == "error"} == {
        "../evil.png",
        "frames/scan.tif",
    }
    assert kinds(report, "fixable") == {"junk", "left-out", "nested-folder"}
    assert [problem.problem for problem in report.problems if problem.severity == "warning"] == [
        "The zip has no selected_frames.csv.",
        "The images were not unpacked, since the zip is refused as it is.",
    ]
    assert report.frame_indices == ()


@pytest.mark.parametrize("mode", [0o120777, 0o010644, 0o020644], ids=["symlink", "fifo", "device"])
def test_links_and_special_files(look, mode):
    entry = zipfile.ZipInfo(name(7))
    entry.create_system = 3
    entry.external_attr = mode << 16
    report = look([*documented().items(), (entry, b"/etc/passwd")])
    assert kinds(report, "error") == {"link"}


def _patched(tmp_path, files, *, local: int, central: int, value: bytes):
    """Overwrite a field of the first local and of the first central header."""
    data = bytearray(zip_bytes(files))
    at = data.find(b"PK\x03\x04") + local
    data[at : at + len(value)] = value
    at = data.find(b"PK\x01\x02") + central
    data[at : at + len(value)] = value
    path = tmp_path / "session0.zip"
    path.write_bytes(data)
    return path


def test_encrypted(tmp_path):
    report = inspect_zip(_patched(tmp_path, documented(), local=6, central=8, value=b"\x01\x00"))
    assert kinds(report, "error") == {"encrypted"}


@pytest.mark.parametrize("method", [9, 12, 14, 93, 99])
def test_other_compression(tmp_path, method):
    path = _patched(tmp_path, documented(), local=8, central=10, value=struct.pack("<H", method))
    assert kinds(inspect_zip(path), "error") == {"compression"}


@pytest.mark.parametrize("inner", ["more.zip", "frames.tar.gz", "data.bin"])
def test_nested_zip(look, inner):
    content = zip_bytes({name(1): png(1)})
    assert kinds(look({**documented(), inner: content}), "error") == {"nested-zip"}


def test_duplicates(look):
    with pytest.warns(UserWarning, match="Duplicate name"):
        report = look([*documented().items(), (name(143), png(143))])
    assert "duplicate" in kinds(report, "error")
    report = look({**documented(), "img143.png": png(143)})
    assert "duplicate" in kinds(report, "error")
    report = look({**documented(), "IMG00000143.PNG": png(143)})
    assert not report.fixable


def test_names_without_a_number_or_of_two_cameras(look):
    assert "name" in kinds(look({**documented(), "background.png": png(1)}), "error")
    report = look({"cam1_img0005.png": png(5), "cam2_img0009.png": png(9)})
    assert "name" in kinds(report, "error")
    one_camera = look({"cam1_img0005.png": png(5), "cam1_img0009.png": png(9)})
    assert one_camera.fixable
    assert one_camera.frame_indices == (5, 9)
    assert "name" in kinds(look({"img9999999999999999999.png": png(1)}), "error")


def test_frames_in_two_folders(look):
    files = {f"a/{name(5)}": png(5), f"b/{name(9)}": png(9)}
    assert "folders" in kinds(look(files), "error")


def test_csv_above_the_folder_of_frames(look):
    files = {f"frames/{k}" if k.endswith("png") else k: v for k, v in documented().items()}
    report = look(files)
    assert report.fixable
    assert report.frame_indices == tuple(SELECTED)
    twice = look({**files, "frames/selected_frames.csv": csv(SELECTED)})
    assert "csv" in kinds(twice, "error")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"this is a text file", "not-an-image"),
        (b"", "not-an-image"),
        (png(7)[:60], "damaged"),
        (png(7)[:-5], "damaged"),
        (png(7)[:50] + b"\xff" + png(7)[51:], "damaged"),
        (png_header(12, 8), "damaged"),
        (png_header(60000, 60000), "too-large"),
        (png_header(12, 8, depth=3), "damaged"),
        (png(7, size=(13, 8)), "image-size"),
        (b"II*\x00" + b"\x00" * 50, "unsupported-image"),
        (b"GIF89a" + b"\x00" * 50, "unsupported-image"),
    ],
    ids=[
        "text",
        "empty",
        "cut",
        "no-end",
        "flipped",
        "no-pixels",
        "pixel-bomb",
        "depth-3",
        "other-size",
        "tiff",
        "gif",
    ],
)
def test_images_that_are_refused(look, content, kind):
    report = look({**documented(), name(143): content})
    assert kinds(report, "error") == {kind}
    assert [p.file for p in report.problems if p.severity == "error"] == [name(143)]


def _with_all_images(convert):
    files = {name(i): convert(picture(i)) for i in WINDOWS}
    return {**files, "selected_frames.csv": csv(SELECTED)}


def test_sixteen_bits_only_where_nothing_is_lost(look):
    grey = lambda image: image[..., 0].astype(np.uint16)  # noqa: E731
    for factor in (1, 257):
        report = look(_with_all_images(lambda image, f=factor: encode(".png", grey(image) * f)))
        assert kinds(report) == {"convert-png"}
    assert kinds(look(_with_all_images(lambda image: encode(".png", grey(image) * 3))), "error") == {"image-kind"}
    mixed = _with_all_images(lambda image: encode(".png", grey(image)))
    mixed[name(143)] = encode(".png", grey(picture(143)) * 257)
    assert kinds(look(mixed), "error") == {"image-kind"}


def test_transparency_only_where_it_is_unused(look):
    opaque = _with_all_images(lambda image: encode(".png", np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])))
    assert kinds(look(opaque)) == {"convert-png"}
    seen_through = {**opaque, name(143): encode(".png", np.dstack([picture(143), np.zeros((8, 12), np.uint8)]))}
    assert kinds(look(seen_through), "error") == {"image-kind"}


def test_palette_and_one_bit(look):
    pillow = pytest.importorskip("PIL.Image")

    def save(image, mode):
        stream = io.BytesIO()
        pillow.fromarray(image).convert(mode).save(stream, "PNG")
        return stream.getvalue()

    for mode in ("P", "1", "LA"):
        report = look(_with_all_images(lambda image, m=mode: save(image, m)))
        assert kinds(report) == {"convert-png"}, mode


def test_cmyk_and_jpeg(look):
    pillow = pytest.importorskip("PIL.Image")
    stream = io.BytesIO()
    pillow.fromarray(picture(143)).convert("CMYK").save(stream, "JPEG")
    for key in ("img00000143.jpg", name(143)):
        files = documented()
        del files[name(143)]
        report = look({**files, key: stream.getvalue(), "selected_frames.csv": csv([1156])})
        assert kinds(report, "error") == {"image-kind"}
    jpegs = {k.replace("png", "jpg"): encode(".jpg", picture(7)) for k in documented() if k.endswith("png")}
    report = look({**jpegs, "selected_frames.csv": csv(SELECTED).replace(b"png", b"jpg")})
    assert report.fixable
    assert "convert-jpeg" in kinds(report, "fixable")
    assert report.frame_indices == tuple(SELECTED)
    cut = encode(".jpg", cv2.resize(picture(7), (300, 200)))[:-100]
    assert kinds(look({"img00000007.jpg": cut}), "error") == {"damaged"}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"just text, no zip", "not a zip"),
        (b"Rar!\x1a\x07" + b"\x00" * 100, "RAR"),
        (b"7z\xbc\xaf\x27\x1c" + b"\x00" * 100, "7-Zip"),
        (b"\x1f\x8b" + b"\x00" * 100, "gzip"),
    ],
)
def test_not_a_zip(tmp_path, data, says):
    path = tmp_path / "session0.zip"
    path.write_bytes(data)
    report = inspect_zip(path)
    assert kinds(report, "error") == {"archive"}
    assert says in report.problems[0].problem


def test_truncated_anywhere(tmp_path):
    data = zip_bytes(documented())
    path = tmp_path / "session0.zip"
    for cut in range(0, len(data) - 1, 37):
        path.write_bytes(data[:cut])
        assert not inspect_zip(path).fixable, cut


def test_missing_file_is_one_line(tmp_path):
    with pytest.raises(ZipError, match=r"nothere\.zip cannot be opened"):
        inspect_zip(tmp_path / "nothere.zip")


def test_empty_zip_and_zip_without_frames(look):
    assert kinds(look({}), "error") == {"no-frames"}
    assert kinds(look({"selected_frames.csv": b""}), "error") == {"no-frames"}
    assert "no-frames" in kinds(look({"readme.txt": b"x"}), "error")


def test_zip_name(look):
    assert look(documented(), zip_name="Maus Nr. 7 (früh).zip").video == "Maus Nr. 7 (früh)"
    typed = look(documented(), zip_name="session0.mp4.zip")
    assert typed.video == "session0"
    assert kinds(typed) == {"video-name"}
    assert typed.fixable
    assert not typed.ok
    other = look(documented(), zip_name="session0.dat")
    assert kinds(other, "fixable") == {"video-name"}
    assert look(documented(), zip_name="x.zip", name="session0.zip").video == "session0"
    for bad in ("..zip", ".hidden.zip", " .zip", "a/b.zip", "a\\b.zip", "..\\..\\x.zip"):
        assert kinds(look(documented(), zip_name="x.zip", name=bad), "error") == {"video-name"}, bad


def test_bomb_of_zeros_is_refused_without_unpacking(tmp_path):
    path = tmp_path / "session0.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name(0), "w") as entry:
        for _ in range(40):
            entry.write(bytes(1 << 20))
    assert path.stat().st_size < 100_000
    report = inspect_zip(path)
    assert kinds(report, "error") == {"too-large"}


def test_bomb_that_lies_about_its_size(tmp_path):
    """10 MB of zeros declared as 1000 bytes: no more than that is ever unpacked, and the checksum fails."""
    data = bytearray(zip_bytes({name(0): bytes(10 << 20)}))
    for magic, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.find(magic) + offset
        data[at : at + 4] = struct.pack("<I", 1000)
    path = tmp_path / "session0.zip"
    path.write_bytes(data)
    report = inspect_zip(path)
    assert kinds(report, "error") == {"damaged"}
    with zipfile.ZipFile(path) as archive, pytest.raises(Exception, match="damaged"):
        read_entry(archive, archive.infolist()[0])


def test_overlapping_entries(tmp_path):
    """The same packed data listed 50 times, as in a bomb without nesting."""
    data = zip_bytes({name(0): np.random.default_rng(0).bytes(20_000)})
    start = data.find(b"PK\x01\x02")
    end = data.find(b"PK\x05\x06")
    record = data[start:end]
    copies = b"".join(record.replace(name(0).encode(), name(i).encode()) for i in range(50))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 50, 50, len(copies), start, 0)
    path = tmp_path / "session0.zip"
    path.write_bytes(data[:start] + copies + tail)
    assert "too-large" in kinds(inspect_zip(path), "error")


def _directory_only_zip(path, n_entries: int, *, said: int | None = None) -> None:
    """A zip that lists `n_entries` empty files; `said` is the count that its end record claims."""
    with path.open("wb") as stream:
        stream.write(b"PK\x03\x04" + bytes(26) + b"x")
        start = stream.tell()
        fixed = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0)
        for first in range(0, n_entries, 10_000):
            stream.write(b"".join(fixed + b"img%09d" % i for i in range(first, min(first + 10_000, n_entries))))
        size = stream.tell() - start
        end = stream.tell()
        count = n_entries if said is None else said
        stream.write(struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start))
        stream.write(struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1))
        stream.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, 0xFFFFFFFF, 0xFFFFFFFF, 0))


@pytest.mark.parametrize("said", [None, 5], ids=["honest", "lying"])
def test_a_million_entries_cost_neither_time_nor_memory(tmp_path, said):
    path = tmp_path / "session0.zip"
    _directory_only_zip(path, 1_000_000, said=said)
    before = psutil.Process(os.getpid()).memory_info().rss
    start = time.process_time()
    report = inspect_zip(path)
    assert time.process_time() - start < 3
    assert psutil.Process(os.getpid()).memory_info().rss - before < 150e6
    assert kinds(report, "error") == {"too-large"}


def test_limits_can_be_set(look):
    report = look(documented(), limits=ZipLimits(entries=10))
    assert kinds(report, "error") == {"too-large"}


def test_grouped_report_and_first_error(look):
    files = {f"b/{k}": v for k, v in documented().items()}
    report = look(files)
    titles = [group.title for group in report.groups()]
    assert len(titles) == len(set(titles))
    broken = look({**documented(), name(143): b"text", name(144): b"text"})
    assert broken.first_error().startswith(name(143))
    assert look(documented()).first_error() == ""
