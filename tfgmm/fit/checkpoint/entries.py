"""What the steps of a fit gave, as numbers and JSON: written to a checkpoint and read from it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from tfgmm.families.records import Values
from tfgmm.fit.maximum import Maximum
from tfgmm.fit.restarts import Move, Restart
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.mixture.statistics import Statistics

_RECORDS: Mapping[str, Any] = {
    record.__name__: record for record in (Maximum, MixtureDensity, Move, Restart, Statistics, Values)
}
_ARRAY, _RECORD, _TUPLE, _DICTIONARY = "array", "record", "tuple", "dictionary"
_LARGEST_WHOLE = 2**53  # that float64 holds exactly


class Entry(NamedTuple):
    """What one step gave.

    content: JSON types; arrays are named by their place among the numbers.
    numbers: (n,) float64, the numbers of all arrays.
    """

    content: Any
    numbers: np.ndarray


def entry_of(value: Any) -> Entry:
    """Writes records, tuples, lists, dictionaries, arrays, numbers and text as an entry; `value_of` is its inverse.

    Raises:
        TypeError: Something else is among them.
    """
    parts: list[np.ndarray] = []
    content = _content_of(value, parts)
    return Entry(content, np.concatenate(parts) if parts else np.zeros(0))


def _content_of(value: Any, parts: list[np.ndarray]) -> Any:
    if isinstance(value, np.ndarray):
        return _array_content(value, parts)
    if isinstance(value, np.generic):
        return value.item()
    name = type(value).__name__
    if _RECORDS.get(name) is type(value):
        return {_RECORD: [name, {field: _content_of(getattr(value, field), parts) for field in fields_of(type(value))}]}
    if isinstance(value, tuple):
        return {_TUPLE: [_content_of(one, parts) for one in value]}
    if isinstance(value, list):
        return [_content_of(one, parts) for one in value]
    if isinstance(value, Mapping):
        return {_DICTIONARY: {str(key): _content_of(one, parts) for key, one in value.items()}}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a checkpoint holds numbers, text and records of them, and no {name}")


def _array_content(value: np.ndarray, parts: list[np.ndarray]) -> dict[str, Any]:
    if value.dtype.kind not in "fiub" or (value.dtype.kind in "iu" and np.abs(value).max(initial=0) > _LARGEST_WHOLE):
        raise TypeError(f"a checkpoint holds arrays of numbers that float64 has, and none of dtype {value.dtype}")
    start = sum(map(len, parts))
    parts.append(np.asarray(value, np.float64).ravel())
    return {_ARRAY: [value.dtype.name, start, list(value.shape)]}


def value_of(entry: Entry) -> Any:
    """Restores what `entry_of` wrote; arrays are copies.

    Raises:
        ValueError, TypeError, KeyError, IndexError: It is not what `entry_of` writes.
    """
    content = entry.content
    if isinstance(content, list):
        return [value_of(Entry(one, entry.numbers)) for one in content]
    if not isinstance(content, dict):
        return content
    [(kind, inside)] = content.items()
    if kind == _ARRAY:
        dtype, start, shape = inside
        return _array_of(dtype, start, shape, entry.numbers)
    if kind == _TUPLE:
        return tuple(value_of(Entry(one, entry.numbers)) for one in inside)
    if kind not in (_DICTIONARY, _RECORD):
        raise ValueError(f"{kind!r} is nothing that a checkpoint holds")
    record, fields = (dict, inside) if kind == _DICTIONARY else (_RECORDS[inside[0]], inside[1])
    return record(**{name: value_of(Entry(one, entry.numbers)) for name, one in fields.items()})


def _array_of(dtype: str, start: int, shape: list[int], numbers: np.ndarray) -> np.ndarray:
    """Cuts an array out of the numbers; nothing of its size is made before it is known that they are there."""
    size = math.prod(shape)
    is_there = all(isinstance(number, int) and number >= 0 for number in (start, *shape)) and start + size <= len(
        numbers
    )
    if not is_there or np.dtype(dtype).kind not in "fiub":
        raise ValueError(f"no array of dtype {dtype} and shape {shape} at {start} of {len(numbers)} numbers")
    return numbers[start : start + size].reshape(shape).astype(dtype)


def fields_of(record: Any) -> tuple[str, ...]:
    """Lists the fields of a dataclass or of a named tuple."""
    if dataclasses.is_dataclass(record):
        return tuple(field.name for field in dataclasses.fields(record))
    return tuple(record._fields)
