"""What every component would gain as two: some of its rows, measured in its widths, and sums over both halves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tfgmm.data.blocks import RowBlock
from tfgmm.families.variational import Values, VariationalPosterior
from tfgmm.fit.moves.halves import Crowds, Widths, halves_of
from tfgmm.fit.moves.looks import Members
from tfgmm.mixture.features import num_products
from tfgmm.mixture.filled import with_gaps_filled
from tfgmm.mixture.log_joints import write_features
from tfgmm.mixture.parameters import FORMS, LOCS
from tfgmm.mixture.registry import COVARIANCES
from tfgmm.mixture.true_values import covariances_of

# Rows that the halves of a component are found with; filled ones are among them only where fewer are complete
_MOST_ROWS, _ENOUGH_ROWS = 400, 50
# Numbers in the work on some components at a time
_MOST_NUMBERS = 2**22
# Columns up to which halves have correlations of their own: of more they take longer than all sweeps
_MOST_COLUMNS_OF_MATRICES = 8


class FilledRows(NamedTuple):
    """Rows whose gaps are filled.

    values: (n, D) float32, measured from the centre.
    is_filled: (n,) bool; None where no row has a gap.
    noise: Measurement noise, as `RowBlock` has it.
    """

    values: np.ndarray
    is_filled: np.ndarray | None
    noise: np.ndarray | None

    @classmethod
    def of(cls, block: RowBlock) -> FilledRows:
        """Fills the gaps of rows, measured from the centre."""
        values = block.values
        is_gap = np.isnan(values)
        if not is_gap.any():
            return cls(values, None, block.noise)
        rows = values.astype(np.float64)
        spread = np.asarray(np.ma.array(rows, mask=is_gap).std(axis=0).filled(0.0))
        filled = with_gaps_filled(rows, np.where(spread > 0.0, spread, 1.0))
        return cls(filled.astype(np.float32), is_gap.any(axis=1), block.noise)


def divisions_at(
    q: VariationalPosterior, values: Values, rows: FilledRows, members: Members, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Finds two components in place of each: gains (K,) nats, and sums of features over both halves, (K, 2, F + 1).

    Args:
        q: Family of the posteriors.
        values: Where q stands.
        rows: The rows.
        members: Rows of each component.
        seed: Seed of the choice of rows.
    """
    generator, shape = np.random.default_rng(seed), COVARIANCES[q.covariance]
    has_matrices = shape.is_correlated and not shape.is_tied and q.num_features <= _MOST_COLUMNS_OF_MATRICES
    widths = Widths(shape.is_tied, shape.is_spherical, has_matrices)
    means = q.components.means(q.factors_of(values).components)
    some = _some(members, rows.is_filled, q.num_components, generator)
    numbers_each = some.rows.shape[1] * q.num_features * (q.num_features if shape.is_correlated else 2)
    size, found = max(1, _MOST_NUMBERS // numbers_each), []
    for first in range(0, q.num_components, size):
        part = _Some(*(value[first : first + size] for value in some))
        of_part = {name: value if len(value) == 1 else value[first : first + size] for name, value in means.items()}
        if rows.noise is not None:
            of_part = _seen(of_part, rows.noise, part)
        of_rows = rows.values[part.rows].astype(np.float64)
        halves = halves_of(_crowds(of_part, of_rows, part), widths, generator)
        weights = halves.memberships * (part.weights * part.times[:, None])[:, None]
        found.append((part.times * halves.gains, weights @ _features(q, of_rows)))
    gains, sums = (np.concatenate(parts) for parts in zip(*found))
    return gains, sums


class _Some(NamedTuple):
    """Some rows of each of K components.

    rows: (K, n) int, numbers of the rows; any where there is none.
    memberships: (K, n), 1 where there is none.
    weights: (K, n), how often each counts; 0 where there is none.
    times: (K,), how many rows each of them stands for.
    """

    rows: np.ndarray
    memberships: np.ndarray
    weights: np.ndarray
    times: np.ndarray


def _some(members: Members, is_filled: np.ndarray | None, num_components: int, generator: np.random.Generator) -> _Some:
    """Chooses up to 400 rows of each component at random, complete ones where there are enough."""
    ends = np.searchsorted(members.components, np.arange(num_components + 1))
    counts = np.diff(ends)
    keys = generator.random(len(members.components))
    if is_filled is not None:
        is_late = is_filled[members.rows]
        keys += is_late
        num_complete = np.bincount(members.components[~is_late], minlength=num_components)
        counts = np.minimum(counts, np.maximum(num_complete, _ENOUGH_ROWS))
    order = np.append(np.lexsort((keys, members.components)), -1)  # the last stands for no row
    places = np.arange(min(max(counts.max(), 1), _MOST_ROWS))
    entries = order[np.where(places < counts[:, None], ends[:-1, None] + places, -1)]
    _, rows, memberships, weights = (
        np.append(value, ending)[entries] for value, ending in zip(members, (0, 0, 1.0, 0.0))
    )
    of_all = np.bincount(members.components, members.weights * members.memberships, num_components)
    of_some = (weights * memberships).sum(axis=1)
    times = np.divide(of_all, of_some, out=np.ones(num_components), where=of_some > 0.0)
    return _Some(rows, memberships, weights, times)


def _seen(means: Mapping[str, np.ndarray], noise: np.ndarray, some: _Some) -> dict[str, np.ndarray]:
    """Widens M components by the mean noise of their rows: as wide as rows are that are seen with noise."""
    own = some.weights * some.memberships
    own = own / np.maximum(own.sum(axis=1, keepdims=True), 1e-12)
    if "precisions" in means:
        variances = np.square(noise) if noise.ndim == 2 else np.diagonal(noise, axis1=1, axis2=2)
        of_noise = (own[:, None] @ variances[some.rows])[:, 0]
        return {LOCS: means[LOCS], "precisions": 1.0 / (1.0 / means["precisions"] + of_noise)}
    of_rows = covariances_of(noise[some.rows.ravel()]).reshape(*some.rows.shape, *means["whiteners"].shape[1:])
    of_noise = np.einsum("mn,mnde->mde", own, of_rows)
    roots = np.linalg.inv(means["whiteners"])
    seen = np.linalg.cholesky(roots @ roots.swapaxes(1, 2) + of_noise)
    return {LOCS: means[LOCS], "whiteners": np.linalg.inv(seen)}


def _crowds(means: Mapping[str, np.ndarray], rows: np.ndarray, some: _Some) -> Crowds:
    """Measures rows (M, n, D) of M components from their locations, in their widths.

    Args:
        means: Locations, and precisions or whiteners, of the M.
        rows: Their rows.
        some: What is known of these.
    """
    away = (rows - means[LOCS][:, None]) * (some.weights > 0.0)[..., None]
    if "precisions" in means:
        whitened = scaled = away * np.sqrt(means["precisions"])[:, None]
    else:
        whitened = scaled = away @ means["whiteners"].swapaxes(1, 2)
    if "whiteners" in means:  # whitened rows are as wide in all directions: the longest axis shows before
        variances = np.square(np.linalg.inv(means["whiteners"])).sum(axis=2)
        scaled = away / np.sqrt(variances)[:, None]
    return Crowds(whitened, scaled, some.memberships, some.weights)


def _features(q: VariationalPosterior, rows: np.ndarray) -> np.ndarray:
    """Writes columns, their products and 1 of rows (M, n, D), (M, n, D + P + 1)."""
    write, num_features = FORMS[q.form].write_products, rows.shape[-1]
    columns = rows.reshape(-1, num_features).T
    features = np.empty((num_features + num_products(write, num_features) + 1, columns.shape[1]))
    write_features(write, columns, features)
    return features.T.reshape(*rows.shape[:2], -1)
