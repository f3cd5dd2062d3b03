"""Posterior draws to ArviZ's InferenceData and back, with named coordinates: the one file that knows ArviZ."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfgmm.common import extras
from tfgmm.posterior.record import PosteriorRecord

if TYPE_CHECKING:
    from tfgmm.posterior.row_arrays import RowArrays

# Parameters and the names of their axes after chain and draw
PARAMETERS = {
    "weights": ("component",),
    "locs": ("component", "feature"),
    "scales": ("component", "feature"),
    "covariances": ("component", "feature", "feature_2"),
}
# The name of the rows, and of their log likelihoods, in every group that has them
ROWS = "rows"
_REQUIRED = ("weights", "locs", "scales")
# The attribute of the group "posterior" with the record as JSON: NetCDF holds text, but nothing nested and no None
RECORD = "posterior_record"


def arviz() -> Any:
    """Imports the module `arviz` and returns it.

    Raises:
        ModuleNotFoundError: It is not installed.
    """
    with warnings.catch_warnings():
        # Version 0.23 announces on import that version 1 will be another
        warnings.filterwarnings("ignore", category=FutureWarning)
        return extras.imported("arviz", "ArviZ", "numpyro", "pyro")


def to_arviz(
    values: Mapping[str, np.ndarray],
    column_names: Sequence[str] | None,
    sample_stats: Mapping[str, np.ndarray],
    record: PosteriorRecord | None = None,
    of_rows: RowArrays | None = None,
) -> Any:
    """Makes the `arviz.InferenceData` of draws; see `Draws.to_arviz`.

    Args:
        values: Some of `PARAMETERS`, locs among them, (C, S, K, ...) by name.
        column_names: D names, or None.
        sample_stats: Figures of each draw, (C, S, ...) by name.
        record: How the draws were made, kept as an attribute of the group "posterior"; None for nothing.
        of_rows: What the draws say of rows, for the groups that hold such; None for nothing.
    """
    num_components, num_features = values["locs"].shape[2:]
    features = list(column_names or range(num_features))
    data = arviz().from_dict(
        posterior=dict(values),
        sample_stats=dict(sample_stats) or None,
        coords={"component": list(range(num_components)), "feature": features, "feature_2": features},
        dims={name: list(PARAMETERS[name]) for name in values},
        posterior_attrs={} if record is None else {RECORD: json.dumps(record.to_dict(), allow_nan=False)},
    )
    if of_rows is not None:
        for group in _groups_of_rows(of_rows, features):
            data.extend(group)
    return data


def _groups_of_rows(of_rows: RowArrays, features: Sequence[Any]) -> Iterator[Any]:
    """Yields one `arviz.InferenceData` for each group that holds rows: its variable has the same name in all."""
    coords = {"row": of_rows.numbers, "feature": list(features)}
    yield _group("log_likelihood", of_rows.log_likelihoods, ["row"], coords)
    yield _group("observed_data", of_rows.observed, ["row", "feature"], coords)
    if len(of_rows.simulated_draws):
        coords = {**coords, "draw": of_rows.simulated_draws}
        yield _group("posterior_predictive", of_rows.simulated, ["row", "feature"], coords)


def _group(name: str, values: np.ndarray, dims: list[str], coords: Mapping[str, Any]) -> Any:
    """Makes the `arviz.InferenceData` of one group: the dimensions of a variable may differ from group to group."""
    return arviz().from_dict(**{name: {ROWS: values}}, dims={ROWS: dims}, coords=coords)


def from_arviz(data: Any) -> dict[str, Any]:
    """Reads the fields of `Draws` from ArviZ's `data`, or from the NetCDF file of that path.

    Raises:
        ValueError: It holds no draws of a mixture, or an odd record of how they were made.
    """
    if isinstance(data, (str, os.PathLike)):
        data = arviz().from_netcdf(os.fspath(data))
    posterior: Any = getattr(data, "posterior", {})
    missing = [name for name in _REQUIRED if name not in posterior]
    if missing:
        raise ValueError(
            f"`data` must have a group `posterior` with {', '.join(_REQUIRED)}. Received: "
            f"{type(data).__name__} without {', '.join(missing)}. Pass what Draws.to_arviz returned."
        )
    fields = {name: _array(posterior[name], name) for name in PARAMETERS if name in posterior}
    features = posterior["locs"].coords["feature"].values.tolist() if "feature" in posterior.coords else []
    names = tuple(features) if features and all(isinstance(name, str) for name in features) else None
    stats = getattr(data, "sample_stats", None)
    sample_stats = {} if stats is None else {name: np.asarray(stats[name]) for name in stats.data_vars}
    record = _record_in(posterior.attrs)
    return {**fields, "column_names": names, "sample_stats": sample_stats, "posterior": record}


def _record_in(attributes: Mapping[str, Any]) -> PosteriorRecord | None:
    """Reads how the draws were made; None where their engine does not say."""
    if RECORD not in attributes:
        return None
    try:
        values = json.loads(attributes[RECORD])
        return PosteriorRecord.from_dict(values if isinstance(values, dict) else {})
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"`data.posterior.attrs[{RECORD!r}]` must be what Draws.to_arviz wrote. Received: "
            f"{attributes[RECORD]!r:.100} ({error}). Delete the attribute, or pass what Draws.to_arviz returned."
        ) from error


def _array(values: Any, name: str) -> np.ndarray:
    """Puts the axes of one variable in the order of `Draws`."""
    dims = ("chain", "draw", *PARAMETERS[name])
    if set(values.dims) != set(dims):
        raise ValueError(
            f"`data.posterior.{name}` must have the dimensions {', '.join(dims)}. Received: "
            f"{', '.join(map(str, values.dims))}. Rename them, or pass what Draws.to_arviz returned."
        )
    return np.asarray(values.transpose(*dims))
