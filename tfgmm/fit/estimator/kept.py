"""A fit as plain numbers, for files that an estimator is kept in: who loads one trusts the estimator, and no more.

Pickle restores any object whatever its class does; `skops` restores only the classes that are named to it. So what an
estimator holds is written as dictionaries, tuples, arrays and numbers, with the names of a few records of ours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfgmm.data.record import DataSummary
from tfgmm.families.correlated import CorrelatedDraws
from tfgmm.families.exact.records import ExactDraws
from tfgmm.families.independent import IndependentDraws
from tfgmm.families.records import Drawn, Values
from tfgmm.families.variational import VariationalPosterior
from tfgmm.fit.ranking import Ranking
from tfgmm.fit.restarts import Move, Restart
from tfgmm.fit.result import FitResult
from tfgmm.fit.selection import Selection
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.statistics import Statistics
from tfgmm.posterior.record import PosteriorRecord

_RECORDS: Mapping[str, Any] = {
    record.__name__: record
    for record in (
        CorrelatedDraws,
        DataSummary,
        Drawn,
        ExactDraws,
        FitResult,
        IndependentDraws,
        Move,
        PosteriorRecord,
        Priors,
        Ranking,
        Restart,
        Selection,
        Statistics,
        Values,
    )
}
_RECORD = "class"  # the entry that says which record a dictionary is


def plain(value: Any) -> Any:
    """Writes a value as dictionaries, tuples and lists of arrays, numbers and text; `restored` is its inverse."""
    name = type(value).__name__
    if isinstance(value, FitResult):
        return {_RECORD: name, **_plain_result(value)}
    if _RECORDS.get(name) is type(value):
        return {_RECORD: name, **{field: plain(getattr(value, field)) for field in _fields(type(value))}}
    if isinstance(value, (tuple, list)):
        return type(value)(map(plain, value))
    return {key: plain(entry) for key, entry in value.items()} if isinstance(value, Mapping) else value


def restored(value: Any) -> Any:
    """Restores what `plain` wrote.

    Raises:
        ValueError: It names a record that there is not.
    """
    if isinstance(value, (tuple, list)):
        return type(value)(map(restored, value))
    if not isinstance(value, Mapping):
        return value
    fields = {key: restored(entry) for key, entry in value.items() if key != _RECORD}
    if _RECORD not in value:
        return fields
    if value[_RECORD] not in _RECORDS:
        raise ValueError(
            f"`state` must hold records of this version: {', '.join(_RECORDS)}. Received: {value[_RECORD]!r}. "
            "Load it with the version of tfgmm that wrote it."
        )
    if value[_RECORD] == FitResult.__name__:
        fields["variational"] = _posterior_from(fields["variational"], fields["priors"])
    return _RECORDS[value[_RECORD]](**fields)


def _fields(record: Any) -> tuple[str, ...]:
    """Lists the fields of a dataclass or of a named tuple."""
    if dataclasses.is_dataclass(record):
        return tuple(field.name for field in dataclasses.fields(record))
    return tuple(record._fields)


def _plain_result(result: FitResult) -> dict[str, Any]:
    """Writes a fit; the family of its posterior follows from its priors. A Keras model is made anew when asked for."""
    q = result.variational
    fields = {name: plain(getattr(result, name)) for name in _fields(FitResult) if name != "trained_model"}
    fields["variational"] = {
        "covariance": q.covariance,
        "weight_prior": q.weights.name,
        "num_components": q.num_components,
        "num_features": q.num_features,
        "values": plain(q.values()),
        "centre": q.centre,
        "gap_columns": q.gap_columns,
    }
    return fields


def _posterior_from(kept: dict[str, Any], priors: Priors) -> VariationalPosterior:
    sizes = kept["num_components"], kept["num_features"]
    q = VariationalPosterior.of(kept["covariance"], kept["weight_prior"], *sizes, priors)
    q.assign(kept["values"])
    q.assign_centre(np.asarray(kept["centre"]))
    q.observe_gaps(kept["gap_columns"])
    return q
