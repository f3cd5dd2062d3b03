"""A start from the group of every row: what another method found, or somebody knows."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np

from tfgmm.common.words import counted
from tfgmm.data.row_source import RowSource
from tfgmm.data.summary import DataSummary, centre
from tfgmm.families.variational import Factors, Values, VariationalPosterior
from tfgmm.mixture.features import matrices_of_products, num_products
from tfgmm.mixture.parameters import FORMS
from tfgmm.mixture.partitions import Groups, far_groups_widened
from tfgmm.mixture.statistics import Statistics, added


def is_labels(start: Any) -> bool:
    """Says whether a start is a group for each row, and not a name or locations."""
    return not isinstance(start, str) and np.ndim(start) == 1


def check_labels(start: Any, summary: DataSummary, num_components: int) -> np.ndarray:
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
    num_left_out = summary.num_empty + summary.num_weightless
    if num_left_out:
        raise ValueError(
            "`start` must be a name or locations where rows are left out, because of weight 0 or without any value. "
            f"Received: a group for each row, and {counted(num_left_out, 'row')} left out. Drop these rows before."
        )
    num_data = summary.num_rows or summary.num_data
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

    Of rows with gaps the values that there are count; then components stand at their groups, and no step is taken.

    Args:
        q: Untouched posterior, with priors and centre from the data.
        source: The rows, in memory or not; read once.
        labels: (N,) int, the group of each row, in their order.
        spread: (D,) widths that count as equal.
    """
    sums = _sums_of(q, source, labels)
    of_groups, num_features = sums.statistics, q.num_features
    squares = of_groups.second
    if q.form == "correlated":
        squares = np.diagonal(matrices_of_products(squares, num_features), axis1=-2, axis2=-1)
    observed = np.maximum(sums.observed, 1e-300)
    locs = of_groups.first / observed
    variances = np.maximum(squares / observed - np.square(locs), 1e-8 * np.square(spread))
    variances = np.where(sums.observed > 0, variances, np.square(spread))
    has_gaps = bool((sums.observed < of_groups.counts[:, None]).any())
    groups = Groups(locs[None], variances[None], of_groups.counts[None])
    components: Any = q.components  # one family, and q in it
    if not components.is_tied:
        groups = far_groups_widened(groups, spread)
    several = Statistics(*(value[None] for value in of_groups))
    start = components.start_at(groups)
    updated = start if has_gaps else components.update(start, several, q.centre)
    values = q.values_of(Factors(q.weights.update(of_groups.counts[None]), updated))
    return values.map(lambda value: value[0])


class _LabelSums(NamedTuple):
    """Statistics of the rows of each group, gaps as 0 from the centre; and its rows with a value, (K, D)."""

    statistics: Statistics
    observed: np.ndarray


def _sums_of(q: VariationalPosterior, source: RowSource, labels: np.ndarray) -> _LabelSums:
    write_products, first_row = FORMS[q.form].write_products, 0
    total: Statistics | None = None
    observed = np.zeros((q.num_components, q.num_features))
    for block in source.blocks():
        columns = centre(block.values, q.centre, np.float64, name=source.name).T
        of_block = labels[first_row : first_row + columns.shape[1]]
        first_row += columns.shape[1]
        is_there = ~np.isnan(columns)
        columns = np.where(is_there, columns, 0.0)
        products = np.empty((num_products(write_products, q.num_features), columns.shape[1]))
        write_products(columns, products)
        is_in = (of_block == np.arange(q.num_components)[:, None]).astype(np.float64)
        is_in *= 1.0 if block.weights is None else block.weights
        total = added(total, Statistics(is_in.sum(axis=1), is_in @ columns.T, is_in @ products.T))
        observed += is_in @ is_there.T
    return _LabelSums(cast("Statistics", total), observed)  # there are rows: the survey has seen them
