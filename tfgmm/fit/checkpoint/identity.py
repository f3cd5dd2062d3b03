"""What a checkpoint is of: rows, numbers of components and options; a fit of anything else does not go on from it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfgmm.data.fingerprint import sum_of_hashes
from tfgmm.data.row_source import RowSource
from tfgmm.data.survey import Survey
from tfgmm.families.variational import VariationalPosterior
from tfgmm.fit.options import FitOptions
from tfgmm.mixture.priors import Priors

_NOT_COMPARED = ("checkpoint", "validation_data")  # the second by its rows
_FINGERPRINT, _ROWS, _VALIDATION = "fingerprint", "rows", "validation_data"
_WHAT = {
    _FINGERPRINT: ("data", "the rows that {path} is of, with the fingerprint {before}"),
    _ROWS: ("data", "the rows that {path} is of, in the same order, with the digest {before}"),
    _VALIDATION: (_VALIDATION, "the rows that {path} is of, with the fingerprint {before}"),
}
_DIGEST_BYTES = 8
_LONGEST_TEXT, _LONGEST_LIST = 200, 1_000


def of_options(options: FitOptions, numbers: int | Sequence[int]) -> dict[str, Any]:
    """Says which options a fit has, in JSON types, before its rows are looked at."""
    names = [field.name for field in dataclasses.fields(options) if field.name not in _NOT_COMPARED]
    asked = {"num_components": numbers, **{name: getattr(options, name) for name in names}}
    return _as_json({name: _plain(value) for name, value in asked.items()})


def of_fit(
    options: FitOptions,
    numbers: int | Sequence[int],
    source: RowSource,
    survey: Survey,
    validation: RowSource | None,
) -> dict[str, Any]:
    """Says what is fitted to what, in JSON types.

    Args:
        options: Options of the fit.
        numbers: K, or several.
        source, survey: The rows, and their survey.
        validation: Rows to validate on, opened; or None.
    """
    facts = {
        _FINGERPRINT: survey.summary.fingerprint,
        "missing": source.missing,
        "column_names": source.column_names,
        _VALIDATION: None if validation is None else _fingerprint_of(validation),
    }
    # Last: another seed draws another sample
    rows = {_ROWS: digest(json.dumps(survey.summary.to_dict()), *survey[1:])}
    return _as_json({**facts, **of_options(options, numbers), **rows})


def check_same(path: pathlib.Path, before: Mapping[str, Any], now: Mapping[str, Any], options: FitOptions) -> None:
    """Checks that a checkpoint is of the fit that is asked for.

    Args:
        path: Path of the checkpoint, for messages.
        before: What it is of.
        now: What is asked for, or a part of that.
        options: Options, which know what the caller calls them.

    Raises:
        ValueError: It is of something else; the first thing that differs is named with both values.
    """
    for name, value in now.items():
        known = before.get(name)
        if known != value:
            argument, wanted = _WHAT.get(name, (name, "what it was for {path}: {before}"))
            both = _shown(known, value), _shown(value, known)
            raise ValueError(
                f"`{options.name_of(argument)}` must be {wanted.format(path=path, before=both[0])}. Received: "
                f"{both[1]}. Repeat the call that wrote the checkpoint, or name another file."
            )


def _shown(value: Any, other: Any) -> str:
    """Writes a value; of a dictionary that differs from another only the fields that do."""
    if isinstance(value, dict) and isinstance(other, dict):
        value = {name: one for name, one in value.items() if other.get(name) != one}
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."


def _plain(value: Any) -> Any:
    """Writes an option in JSON types; of arrays a digest."""
    if isinstance(value, Priors):
        return value.to_dict()
    if isinstance(value, VariationalPosterior):
        return {"posterior": digest(value.covariance, *value.values().flat, value.centre)}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)) and len(value) <= _LONGEST_LIST:
        return [_plain(one) for one in value]
    return {"array": digest(np.asarray(value))}


def _as_json(value: Any) -> Any:
    """Makes lists of tuples, as reading makes them."""
    return json.loads(json.dumps(value))


def digest(*parts: np.ndarray | str | None) -> str:
    """Computes 16 hexadecimal digits that tell arrays and texts apart."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        else:
            digest.update(repr(part).encode())
    return digest.hexdigest()


def _fingerprint_of(source: RowSource) -> str | None:
    """Computes the fingerprint of rows to validate on, as a summary has it, in one pass."""
    survey = getattr(source, "survey", None)
    if survey is not None:  # rows in parts, which are surveyed where they are
        fingerprint: str | None = survey(0).summary.fingerprint
        return fingerprint
    has_gaps = source.missing == "integrate"
    total = sum(sum_of_hashes(*block, has_gaps=has_gaps) for block in source.blocks()) % 2**64
    return f"{total:016x}"


def step_name(kind: str, covariance: str, num_components: int, *parts: np.ndarray | str) -> str:
    """Names a step of a fit by what goes into it: steps of one name give the same.

    Args:
        kind: What is done.
        covariance, num_components: Shape and K of the fit.
        parts: All else that the result depends on, and that differs within a fit.
    """
    return f"{kind}, {covariance}, {num_components}, {digest(*parts)}"
