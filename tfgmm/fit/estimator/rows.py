"""Rows, weights and noise on their way into the estimator: scikit-learn's checks first, tfgmm's after them."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from sklearn.utils.validation import check_array, check_consistent_length, validate_data

from tfgmm.data.containers import check_in_memory
from tfgmm.data.readers import Rows
from tfgmm.data.shards.recognised import check_no_shards
from tfgmm.data.sources import open_source

_FLOATS = [np.float64, np.float32]
_NAME = "X"


def opened(
    estimator: Any,
    rows: Any,
    sample_weight: Any = None,
    noise: Any = None,
    *,
    is_fit: bool,
    is_first: bool = True,
) -> Rows:
    """Opens rows to fit or to score, with the names that their columns have for scikit-learn.

    Args:
        estimator: The estimator; `is_fit` sets its `n_features_in_` and `feature_names_in_`.
        rows: (N, D), anything that scikit-learn takes for rows.
        sample_weight: One weight for each row, or one for all.
        noise: Standard deviations (N, D) or covariances (N, D, D), data units.
        is_fit: Whether the rows are to be fitted: rows that say nothing are then left out.
        is_first: Whether they are the first of those: later ones must have the columns of the first, and may all be
            without any value.

    Raises:
        ValueError, TypeError: As scikit-learn raises them, and as `open_source` does.
    """
    check_no_shards(_NAME, rows)  # before scikit-learn, which would collect them
    for argument, data in ((_NAME, rows), ("sample_weight", sample_weight), ("noise", noise)):
        check_in_memory(argument, data)
    finite: Any = "allow-nan" if estimator.missing == "integrate" else True
    reset = is_fit and is_first
    checked = validate_data(
        estimator, rows, reset=reset, dtype=_FLOATS, ensure_all_finite=finite, ensure_min_samples=2 if reset else 1
    )
    names = getattr(estimator, "feature_names_in_", None)
    source = open_source(
        checked,
        _NAME,
        None,
        None if names is None else tuple(names),
        allow_empty=not is_fit,
        sample_weight=None if sample_weight is None else checked_weights(sample_weight, checked),
        noise=None if noise is None else _checked_noise(noise, checked),
        missing=estimator.missing,
        may_be_gaps=is_fit and not is_first,
    )
    return cast("Rows", source)  # what an array is opened as


def checked_weights(sample_weight: Any, rows: np.ndarray) -> np.ndarray:
    """Checks weights as scikit-learn's estimators do, and hands them on as (N,) float64.

    Raises:
        ValueError: They are not one finite number of 0 or more for each row, or all of them are 0.
    """
    if isinstance(sample_weight, numbers.Number):
        weights = np.full(len(rows), sample_weight, np.float64)
    else:
        weights = check_array(sample_weight, ensure_2d=False, dtype=_FLOATS, input_name="sample_weight")
    if weights.shape != (len(rows),):
        raise ValueError(
            f"`sample_weight` must have the shape ({len(rows)},), a weight for each row. Received: shape "
            f"{weights.shape}. Pass one per row of X, in the same order."
        )
    if not weights.any():
        raise ValueError(
            "`sample_weight` must have a number above 0: a row of weight zero is no row. Received: zeros only. "
            "Pass how often each row counts."
        )
    return np.asarray(weights, np.float64)


def _checked_noise(noise: Any, rows: np.ndarray) -> np.ndarray:
    """Checks that noise is an array of numbers with a line for each row; infinite noise makes a value a gap."""
    if isinstance(noise, (Mapping, str)):
        raise TypeError(
            f"`noise` must be an array with a line for each row of X. Received: {type(noise).__name__}. Pass standard "
            "deviations (N, D), or covariances (N, D, D); tfgmm.fit_mixture takes names of columns."
        )
    checked = check_array(noise, allow_nd=True, ensure_all_finite=False, dtype=_FLOATS, input_name="noise")
    check_consistent_length(rows, checked)
    return np.asarray(checked, np.float64)
