"""The latent file: bytes that depend on the content alone, mapping, foreign files, refusals."""

import json
import zipfile

import numpy as np
import pytest

from castle_core.errors import EncoderError
from castle_core.latents.npz import read_latents, write_latents


def pieces(n=7, d=3):
    rows = np.arange(n * d, dtype=np.float32).reshape(n, d)
    return rows, iter([rows[:4], rows[4:]])


def test_round_trip_is_mapped_and_deterministic(tmp_path):
    rows, parts = pieces()
    status = np.array([0, 1, 2, 0, 0, 7, 0], np.uint8)
    for name in ("a.npz", "b.npz"):
        _, parts = pieces()
        write_latents(
            tmp_path / name, parts, rows.shape, status=status, metadata={"k": "ü"}, angle_deg=np.ones(7, np.float32)
        )
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    latents = read_latents(tmp_path / "a.npz")
    assert isinstance(latents.latent, np.memmap)
    np.testing.assert_array_equal(latents.latent, rows)
    np.testing.assert_array_equal(latents.status, status)
    assert latents.metadata == {"k": "ü"} == json.loads((tmp_path / "a.npz.json").read_text())
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert set(archive) == {"latent", "frame_index", "status", "angle_deg", "metadata"}
        assert archive["frame_index"].tolist() == list(range(7))
        assert archive["latent"].dtype == np.float32


def test_missing_rows_are_an_error_and_leave_nothing(tmp_path):
    _, parts = pieces()
    with pytest.raises(EncoderError, match="7 rows"):
        write_latents(tmp_path / "a.npz", parts, (8, 3), status=np.zeros(8, np.uint8), metadata={})
    assert list(tmp_path.iterdir()) == []


def test_castles_old_file_reads(shared_data):
    latents = read_latents(next((shared_data / "castle").glob("*/latent/*.npz")))
    assert latents.latent.shape == (480, 768)
    assert latents.latent.dtype == np.float64
    assert latents.metadata == {}
    assert not latents.status.any()


def test_compressed_files_of_others_read_and_nan_rows_count_as_absent(tmp_path):
    rows = np.ones((4, 2), np.float32)
    rows[1] = np.nan
    np.savez_compressed(tmp_path / "x.npz", latent=rows)
    assert read_latents(tmp_path / "x.npz").status.tolist() == [0, 2, 0, 0]


def test_pickles_and_halves_are_refused(tmp_path):
    np.savez(tmp_path / "objects.npz", latent=np.array([{}, {}], dtype=object))
    rows, parts = pieces()
    write_latents(tmp_path / "whole.npz", parts, rows.shape, status=np.zeros(7, np.uint8), metadata={})
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("notes.txt", "hello")
    for name in ("objects", "half", "other", "absent"):
        with pytest.raises(EncoderError, match=name):
            read_latents(tmp_path / f"{name}.npz")
