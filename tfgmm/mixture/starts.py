"""Where training begins: component centres chosen among the rows."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from tfgmm.common.checks import check_choice
from tfgmm.common.shapes import check_shape
from tfgmm.common.threads import one_thread_each
from tfgmm.mixture.filled import with_gaps_filled

_LEAST_LOCAL_TRIALS = 20
_PRODUCTS_OF_ONE_THREAD = 250_000  # fewer multiplications run in one thread anyway
# How rows are chosen
STARTS = ("k-means++", "random")
# Rows that k-means++ chooses among: with more it finds the same clusters, more slowly.
_FEWEST_CANDIDATES, _CANDIDATES_PER_COMPONENT = 2_000, 100


def start_locs(
    start: Any,
    sample: np.ndarray,
    num_components: int,
    centre: np.ndarray,
    seed: int,
    spread: np.ndarray | None = None,
    *,
    is_distinct: bool = False,
    num_trials: int | None = None,
) -> np.ndarray:
    """Chooses K start locations, (K, D) float64, measured from `centre`.

    Args:
        start: "k-means++" (Arthur and Vassilvitskii 2007; scikit-learn's),
            "random" (distinct rows at random), or an array of locations, (K, D), data units.
        sample: (n, D) float, centred rows; NaN where a row has no value, which nearby rows lend it.
        num_components: K.
        centre: (D,) float64, data units.
        seed: Seed of the choice.
        spread: (D,) widths that count as equal to k-means++; default the standard deviations of the sample.
        is_distinct: Whether the rows of the sample are known to be distinct, and float64.
        num_trials: Rows that k-means++ tries for each centre; default max(20, K).

    Raises:
        ValueError: The name is unknown, or the array has the wrong shape, or NaN or infinite values.
        TypeError: The array does not hold numbers.

    Example:

    >>> rows = np.array([[0.0], [0.1], [9.0], [9.1]], np.float32)
    >>> sorted(start_locs("k-means++", rows, 2, np.zeros(1), seed=0).round().ravel().tolist())
    [0.0, 9.0]
    """
    if not isinstance(start, str):
        return _checked_locs(start, num_components, centre)
    check_choice("start", start, STARTS)
    if np.isnan(sample).any():
        sample, is_distinct = with_gaps_filled(np.asarray(sample, np.float64), _spread_of(sample, spread)), False
    distinct = sample if is_distinct else distinct_rows(sample)
    generator = np.random.default_rng(seed)
    if len(distinct) <= num_components:  # every distinct row is a centre; the rest share them
        return distinct[np.arange(num_components) % len(distinct)]
    if start == "random":
        return generator.choice(distinct, num_components, replace=False)
    most = max(_FEWEST_CANDIDATES, _CANDIDATES_PER_COMPONENT * num_components)
    if len(distinct) > most:
        distinct = distinct[generator.choice(len(distinct), most, replace=False)]
    scale = distinct.std(axis=0) if spread is None else spread
    return _kmeans_plusplus(distinct, num_components, generator, scale, num_trials)


def _spread_of(sample: np.ndarray, spread: np.ndarray | None) -> np.ndarray:
    """Computes the standard deviations of the values that are there, (D,), where nobody says what counts as equal."""
    if spread is None:
        values = np.ma.masked_invalid(sample)
        spread = np.asarray(values.std(axis=0).filled(0.0))
    return np.where(spread > 0, spread, 1.0)


def _checked_locs(start: Any, num_components: int, centre: np.ndarray) -> np.ndarray:
    locs = np.asarray(start)
    if locs.dtype.kind not in "fiub":
        raise TypeError(f"`start` must be an array of numbers. Received: dtype {locs.dtype}. Pass locations (K, D).")
    locs = locs.astype(np.float64)
    fix = "Give one location per component, in the units of the columns."
    check_shape("start", locs, "KD", K=num_components, D=len(centre), fix=fix)
    if not np.isfinite(locs).all():
        raise ValueError(f"`start` must hold finite locations. Received: {locs.tolist()}. Pass rows of the data.")
    return locs - centre


def distinct_rows(rows: np.ndarray) -> np.ndarray:
    """Finds the distinct rows of (n, D), float64, in the order in which they first appear.

    Rows are compared byte by byte, and a gap is a value like others. This is as fast as sorting sums over their
    columns, in which one row at 1e17 would hide the differences of all others.
    """
    values = np.ascontiguousarray(rows, np.float64) + 0.0  # -0.0 is 0.0
    values[np.isnan(values)] = np.nan  # of the many numbers that are none
    _, first = np.unique(values.view(np.dtype((np.void, values.itemsize * values.shape[1]))), return_index=True)
    return values[np.sort(first)]


def _kmeans_plusplus(
    rows: np.ndarray,
    num_components: int,
    generator: np.random.Generator,
    scale: np.ndarray,
    num_trials: int | None,
) -> np.ndarray:
    from sklearn import config_context  # half a second to import: only when it is used
    from sklearn.cluster import kmeans_plusplus

    num_trials = num_trials or max(_LEAST_LOCAL_TRIALS, num_components)
    # The rows were checked, and the arguments are ours: its own checks take a third of its time on a small table
    trusting = config_context(assume_finite=True, skip_parameter_validation=True)
    with trusting, _one_thread(rows.size * num_trials):
        _, chosen = kmeans_plusplus(
            rows / np.where(scale > 0, scale, 1.0),
            num_components,
            random_state=int(generator.integers(2**31)),
            n_local_trials=num_trials,
        )
    return rows[chosen]


def _one_thread(num_products: int) -> contextlib.AbstractContextManager[Any]:
    """Makes matrix products run in one thread where they are large enough for others to join.

    There a second thread waits ten times longer than it computes.
    """
    if num_products < _PRODUCTS_OF_ONE_THREAD:
        return contextlib.nullcontext()
    return one_thread_each()
