"""Where training begins: component centres chosen among the rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import tensorflow as tf

from tfgmm.data import SAMPLE_ROWS
from tfgmm.priors import Priors
from tfgmm.readers import Rows
from tfgmm.shapes import check_shape
from tfgmm.summary import DataSummary, SummaryAccumulator
from tfgmm.summary import centre as centre_rows

# Enough rows to find K distinct ones, without sorting them all.
_FEW_ROWS = 5_000
# Standard deviations, or their ratio, at which priors and data are called strangers.
_FAR = 100.0
_LEAST_LOCAL_TRIALS = 20


def sample_of(source: Rows | tf.data.Dataset, centre: np.ndarray, seed: int) -> np.ndarray:
    """Returns up to 20,000 centred rows, (n, D) float32: at random from arrays, the first ones of a dataset."""
    if isinstance(source, Rows):
        values = source.values
        if len(values) > SAMPLE_ROWS:
            chosen = np.random.default_rng(seed).choice(len(values), SAMPLE_ROWS, replace=False)
            values = values[np.sort(chosen)]
        return centre_rows(values, centre)
    blocks, seen = [], SummaryAccumulator()
    for block in source.as_numpy_iterator():
        seen.update(np.asarray(block))  # refuses what is not finite, and says in which row
        blocks.append(centre_rows(np.asarray(block), centre))
        if seen.num_data >= SAMPLE_ROWS:
            break
    return np.concatenate(blocks)[:SAMPLE_ROWS]


def warn_of_odd_data(sample: np.ndarray, summary: DataSummary, priors: Priors, num_components: int) -> None:
    """Returns nothing; warns once each of data that a mixture, or these priors, can say little about.

    Args:
        sample: (n, D) float32, centred rows.
        summary: of the data.
        priors: of the model.
        num_components: K.
    """
    names = summary.column_names or range(summary.num_features)
    constant = [repr(name) for name, is_constant in zip(names, (sample == sample[0]).all(axis=0)) if is_constant]
    if constant:
        _warn(f"column {', '.join(constant)} has one value only: it tells no components apart")
    num_distinct = len(np.unique(sample[:_FEW_ROWS], axis=0))
    if num_distinct < num_components:
        _warn(f"{num_distinct} distinct rows for num_components={num_components}: some components stay empty")
    mean, scale = np.array(summary.mean), np.array(summary.scale)
    off = np.abs(mean - np.array(priors.loc_mean)) > _FAR * np.array(priors.loc_scale)
    expected = np.sqrt(np.array(priors.precision_rate) / np.array(priors.precision_shape))
    off |= (scale > _FAR * expected) | (scale < expected / _FAR)
    if off.any() and not constant:
        worst = int(np.argmax(off))
        _warn(
            f"the priors do not suit the data: column {list(names)[worst]!r} has mean {mean[worst]:.3g} and standard "
            f"deviation {scale[worst]:.3g}. State priors=tfgmm.Priors(...) in the units of the columns"
        )


def _warn(message: str) -> None:
    warnings.warn(f"{message}.", UserWarning, stacklevel=6)


def start_locs(start: Any, sample: np.ndarray, num_components: int, centre: np.ndarray, seed: int) -> np.ndarray:
    """Returns K start locations, (K, D) float64, measured from `centre`.

    Args:
        start: "k-means++" (Arthur and Vassilvitskii 2007; scikit-learn's, with max(20, K) trials per centre),
            "random" (distinct rows at random), or an array of locations, (K, D), data units.
        sample: (n, D) float32, centred rows.
        num_components: K.
        centre: (D,) float64, data units.
        seed: of the choice.

    Raises:
        ValueError: an unknown name, or an array of the wrong shape or with NaN or infinity.

    Example:

    >>> rows = np.array([[0.0], [0.1], [9.0], [9.1]], np.float32)
    >>> sorted(start_locs("k-means++", rows, 2, np.zeros(1), seed=0).round().ravel().tolist())
    [0.0, 9.0]
    """
    if not isinstance(start, str):
        given = np.asarray(start)
        if given.dtype.kind not in "fiub":
            raise TypeError(
                f"`start` must be an array of numbers. Received: dtype {given.dtype}. Pass locations (K, D)."
            )
        locs = given.astype(np.float64)
        fix = "Give one location per component, in the units of the columns."
        check_shape("start", locs, "KD", K=num_components, D=len(centre), fix=fix)
        if not np.isfinite(locs).all():
            raise ValueError(f"`start` must hold finite locations. Received: {locs.tolist()}. Pass rows of the data.")
        return locs - centre
    if start not in ("k-means++", "random"):
        raise ValueError(
            f'`start` must be "k-means++", "random" or an array of shape ({num_components}, {len(centre)}). '
            f"Received: {start!r}. Leave it out for k-means++."
        )
    distinct = np.unique(sample, axis=0).astype(np.float64)
    generator = np.random.default_rng(seed)
    if len(distinct) <= num_components:  # every distinct row is a centre; the rest share them
        return distinct[np.arange(num_components) % len(distinct)]
    if start == "random":
        return generator.choice(distinct, num_components, replace=False)
    return _kmeans_plusplus(distinct, num_components, generator)


def _kmeans_plusplus(rows: np.ndarray, num_components: int, generator: np.random.Generator) -> np.ndarray:
    from sklearn.cluster import kmeans_plusplus  # half a second to import: only when it is used

    scale = rows.std(axis=0)
    _, chosen = kmeans_plusplus(
        rows / np.where(scale > 0, scale, 1.0),
        num_components,
        random_state=int(generator.integers(2**31)),
        n_local_trials=max(_LEAST_LOCAL_TRIALS, num_components),
    )
    return rows[chosen]
