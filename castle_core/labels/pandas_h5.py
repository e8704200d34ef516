"""Writes a table of labels as pandas' HDF5 layout *fixed*, which DeepLabCut reads; neither PyTables nor a pickle.

The layout is that of pandas' ``HDFStore``: a group with the axes as levels and codes of a MultiIndex, and one block of
numbers. Attributes say what PyTables needs to know to give each array back.
"""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

KEY = "df_with_missing"
"""The group's name: DeepLabCut's."""

_NO_NAME = b"N."  # how PyTables spells None in an attribute


def pandas_h5(
    columns: Sequence[tuple[str, ...]], names: Sequence[str], rows: Sequence[tuple[str, ...]], values: np.ndarray
) -> bytes:
    """Return the content of an HDF5 file that pandas reads as a frame of numbers.

    Parameters
    ----------
    columns : sequence of tuple
        The levels of each column.
    names : sequence of str
        The names of the levels: scorer, bodyparts, coords.
    rows : sequence of tuple
        The levels of each row's name; at least one row.
    values : numpy.ndarray
        (len(rows), len(columns)) float64.
    """
    import h5py

    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        _describe(file, CLASS="GROUP", TITLE="", VERSION="1.0", PYTABLES_FORMAT_VERSION="2.1")
        group = file.create_group(KEY)
        _describe(group, CLASS="GROUP", TITLE="", VERSION="1.0", pandas_type="frame", encoding="UTF-8", errors="strict")
        group.attrs.update(ndim=np.int64(2), nblocks=np.int64(1))
        _axis(group, "axis0", columns, names)
        _axis(group, "axis1", rows, [None] * len(rows[0]))
        _axis(group, "block0_items", columns, names)
        _array(group, "block0_values", np.ascontiguousarray(values, np.float64))
    return memory.getvalue()


def _axis(group: Any, name: str, entries: Sequence[tuple[str, ...]], names: Sequence[str | None]) -> None:
    _describe(group, **{f"{name}_variety": "multi"})
    group.attrs[f"{name}_nlevels"] = np.int64(len(names))
    for level, level_name in enumerate(names):
        words = list(dict.fromkeys(entry[level] for entry in entries))
        place = {word: code for code, word in enumerate(words)}
        encoded = [word.encode("utf-8") for word in words]
        width = max(1, *(len(word) for word in encoded))
        texts = _array(group, f"{name}_level{level}", np.array(encoded, f"S{width}"))
        _describe(texts, kind="string", nan_rep="", **{"name": level_name, f"{name}_name{level_name}": level_name})
        codes = [place[entry[level]] for entry in entries]
        _array(group, f"{name}_label{level}", np.array(codes, np.int8 if len(words) < 128 else np.int32))


def _array(group: Any, name: str, values: np.ndarray) -> Any:
    made = group.create_dataset(name, data=values)
    _describe(made, CLASS="ARRAY", TITLE="", VERSION="2.4", FLAVOR="numpy")
    made.attrs["transposed"] = np.uint8(1)
    return made


def _describe(node: Any, **texts: str | None) -> None:
    """Set attributes as PyTables writes text: UTF-8 of fixed length; an empty text has no value."""
    import h5py

    for key, text in texts.items():
        if text is None:
            node.attrs[key] = np.bytes_(_NO_NAME)
        elif text:
            data = text.encode("utf-8")
            node.attrs.create(key, np.bytes_(data), dtype=h5py.string_dtype("utf-8", len(data)))
        else:
            node.attrs[key] = h5py.Empty(h5py.string_dtype("utf-8", 1))
