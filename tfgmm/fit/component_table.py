"""The components of a fit as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tfgmm.common.columns import column_labels

if TYPE_CHECKING:
    from tfgmm.posterior.draws import Draws


def component_lines(draws: Draws, column_names: tuple[str, ...] | None) -> Iterator[str]:
    """Yields a line per component and column: median and interval of weight, location and standard deviation."""
    names = column_labels(column_names, draws.num_features)
    width = max(len("column"), *(len(name) for name in names))
    yield f"{'component':>9}  {'weight':<22}  {'column':<{width}}  {'mean':<30}  standard deviation"
    for k in np.argsort(-draws.weights[0].mean(axis=0)):
        weight = _with_interval(draws.weights[0, :, k], ".3f")
        for index, name in enumerate(names):
            first = f"{k:>9}  {weight:<22}" if index == 0 else " " * 33
            loc = _with_interval(draws.locs[0, :, k, index], ".5g")
            scale = _with_interval(draws.scales[0, :, k, index], ".4g")
            yield f"{first}  {name:<{width}}  {loc:<30}  {scale}"


def _with_interval(values: np.ndarray, form: str) -> str:
    low, high = np.quantile(values, [0.025, 0.975])
    return f"{np.median(values):{form}} [{low:{form}}, {high:{form}}]"
