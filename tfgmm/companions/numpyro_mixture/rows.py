"""Rows with weights, gaps and measurement noise on their way to the model: read, checked, sorted by what they lack."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tfgmm.companions.numpyro_mixture.model import MarginalModel
from tfgmm.companions.one_column import check_enough_rows, one_column
from tfgmm.data.blocks import RowBlock
from tfgmm.data.errors import no_value_error, not_finite_error
from tfgmm.data.sources import open_source
from tfgmm.posterior.fitted_rows import FittedRows

from tfgmm.companions.numpyro_mixture.densities import (  # isort: skip  after `model`
    MaskedRows,
    ObservedRows,
    RowGroup,
)


class TableOfRows(NamedTuple):
    """N rows in memory, float64, and the names of their columns, or None."""

    block: RowBlock
    column_names: tuple[str, ...] | None

    @property
    def is_plain(self) -> bool:
        """Whether rows have neither weights nor gaps nor noise."""
        weights, noise = self.block.weights, self.block.noise
        return weights is None and noise is None and not np.isnan(self.block.values).any()

    @property
    def total_weight(self) -> float:
        """Sum of the weights; the number of rows where these have none."""
        return len(self.block.values) if self.block.weights is None else float(self.block.weights.sum())

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Computes the weighted mean and standard deviation of the values of each column, (D,) each."""
        return moments_of(self.block.values, self.block.weights)

    def fitted(self) -> FittedRows:
        """Says what identifies the rows, those without any value left out, as in a fit."""
        return FittedRows.of_block(self.block.part(~np.isnan(self.block.values).all(axis=1)))

    def filled(self) -> np.ndarray:
        """Computes rows, (N, D), with the mean of the column in place of each gap: for starts, not for densities."""
        values = self.block.values
        return np.where(np.isnan(values), self.moments()[0], values) if np.isnan(values).any() else values


