"""Reads the column names in an HDF5 table of pandas without unpickling anything.

PyTables stores them as a pickle. A pickle is a program, and unpickling a file from elsewhere may run anything; here
its instructions are only read, and nothing but lists, tuples, texts and numbers is built.
"""

import pickletools
from typing import Any

from castle_core.errors import PredictionError

_MARK = object()
_TEXTS = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"}
_NUMBERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT"}
_NOTHING = {"PROTO", "FRAME"}


def plain_value(pickled: bytes) -> Any:
    """Return the lists, tuples, texts and numbers that `pickled` describes.

    Raises
    ------
    PredictionError
        If it holds anything else, or is no pickle.
    """
    stack: list[Any] = []
    memory: dict[Any, Any] = {}

    def since_mark() -> list[Any]:
        items = []
        while (item := stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            name = opcode.name
            if name in _TEXTS or name in _NUMBERS:
                stack.append(argument)
            elif name == "NONE":
                stack.append(None)
            elif name in {"MARK"}:
                stack.append(_MARK)
            elif name in {"LIST", "TUPLE"}:
                stack.append(since_mark() if name == "LIST" else tuple(since_mark()))
            elif name in {"EMPTY_LIST", "EMPTY_TUPLE"}:
                stack.append([] if name == "EMPTY_LIST" else ())
            elif name in {"TUPLE1", "TUPLE2", "TUPLE3"}:
                size = int(name[-1])
                items = tuple(stack[-size:])
                del stack[-size:]
                stack.append(items)
            elif name == "APPEND":
                item = stack.pop()
                stack[-1].append(item)
            elif name == "APPENDS":
                items_of = since_mark()
                stack[-1].extend(items_of)
            elif name in {"PUT", "BINPUT", "LONG_BINPUT"}:
                memory[argument] = stack[-1]
            elif name == "MEMOIZE":
                memory[len(memory)] = stack[-1]
            elif name in {"GET", "BINGET", "LONG_BINGET"}:
                stack.append(memory[argument])
            elif name == "STOP":
                return stack.pop()
            elif name not in _NOTHING:
                raise PredictionError(f"unexpected content ({name.lower()}) in the table's column names")
    except (ValueError, IndexError, KeyError, AttributeError, TypeError, UnicodeDecodeError) as error:
        raise PredictionError("damaged column names in the table") from error
    raise PredictionError("damaged column names in the table")
