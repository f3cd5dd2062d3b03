"""Where training begins: component centres chosen among the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfgmm.readers import Rows
from tfgmm.shapes import check_shape
from tfgmm.summary import centre as centre_rows
from tfgmm.summary import check_finite

_SAMPLE_ROWS = 20_000
_LEAST_LOCAL_TRIALS = 20


def sample_of(source: Rows | tf.data.Dataset, centre: np.ndarray, seed: int) -> np.ndarray:
    """Returns up to 20,000 centred rows, (n, D) float32: at random from arrays, the first ones of a dataset."""
    if isinstance(source, Rows):
        values = source.values
        if len(values) > _SAMPLE_ROWS:
            chosen = np.random.default_rng(seed).choice(len(values), _SAMPLE_ROWS, replace=False)
            values = values[np.sort(chosen)]
        return centre_rows(values, centre)
    blocks, num_rows = [], 0
    for block in source.as_numpy_iterator():
        rows = Rows(np.asarray(block))
        check_finite(rows)
        blocks.append(centre_rows(rows, centre))
        num_rows += len(block)
        if num_rows >= _SAMPLE_ROWS:
            break
    return np.concatenate(blocks)[:_SAMPLE_ROWS]


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
        locs = np.asarray(start, np.float64)
        check_shape("start", locs, "KD", K=num_components, D=len(centre))
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
