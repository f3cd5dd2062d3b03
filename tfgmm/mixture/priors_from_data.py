"""What the data say of priors that learn their scale: what is possible, and no more."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfgmm.common.checks import check_choice
from tfgmm.data.summary import DataSummary
from tfgmm.mixture.correlations import row_variance, shaped_like
from tfgmm.mixture.registry import COVARIANCES, CovarianceShape
from tfgmm.mixture.rounding import steps_of

SCALE_STRUCTURES = ("fixed", "columns", "matrix", "both")
# How far apart components may be beside their typical spread: steps of an eighth of an octave
LOC_SCALE_GRID = tuple(2.0 ** (-step / 8) for step in range(-12, 17))
LEAST_SCALE = 1e-7
# Variance that each row adds, in squared spreads: where rows do not vary, and elsewhere
_ROW_SHARE, _LEAST_ROW_SHARE = 1e-6, 1e-13


def learned_fields(
    data: DataSummary, sample: np.ndarray | None, covariance: str, scale_structure: str
) -> dict[str, Any]:
    """Makes the fields of priors for these data; see `Priors.from_data`.

    Args:
        data: Summary of the rows.
        sample: (n, D) rows, data units, or None.
        covariance: Covariance shape.
        scale_structure: What is learned of it.

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
    spread = np.array(data.spread)
    rounding = np.zeros(len(spread)) if sample is None else np.square(steps_of(sample)) / 12.0
    if shape.is_spherical:
        return fields | _of_sphere(data, rounding)
    least_scale: Any = np.maximum(LEAST_SCALE, rounding / np.square(spread))
    fields |= {"loc_scale": spread, "least_scale": least_scale}
    added = row_variance(data, sample if shape.is_correlated else None, _ROW_SHARE, _LEAST_ROW_SHARE)
    if not shape.is_correlated:
        return fields | {"expected_scale": np.square(spread), "row_variance": np.diag(added)}
    fields |= {"expected_scale": shaped_like(data, sample, covariance), "row_variance": added}
    if scale_structure == "matrix":  # which looks at no axes: nor must locations and rounding
        fields |= {"loc_covariance": fields["expected_scale"], "least_scale": least_scale.min()}
    return fields


def _of_sphere(data: DataSummary, rounding: np.ndarray) -> dict[str, Any]:
    """Takes one unit for all columns, so that a sphere is a sphere; a constant column has no width."""
    of_unit = data.varies if data.varies.any() else ~data.varies
    expected = float(np.square(data.spread)[of_unit].mean())
    least_scale = max(LEAST_SCALE, float(rounding[of_unit].mean()) / expected)
    return {
        "loc_scale": np.full(data.num_features, expected**0.5),
        "expected_scale": expected,
        "least_scale": least_scale,
    }


def _check_structure(scale_structure: str, covariance: str, shape: CovarianceShape) -> None:
    check_choice("scale_structure", scale_structure, SCALE_STRUCTURES[1:])
    if scale_structure == "matrix" and not shape.is_correlated:
        raise ValueError(
            f'`scale_structure` must be "columns" or "both" for covariance={covariance!r}, whose columns are '
            'independent. Received: "matrix". Leave it out, or ask for covariance="full" or "tied".'
        )
