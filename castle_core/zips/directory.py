"""The zip's list of contents, read with bounded memory, and everything that refuses a zip before unpacking it."""

import re
import stat
import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

from castle_core.zips.limits import ZipLimits
from castle_core.zips.report import Findings

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY_FIXED_BYTES = 46
_OTHER_ARCHIVES = {
    b"Rar!": "RAR",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
}
_DRIVE = re.compile(r"^[A-Za-z]:")
_ARCHIVE_SUFFIXES = (".zip", ".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".jar")


class _Unusable(Exception):
    """The file is no zip that can be listed: (kind, problem, fix)."""


def open_zip(stream: BinaryIO, name: str, limits: ZipLimits, findings: Findings) -> zipfile.ZipFile | None:
    """Open a zip after checking that its list of contents is whole and of a reasonable length.

    `zipfile` builds an object for every entry before anything can be checked. So the list is first walked here,
    entry by entry, and only a list within the limits is handed on: a zip of a million entries costs neither time
    nor memory.

    Parameters
    ----------
    stream : BinaryIO
        The open zip file, seekable.
    name : str
        The zip's name, for the report.
    limits : ZipLimits
        What is too much.
    findings : Findings
        Gets one error if the zip cannot be used.

    Returns
    -------
    ZipFile or None
        None if it cannot be used.
    """
    try:
        _walk_directory(stream, limits)
        return zipfile.ZipFile(stream)
    except _Unusable as refusal:
        kind, problem, fix = refusal.args
        findings.error(kind, name, problem, fix)
    except (zipfile.BadZipFile, ValueError, struct.error, OverflowError, NotImplementedError, EOFError):
        findings.error(
            "archive", name, "The zip's list of contents is damaged.", "Make the zip again and upload it again."
        )
    return None


def _walk_directory(stream: BinaryIO, limits: ZipLimits) -> None:
    size = stream.seek(0, 2)
    tail_start = max(0, size - (1 << 16) - _END.size)
    stream.seek(tail_start)
    tail = stream.read()
    position = tail.rfind(b"PK\x05\x06")
    if position < 0 or position + _END.size > len(tail):
        raise _Unusable(*_no_end_reason(stream, size))
    _, _, _, _, n_entries, n_bytes, _, _ = _END.unpack_from(tail, position)
    end = tail_start + position
    if end >= _END64_LOCATOR.size:
        stream.seek(end - _END64_LOCATOR.size)
        signature, _, _, _ = _END64_LOCATOR.unpack(stream.read(_END64_LOCATOR.size))
        if signature == b"PK\x06\x07":
            end -= _END64_LOCATOR.size + _END64.size
            stream.seek(max(end, 0))
            record = stream.read(_END64.size)
            if end < 0 or len(record) < _END64.size or not record.startswith(b"PK\x06\x06"):
                raise zipfile.BadZipFile
            n_entries, n_bytes = _END64.unpack(record)[7:9]
    if n_entries > limits.entries:
        raise _too_many(f"{n_entries:,}", limits)
    if n_bytes > limits.directory_bytes:
        raise _Unusable(
            "too-large",
            f"The zip's list of contents alone takes {n_bytes / 1e6:,.0f} MB.",
            f"A zip of frames needs less than {limits.directory_bytes / 1e6:,.0f} MB: make the zip again.",
        )
    if n_bytes > end:
        raise zipfile.BadZipFile
    # The count in the end record may lie, so the entries are counted as well.
    stream.seek(end - n_bytes)
    directory = stream.read(n_bytes)
    at, counted = 0, 0
    while at < len(directory):
        if directory[at : at + 4] != b"PK\x01\x02" or at + _ENTRY_FIXED_BYTES > len(directory):
            raise zipfile.BadZipFile
        counted += 1
        if counted > limits.entries:
            raise _too_many(f"more than {limits.entries:,}", limits)
        name_bytes, extra_bytes, comment_bytes = struct.unpack_from("<3H", directory, at + 28)
        at += _ENTRY_FIXED_BYTES + name_bytes + extra_bytes + comment_bytes


def _too_many(count: str, limits: ZipLimits) -> _Unusable:
    return _Unusable(
        "too-large",
        f"The zip lists {count} files; at most {limits.entries:,} are taken.",
        "Split the frames over several zips of the same name and import one after the other.",
    )


def _no_end_reason(stream: BinaryIO, size: int) -> tuple[str, str, str]:
    stream.seek(0)
    head = stream.read(8)
    if size == 0:
        return ("archive", "The file is empty.", "Make the zip again and upload it again.")
    if head.startswith(b"PK"):
        return (
            "archive",
            "The zip is cut off: its end is missing.",
            "Upload it again; if that does not help, make it again.",
        )
    for magic, kind in _OTHER_ARCHIVES.items():
        if head.startswith(magic):
            return ("archive", f"This is a {kind} archive, not a zip.", "Pack the frames as .zip.")
    return ("archive", "This is not a zip file.", "Pack the frames of one video as <video>.zip.")


def check_entries(
    entries: list[zipfile.ZipInfo], name: str, zip_bytes: int, limits: ZipLimits, findings: Findings
) -> list[zipfile.ZipInfo]:
    """Look for everything in the list of contents that refuses a zip; nothing is unpacked.

    Refused are names that would leave the folder (``..``, absolute paths, drive letters, backslashes, control
    characters), links and special files, encryption, compression other than store and deflate, archives inside, names
    that come twice, and sizes over the limits: one file's, all files' and their ratios to the packed size.

    Parameters
    ----------
    entries : list of ZipInfo
        The zip's list of contents.
    name : str
        The zip's name, for the report.
    zip_bytes : int
        Size of the zip file.
    limits : ZipLimits
        What is too much.
    findings : Findings
        Gets an error for each file at fault.

    Returns
    -------
    list of ZipInfo
        The entries with which nothing is wrong by themselves.
    """
    seen: set[str] = set()
    sound = []
    for entry in entries:
        file = entry.orig_filename
        before = findings.n_found
        _check_name(file, findings)
        _check_kind(entry, findings)
        _check_size(entry, limits, findings)
        if entry.filename in seen:
            findings.error("duplicate", file, "This name is in the zip twice.", "Keep one of the two.")
        elif findings.n_found == before:
            sound.append(entry)
        seen.add(entry.filename)
    unpacked = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    if packed > zip_bytes:
        findings.error(
            "too-large",
            name,
            "Files in the zip overlap, as in a zip bomb.",
            "Make the zip again with an ordinary program.",
        )
    elif unpacked > limits.ratio_from_bytes and unpacked > limits.ratio * max(zip_bytes, 1):
        findings.error(
            "too-large",
            name,
            f"The zip unpacks to {unpacked / 1e6:,.0f} MB, {unpacked / max(zip_bytes, 1):,.0f} times its size, "
            "as a zip bomb does.",
            "Pack the frames as PNG files.",
        )
    return sound


def _check_name(file: str, findings: Findings) -> None:
    problem = ""
    if "\x00" in file or any(ord(c) < 32 or ord(c) == 127 for c in file):
        problem = "The name holds a control character."
    elif "\\" in file:
        problem = "The name holds a backslash."
    elif file.startswith("/"):
        problem = "The name is an absolute path."
    elif _DRIVE.match(file):
        problem = "The name starts with a drive letter."
    elif ".." in file.split("/"):
        problem = "The name leads out of the folder ('..')."
    elif not file:
        problem = "The name is empty."
    elif any(0xD800 <= ord(c) <= 0xDFFF for c in file):
        problem = "The name is not valid text."
    if problem:
        findings.error("unsafe-name", file, problem, "Pack plain file names, for example img00000143.png.")


def _check_kind(entry: zipfile.ZipInfo, findings: Findings) -> None:
    file = entry.orig_filename
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        kind = "a link" if stat.S_ISLNK(mode) else "a special file"
        findings.error("link", file, f"This is {kind}, not a file.", "Pack the file itself.")
    if entry.flag_bits & (0x1 | 0x40 | 0x2000):
        findings.error("encrypted", file, "The file is encrypted.", "Make the zip without a password.")
    if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        findings.error(
            "compression",
            file,
            f"The file is packed with method {entry.compress_type}.",
            "Pack it with the ordinary method ('deflate').",
        )
    if file.lower().endswith(_ARCHIVE_SUFFIXES):
        findings.error(
            "nested-zip", file, "This is an archive inside the zip.", "Import each video's zip by itself, unpacked."
        )


def _check_size(entry: zipfile.ZipInfo, limits: ZipLimits, findings: Findings) -> None:
    file = entry.orig_filename
    ratio = entry.file_size / max(entry.compress_size, 1)
    if entry.file_size > limits.ratio_from_bytes and ratio > limits.ratio:
        findings.error(
            "too-large",
            file,
            f"The file unpacks to {entry.file_size / 1e6:,.0f} MB, {ratio:,.0f} times its packed size, "
            "as a zip bomb does.",
            "Pack the frames as PNG files.",
        )
    elif entry.file_size > limits.image_bytes:
        findings.error(
            "too-large",
            file,
            f"The file unpacks to {entry.file_size / 1e6:,.0f} MB; at most {limits.image_bytes / 1e6:,.0f} MB are "
            "taken.",
            "Pack only the frames, as PNG files.",
        )


def zip_stem(name: str) -> str:
    """Return what a zip's file name says about its video: the name without ``.zip``."""
    return name[:-4] if name.lower().endswith(".zip") else Path(name).stem
