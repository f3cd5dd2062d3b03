"""Where training begins: component centres chosen among the rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from tfgmm.priors import Priors
from tfgmm.shapes import check_shape
from tfgmm.summary import DataSummary

# Enough rows to find K distinct ones, without sorting them all.
_FEW_ROWS = 5_000
# Standard deviations, or their ratio, at which priors and data are called strangers.
_FAR = 100.0
_LEAST_LOCAL_TRIALS = 20
# Rows among which k-means++ looks: more find the same clusters, slower.
_FEWEST_CANDIDATES, _CANDIDATES_PER_COMPONENT = 5_000, 100


def warn_of_odd_data(sample: np.ndarray, summary: DataSummary, priors: Priors, num_components: int) -> None:
    """Returns nothing; warns once each of data that a mixture, or these priors, can say little about.

    Args:
        sample: (n, D) rows, data units.
        summary: of the data.
        priors: of the model.
        num_components: K.
    """
    names = summary.column_names or range(summary.num_features)
    constant = [repr(name) for name, is_constant in zip(names, (sample == sample[0]).all(axis=0)) if is_constant]
    if constant:
        _warn(f"column {', '.join(constant)} has one value only: it tells no components apart")
    num_distinct = len(distinct_rows(sample[:_FEW_ROWS]))
    if num_distinct < num_components:
        _warn(f"{num_distinct} distinct rows for num_components={num_components}: some components stay empty")
    mean, scale = np.array(summary.centre), np.array(summary.spread)
    off = np.abs(mean - np.array(priors.loc_mean)) > _FAR * np.array(priors.loc_scale)
    expected = np.sqrt(np.array(priors.precision_rate) / np.array(priors.precision_shape))
    expected = expected * np.array(priors.column_scale)
    off |= (scale > _FAR * expected) | (scale < expected / _FAR)
    if off.any() and not constant:
        worst = int(np.argmax(off))
        _warn(
            f"the priors do not suit the data: column {list(names)[worst]!r} has mean {mean[worst]:.3g} and standard "
            f"deviation {scale[worst]:.3g}. State priors=tfgmm.Priors(...) in the units of the columns"
        )


def _warn(message: str) -> None:
    warnings.warn(f"{message}.", UserWarning, stacklevel=6)


def start_locs(
    start: Any,
    sample: np.ndarray,
    num_components: int,
    centre: np.ndarray,
    seed: int,
    spread: np.ndarray | None = None,
) -> np.ndarray:
    """Returns K start locations, (K, D) float64, measured from `centre`.

    Args:
        start: "k-means++" (Arthur and Vassilvitskii 2007; scikit-learn's, with max(20, K) trials per centre),
            "random" (distinct rows at random), or an array of locations, (K, D), data units.
        sample: (n, D) float, centred rows.
        num_components: K.
        centre: (D,) float64, data units.
        seed: of the choice.
        spread: (D,) widths that count as equal to k-means++; default the standard deviations of the sample.

    Raises:
        ValueError: an unknown name, or an array of the wrong shape or with NaN or infinity.

    Example:

    >>> rows = np.array([[0.0], [0.1], [9.0], [9.1]], np.float32)
    >>> sorted(start_locs("k-means++", rows, 2, np.zeros(1), seed=0).round().ravel().tolist())
    [0.0, 9.0]
    """
    if not isinstance(start, str):
        return _given_locs(start, num_components, centre)
    if start not in ("k-means++", "random"):
        raise ValueError(
            f'`start` must be "k-means++", "random" or an array of shape ({num_components}, {len(centre)}). '
            f"Received: {start!r}. Leave it out for k-means++."
        )
    distinct = distinct_rows(sample)
    generator = np.random.default_rng(seed)
    if len(distinct) <= num_components:  # every distinct row is a centre; the rest share them
        return distinct[np.arange(num_components) % len(distinct)]
    if start == "random":
        return generator.choice(distinct, num_components, replace=False)
    most = max(_FEWEST_CANDIDATES, _CANDIDATES_PER_COMPONENT * num_components)
    if len(distinct) > most:
        distinct = distinct[generator.choice(len(distinct), most, replace=False)]
    return _kmeans_plusplus(distinct, num_components, generator, distinct.std(axis=0) if spread is None else spread)


def _given_locs(start: Any, num_components: int, centre: np.ndarray) -> np.ndarray:
    given = np.asarray(start)
    if given.dtype.kind not in "fiub":
        raise TypeError(f"`start` must be an array of numbers. Received: dtype {given.dtype}. Pass locations (K, D).")
    locs = given.astype(np.float64)
    fix = "Give one location per component, in the units of the columns."
    check_shape("start", locs, "KD", K=num_components, D=len(centre), fix=fix)
    if not np.isfinite(locs).all():
        raise ValueError(f"`start` must hold finite locations. Received: {locs.tolist()}. Pass rows of the data.")
    return locs - centre


def distinct_rows(rows: np.ndarray) -> np.ndarray:
    """Returns the distinct rows of (n, D), float64, in the order in which they first appear.

    Equal rows have equal projections, so one column is sorted instead of D; different rows with one projection to the
    last bit would be taken for one, which no start can tell.
    """
    values = np.asarray(rows, np.float64)
    largest = np.abs(values).max(axis=0)
    directions = np.random.default_rng(0).uniform(0.5, 1.0, values.shape[1]) / np.where(largest > 0, largest, 1.0)
    # Column by column, because a product of matrices may sum equal rows in different orders
    projections = sum(column * direction for column, direction in zip(values.T, directions))
    _, first = np.unique(projections, return_index=True)
    return values[np.sort(first)]


def _kmeans_plusplus(
    rows: np.ndarray, num_components: int, generator: np.random.Generator, scale: np.ndarray
) -> np.ndarray:
    from sklearn.cluster import kmeans_plusplus  # half a second to import: only when it is used
    from threadpoolctl import threadpool_limits

    # Its products are small: a second thread waits ten times longer than it computes
    with threadpool_limits(1, user_api="blas"):
        _, chosen = kmeans_plusplus(
            rows / np.where(scale > 0, scale, 1.0),
            num_components,
            random_state=int(generator.integers(2**31)),
            n_local_trials=max(_LEAST_LOCAL_TRIALS, num_components),
        )
    return rows[chosen]
