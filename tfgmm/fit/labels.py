"""A start from the group of every row: what another method found, or somebody knows."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from tfgmm.data.row_source import RowSource
from tfgmm.data.summary import centre
from tfgmm.families.variational import Factors, Values, VariationalPosterior
from tfgmm.mixture.features import matrices_of_products, num_products
from tfgmm.mixture.parameters import FORMS
from tfgmm.mixture.partitions import Groups, far_groups_widened
from tfgmm.mixture.statistics import Statistics, added


def is_labels(start: Any) -> bool:
    """Says whether a start is a group for each row, and not a name or locations."""
    return not isinstance(start, str) and np.ndim(start) == 1


def check_labels(start: Any, num_data: float, num_components: int) -> np.ndarray:
    """Checks the group of each row, and hands it on as (N,) int.

    Raises:
        ValueError: There is not a group from 0 to K - 1 for each row, or a group has no row.
        TypeError: They are not whole numbers.
    """
    labels = np.asarray(start)
    if labels.dtype.kind not in "iu":
        raise TypeError(
            f"`start` must hold whole numbers where it has one axis: the group of each row. Received: dtype "
            f"{labels.dtype}. Pass groups from 0 to {num_components - 1}, or locations (K, D)."
        )
    if len(labels) != num_data:
        raise ValueError(
            f"`start` must have a group for each of the {num_data} rows. Received: {len(labels)} groups. Pass one per "
            "row, in the order of the rows, or locations (K, D)."
        )
    found = np.unique(labels)
    if not np.array_equal(found, np.arange(num_components)):
        raise ValueError(
            f"`start` must name the groups 0 to {num_components - 1}, each with at least one row. Received: groups "
            f"{found.tolist()!s:.100}. Number the groups that there are from 0, and ask for as many components."
        )
    return labels.astype(np.int64)


def start_at_labels(q: VariationalPosterior, source: RowSource, labels: np.ndarray, spread: np.ndarray) -> Values:
    """Takes one step from these groups, as if they were certain: each component has the moments of its rows.

    Args:
        q: Untouched posterior, with priors and centre from the data.
        source: The rows, in memory or not; read once.
        labels: (N,) int, the group of each row, in their order.
        spread: (D,) widths that count as equal.
    """
    statistics = _statistics_of(q, source, labels)
    counts, num_features = statistics.counts, q.num_features
    locs = statistics.first / counts[:, None]
    squares = statistics.second
    if q.form == "correlated":
        squares = np.diagonal(matrices_of_products(squares, num_features), axis1=-2, axis2=-1)
    variances = np.maximum(squares / counts[:, None] - np.square(locs), 1e-8 * np.square(spread))
    groups = Groups(locs[None], variances[None], counts[None])
    components: Any = q.components  # one family, and q in it
    if not components.is_tied:
        groups = far_groups_widened(groups, spread)
    several = Statistics(*(value[None] for value in statistics))
    updated = components.update(components.start_at(groups), several, q.centre)
    values = q.values_of(Factors(q.weights.update(counts[None]), updated))
    return values.map(lambda value: value[0])


def _statistics_of(q: VariationalPosterior, source: RowSource, labels: np.ndarray) -> Statistics:
    write_products, first_row = FORMS[q.form].write_products, 0
    total: Statistics | None = None
    for block in source.blocks():
        columns = centre(block.values, q.centre, np.float64, name=source.name).T
        of_block = labels[first_row : first_row + columns.shape[1]]
        first_row += columns.shape[1]
        products = np.empty((num_products(write_products, q.num_features), columns.shape[1]))
        write_products(columns, products)
        is_in = (of_block == np.arange(q.num_components)[:, None]).astype(np.float64)
        total = added(total, Statistics(is_in.sum(axis=1), is_in @ columns.T, is_in @ products.T))
    return cast("Statistics", total)  # there are rows: the survey has seen them