def moments_of(values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Computes the weighted mean and standard deviation of each column, (D,) each, over what is no gap."""
    is_known = ~np.isnan(values)
    if weights is None and is_known.all():
        return values.mean(axis=0), values.std(axis=0)
    shares = is_known * (np.ones(len(values)) if weights is None else weights)[:, None]
    shares = shares / shares.sum(axis=0)
    mean = np.where(is_known, shares * np.nan_to_num(values), 0.0).sum(axis=0)
    away = np.where(is_known, values - mean, 0.0)
    return mean, np.sqrt((shares * np.square(away)).sum(axis=0))


def observed_rows(
    model: MarginalModel, data: Any, *, sample_weight: Any = None, noise: Any = None, missing: str = "integrate"
) -> ObservedRows:
    """Reads rows with weights, gaps or measurement noise as `model` takes them, for NumPyro's own inference.

    Args:
        model: Model that `mixture_model` made.
        data: N rows of D columns, of any kind that `sample_nuts` takes; data units.
        sample_weight: How often each row counts, (N,), or the name of a column; see `sample_nuts`.
        noise: Measurement noise, (N, D), (N, D, D), or a mapping of columns; see `sample_nuts`.
        missing: "integrate", a row with gaps has the density of its other columns; "refuse", a gap is an error.

    Returns:
        What the model is called with in place of rows; NumPyro counts it as one factor.

    Raises:
        ValueError, TypeError: As `sample_nuts`; D is not that of the model.

    Example:

    >>> from tfgmm.companions.numpyro_mixture import mixture_model
    >>> model = mixture_model(2, 2)
    >>> rows = observed_rows(model, [[0.0, 1.0], [np.nan, 3.0], [4.0, 2.0]], sample_weight=[1, 2, 1])
    >>> rows.parts[0].masks.tolist()
    [[1.0, 1.0], [0.0, 1.0], [1.0, 1.0]]
    """
    table = read_table(data, model.num_components, sample_weight, noise, missing)
    num_features = table.block.values.shape[1]
    if num_features != model.num_features:
        raise ValueError(
            f"`data` must have {model.num_features} columns, as the model has. Received: {num_features}. "
            "Make the model with num_features for these rows."
        )
    return sorted_rows(table.block, model.is_correlated)


def read_table(data: Any, num_components: int, sample_weight: Any, noise: Any, missing: str) -> TableOfRows:
    """Reads rows of any kind with what they carry, and checks that they are finite, or gaps, and enough.

    Raises:
        ValueError, TypeError: As `sample_nuts`.
    """
    name = None
    if _is_one_column(data):
        name, num_least = getattr(data, "name", None), num_components if missing == "refuse" else None
        data = one_column("data", data, num_components=num_least, allow_gaps=missing == "integrate")[:, None]
        noise = _of_one_column(noise)
    source = open_source(data, "data", None, sample_weight=sample_weight, noise=noise, missing=missing)
    block = _joined([_as_float64(block) for block in source.blocks()])
    names = (name,) if isinstance(name, str) and name else source.column_names
    if missing == "refuse" and not np.isfinite(block.values).all():
        raise not_finite_error("data", names, block.values, 0, ())
    has_value = ~np.isnan(block.values).all(axis=0)
    if not has_value.all():
        raise no_value_error("data", names, int(np.argmin(has_value)), len(block.values))
    table = TableOfRows(block, names)
    check_enough_rows(table.total_weight, num_components)
    return table


def _is_one_column(data: Any) -> bool:
    is_list = isinstance(data, (list, tuple)) and len(data) > 0 and np.ndim(data[0]) == 0
    return is_list or len(getattr(data, "shape", ())) == 1


def _of_one_column(noise: Any) -> Any:
    """Gives standard deviations (N,) a second axis, as the rows were given one."""
    is_list = isinstance(noise, (list, tuple)) and len(noise) > 0 and np.ndim(noise[0]) == 0
    return np.asarray(noise)[:, None] if is_list or len(getattr(noise, "shape", ())) == 1 else noise


def _as_float64(block: RowBlock) -> RowBlock:
    return block._replace(values=np.ascontiguousarray(block.values, np.float64))


def _joined(blocks: list[RowBlock]) -> RowBlock:
    if len(blocks) == 1:
        return blocks[0]
    values = np.concatenate([block.values for block in blocks])
    weights = [block.weights for block in blocks if block.weights is not None]
    noise = [block.noise for block in blocks if block.noise is not None]
    return RowBlock(values, np.concatenate(weights) if weights else None, np.concatenate(noise) if noise else None)


def sorted_rows(block: RowBlock, is_correlated: bool) -> ObservedRows:
    """Sorts rows, float64 with NaN at gaps, into parts whose rows are computed alike.

    Args:
        block: Rows with what they carry.
        is_correlated: Whether columns depend on each other within a component. Noise with covariances makes them so.

    Example:

    >>> parts = sorted_rows(RowBlock(np.array([[0.0, 1.0], [np.nan, 3.0]])), is_correlated=True).parts
    >>> [part.columns.tolist() for part in parts]
    [[1], [0, 1]]
    """
    has_covariances = block.noise is not None and block.noise.ndim == 3
    if is_correlated or has_covariances:
        return ObservedRows(tuple(_groups(block)))
    is_gap = np.isnan(block.values)
    masks = 1.0 - is_gap if is_gap.any() else None
    variances = None if block.noise is None else np.square(block.noise)
    return ObservedRows((MaskedRows(np.where(is_gap, 0.0, block.values), masks, variances, block.weights),))


def _groups(block: RowBlock) -> list[RowGroup]:
    """Groups rows by the columns in which they have a value."""
    patterns, group = np.unique(~np.isnan(block.values), axis=0, return_inverse=True)
    groups = []
    for number, pattern in enumerate(patterns):
        rows, columns = block.part(group.reshape(-1) == number), np.flatnonzero(pattern)
        groups.append(RowGroup(columns, rows.values[:, columns], _covariances(rows.noise, columns), rows.weights))
    return groups


def _covariances(noise: np.ndarray | None, columns: np.ndarray) -> np.ndarray | None:
    """Takes the noise of some columns as covariances, (n, d, d)."""
    if noise is None or noise.ndim == 3:
        return None if noise is None else noise[:, columns[:, None], columns]
    return np.square(noise[:, columns])[..., None] * np.eye(len(columns))
