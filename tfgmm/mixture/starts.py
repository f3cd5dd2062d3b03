"""Where training begins: component centres chosen among the rows."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import numpy as np

from tfgmm.common.shapes import check_shape
from tfgmm.common.threads import one_thread_each
from tfgmm.data.summary import DataSummary
from tfgmm.mixture.priors import Priors

# Enough rows to find K distinct ones, without sorting them all.
_FEW_ROWS = 5_000
# Standard deviations, or their ratio, at which priors and data are called strangers.
_FAR = 100.0
# Of the rows at most this share are called far ones; more are clusters of their own.
_FEW_FAR = 0.01
_LEAST_LOCAL_TRIALS = 20
_PRODUCTS_OF_ONE_THREAD = 250_000  # so few multiplications run in one thread by themselves
# Rows among which k-means++ looks: more find the same clusters, slower.
_FEWEST_CANDIDATES, _CANDIDATES_PER_COMPONENT = 2_000, 100


def warn_of_odd_data(
    sample: np.ndarray,
    summary: DataSummary,
    priors: Priors,
    num_components: int,
    covariance: str = "diag",
    *,
    stacklevel: int = 6,
) -> None:
    """Returns nothing; warns once each of data that a mixture, or these priors, can say little about.

    Args:
        sample: (n, D) rows, data units.
        summary: of the data.
        priors: of the model.
        num_components: K.
        covariance: shape of the components.
        stacklevel: of `warnings.warn` in here, so that the user's line is shown.
    """

    def warn(message: str) -> None:
        warnings.warn(f"{message}.", UserWarning, stacklevel=stacklevel)

    names = summary.column_names or range(summary.num_features)
    is_constant = (sample == sample[0]).all(axis=0)
    if summary.minimum is not None:  # of all rows: a rare value may be missing from the sample
        is_constant = np.array(summary.minimum) == np.array(summary.maximum)
    constant = [repr(name) for name, found in zip(names, is_constant) if found]
    if constant:
        warn(f"column {', '.join(constant)} has one value only: it tells no components apart")
    num_distinct = len(distinct_rows(sample[:_FEW_ROWS]))
    if num_distinct < num_components:  # the first rows may be alike where the data is sorted
        num_distinct = len(distinct_rows(sample))
    if num_distinct < num_components:
        warn(f"{num_distinct} distinct rows for num_components={num_components}: some components stay empty")
    if covariance in ("full", "tied") and summary.num_data <= summary.num_features:
        warn(
            f"{summary.num_data} rows tell little of a covariance matrix of {summary.num_features} columns: the prior "
            f'decides most of it. covariance="diag" needs fewer rows'
        )
    mean, scale = np.array(summary.centre), np.array(summary.spread)
    is_far = np.abs(sample - mean) > _FAR * scale
    num_far = int(is_far.any(axis=1).sum())
    if 0 < num_far <= max(1.0, _FEW_FAR * len(sample)):
        worst = int(np.argmax(np.max(np.abs(sample - mean) / scale, axis=0)))
        warn(
            f"{num_far} of {len(sample)} rows are more than {_FAR:.0f} times as far out as most, in column "
            f"{list(names)[worst]!r} up to {np.max(np.abs(sample[:, worst])):.3g}: they take components of their own, "
            "and tied ones are all widened to reach them. Drop them, or ask for one component more"
        )
    off = np.abs(mean - np.array(priors.loc_mean)) > _FAR * np.array(priors.loc_scale)
    expected = np.sqrt(np.array(priors.precision_rate) / np.array(priors.precision_shape))
    expected = expected * np.array(priors.column_scale)
    off |= (scale > _FAR * expected) | (scale < expected / _FAR)
    if off.any() and not constant:
        worst = int(np.argmax(off))
        warn(
            f"the priors do not suit the data: column {list(names)[worst]!r} has mean {mean[worst]:.3g} and standard "
            f"deviation {scale[worst]:.3g}. State priors=tfgmm.Priors(...) in the units of the columns"
        )


def start_locs(
    start: Any,
    sample: np.ndarray,
    num_components: int,
    centre: np.ndarray,
    seed: int,
    spread: np.ndarray | None = None,
    *,
    is_distinct: bool = False,
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
        is_distinct: the rows of the sample are known to be distinct, and float64.

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
    distinct = sample if is_distinct else distinct_rows(sample)
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

    Rows are compared byte by byte: as fast as sorting one column of sums over theirs, in which one row at 1e17 would
    swallow all others.
    """
    values = np.ascontiguousarray(rows, np.float64) + 0.0  # -0.0 is 0.0
    _, first = np.unique(values.view(np.dtype((np.void, values.itemsize * values.shape[1]))), return_index=True)
    return values[np.sort(first)]


def _kmeans_plusplus(
    rows: np.ndarray, num_components: int, generator: np.random.Generator, scale: np.ndarray
) -> np.ndarray:
    from sklearn.cluster import kmeans_plusplus  # half a second to import: only when it is used

    num_trials = max(_LEAST_LOCAL_TRIALS, num_components)
    with _one_thread(rows.size * num_trials):
        _, chosen = kmeans_plusplus(
            rows / np.where(scale > 0, scale, 1.0),
            num_components,
            random_state=int(generator.integers(2**31)),
            n_local_trials=num_trials,
        )
    return rows[chosen]


def _one_thread(num_products: int) -> contextlib.AbstractContextManager[Any]:
    """Returns a context in which matrix products run in one thread, where they are of a size that others would join.

    A second thread waits ten times longer than it computes there.
    """
    if num_products < _PRODUCTS_OF_ONE_THREAD:
        return contextlib.nullcontext()
    return one_thread_each()
