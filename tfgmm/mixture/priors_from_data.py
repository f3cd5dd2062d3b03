"""What the data say of priors that learn their scale: what is possible, and no more."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tfgmm.common.checks import check_choice
from tfgmm.common.shapes import check_shape
from tfgmm.data.blocks import RowBlock
from tfgmm.data.readers import read_rows
from tfgmm.data.summary import DataSummary, summarise
from tfgmm.mixture.column_values import values_of_columns
from tfgmm.mixture.correlations import LEAST_ROW_SHARE, row_variance, row_variances, shaped_like
from tfgmm.mixture.registry import COVARIANCES, CovarianceShape
from tfgmm.mixture.virtual_copies import with_counts

SCALE_STRUCTURES = ("fixed", "columns", "matrix", "both")
# How far apart components may be beside their typical spread: steps of an eighth of an octave
LOC_SCALE_GRID = tuple(2.0 ** (-step / 8) for step in range(-12, 17))
LEAST_SCALE = 1e-7


class Surveyed(NamedTuple):
    """What priors are made from: a summary, some rows or None, and how often these count or None."""

    summary: DataSummary
    sample: np.ndarray | None
    weights: np.ndarray | None


def surveyed(
    data: Any, sample: np.ndarray | None, weights: np.ndarray | None, sample_weight: Any, missing: str
) -> Surveyed:
    """Summarises rows, unless that is done; arguments as in `Priors.from_data`.

    Raises:
        ValueError, TypeError: The rows or their weights cannot be read, or weights are given in the wrong place.
    """
    is_summary = isinstance(data, DataSummary)
    if is_summary and sample_weight is not None:
        raise ValueError(
            "`sample_weight` must be left out where `data` is a summary. Received: both. Give the weights of the rows "
            "of `sample` as `weights`."
        )
    if weights is not None and not is_summary:
        raise ValueError(
            "`weights` must be those of `sample`, beside a summary. Received: weights, and rows as `data`. Give the "
            "weights of the rows as `sample_weight`."
        )
    if isinstance(data, DataSummary):
        if weights is not None and sample is not None:
            check_shape("weights", np.asarray(weights), "n", n=len(sample), fix="Give one for each row of `sample`.")
        return Surveyed(data, sample, weights)
    rows = read_rows(data, name="data", sample_weight=sample_weight, missing=missing)
    every = RowBlock(np.asarray(rows.values, np.float64), rows.weights)
    return Surveyed(summarise(rows, name="data", sample=every), every.values, every.weights)


def learned_fields(
    data: DataSummary,
    sample: np.ndarray | None,
    covariance: str,
    scale_structure: str,
    weights: np.ndarray | None = None,
) -> dict[str, Any]:
    """Makes the fields of priors for these data; see `Priors.from_data`.

    Args:
        data: Summary of the rows.
        sample: (n, D) rows, data units, NaN where a row has no value; or None.
        covariance: Covariance shape.
        scale_structure: What is learned of it.
        weights: (n,) how often each row of the sample counts; None: each once.

    Raises:
        ValueError: The names are unknown or do not suit each other, or there is no sample where one is needed.
    """
    check_choice("covariance", covariance, COVARIANCES)
    shape = COVARIANCES[covariance]
    _check_structure(scale_structure, covariance, shape)
    fields: dict[str, Any] = {
        "loc_mean": data.centre,
        "scale_structure": scale_structure,
        "loc_scale_grid": LOC_SCALE_GRID,
    }
    rows, counts = (None, None) if sample is None else with_counts(sample, weights, data)
    spread, rounding = np.array(data.spread), _rounding(data, rows, counts)
    if shape.is_spherical:
        return fields | _of_sphere(data, rows, counts, rounding)
    least_scale: Any = np.maximum(LEAST_SCALE, rounding / np.square(spread))
    fields |= {"loc_scale": spread, "least_scale": least_scale}
    if not shape.is_correlated:
        return fields | {"expected_scale": np.square(spread), "row_variance": row_variances(data, rows, counts)}
    expected = shaped_like(data, sample, covariance, weights)
    fields |= {"expected_scale": expected, "row_variance": row_variance(data, rows, counts)}
    if scale_structure == "matrix":  # which looks at no axes: nor must locations and the floor
        fields |= {"loc_covariance": fields["expected_scale"], "least_scale": least_scale.min()}
    return fields


def least_variances(data: DataSummary, sample: np.ndarray | None, weights: np.ndarray | None = None) -> np.ndarray:
    """Computes the variance that no component is below in each column, (D,) squared data units, for any shape.

    It is a tiny share of the squared spread, or what the rounding of the column explains.

    Args:
        data: Summary of the rows.
        sample: (n, D) rows, data units, NaN where a row has no value; or None.
        weights: (n,) how often each row of the sample counts; None: each once.
    """
    rows, counts = (None, None) if sample is None else with_counts(sample, weights, data)
    return np.maximum(LEAST_SCALE * np.square(data.spread), _rounding(data, rows, counts))


def _rounding(data: DataSummary, sample: np.ndarray | None, counts: np.ndarray | None) -> np.ndarray:
    if sample is None:
        return np.zeros(data.num_features)
    return np.array([found.rounding_variance for found in values_of_columns(sample, counts)])


def _of_sphere(
    data: DataSummary, sample: np.ndarray | None, counts: np.ndarray | None, rounding: np.ndarray
) -> dict[str, Any]:
    """Takes one unit for all columns, so that a sphere is a sphere; a constant column has no width."""
    of_unit = data.varies if data.varies.any() else ~data.varies
    expected = float(np.square(data.spread)[of_unit].mean())
    return {
        "loc_scale": np.full(data.num_features, expected**0.5),
        "expected_scale": expected,
        "least_scale": max(LEAST_SCALE, float(rounding[of_unit].mean()) / expected),
        "row_variance": np.where(of_unit, row_variances(data, sample, counts), LEAST_ROW_SHARE * expected),
    }


def _check_structure(scale_structure: str, covariance: str, shape: CovarianceShape) -> None:
    check_choice("scale_structure", scale_structure, SCALE_STRUCTURES[1:])
    if scale_structure == "matrix" and not shape.is_correlated:
        raise ValueError(
            f'`scale_structure` must be "columns" or "both" for covariance={covariance!r}, whose columns are '
            'independent. Received: "matrix". Leave it out, or ask for covariance="full" or "tied".'
        )
