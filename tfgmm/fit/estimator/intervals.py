"""How sure a fit is of its parameters, as a table."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from tfgmm.common.columns import column_labels
from tfgmm.fit.result import FitResult
from tfgmm.fit.result_words import interval_draws


def intervals_of(result: FitResult, level: float) -> Any:
    """Writes posterior means of weights, means and standard deviations, with the ends of their intervals.

    Args:
        result: The fit.
        level: Share of the posterior between the ends, which leave out equally much on both sides.

    Returns:
        A pandas DataFrame; see `BayesianGaussianMixture.intervals`.
    """
    import pandas

    draws = interval_draws(result)
    most = (draws.num_draws - 1) / (draws.num_draws + 1)
    if isinstance(level, bool) or not isinstance(level, numbers.Real) or not 0.0 < level <= most:
        raise ValueError(f"`level` must be above 0 and at most {most:.4f}. Received: {level!r}. Choose one, e.g. 0.95.")
    labels = column_labels(result.column_names, result.num_features)
    ends = [0.5 * (1.0 - level), 0.5 * (1.0 + level)]
    parts = [
        _part("weight", [""], draws.weights[0][..., None], ends),
        _part("mean", labels, draws.locs[0], ends),
        _part("standard deviation", labels, draws.scales[0], ends),
    ]
    return pandas.concat(parts, ignore_index=True)


def _part(name: str, labels: Any, values: np.ndarray, ends: list[float]) -> Any:
    """Writes the lines of one kind of parameter, of which there are S draws (S, K, C): component after component."""
    import pandas

    _, num_components, num_columns = values.shape
    low, high = np.quantile(values, ends, axis=0)
    return pandas.DataFrame(
        {
            "component": np.repeat(np.arange(num_components), num_columns),
            "name": name,
            "column": [str(label) for label in labels] * num_components,
            "mean": values.mean(axis=0).ravel(),
            "low": low.ravel(),
            "high": high.ravel(),
        }
    )
