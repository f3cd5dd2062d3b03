"""Draws of a mixture from its posterior as they are kept: in float32, measured from the posterior means.

What is kept is how far a draw is from the mean, in the unit that fits: a difference of locations, a ratio of
precisions, a factor between whiteners. So seven digits are seven digits of the posterior's width, at any offset and
any scale, and a model, its export and its scorer hold the very same numbers. Free of TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

NUM_DRAWS = 64
SEED = 0

LOG_WEIGHTS, LOCS, PRECISIONS, WHITENERS = "drawn_log_weights", "drawn_locs", "drawn_precisions", "drawn_whiteners"


def kept(
    means: Mapping[str, np.ndarray], log_weights: np.ndarray, drawn: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Returns S draws as they are kept, float32 by name.

    `drawn_log_weights` (S, K); `drawn_locs` (S, K, D), locations minus their means; and `drawn_precisions` (S, K, D),
    precisions over their means, or `drawn_whiteners` (S, K or 1, D (D + 1) / 2), the upper triangle of F in
    whitener = F U by rows, where U is the whitener of the mean.

    Args:
        means: the components at the posterior means, by name, float64.
        log_weights: (S, K) float64.
        drawn: components drawn from the posterior, by name as `means`, one more axis in front.
    """
    found = {LOG_WEIGHTS: log_weights, LOCS: drawn["locs"] - means["locs"]}
    if "precisions" in means:
        found[PRECISIONS] = drawn["precisions"] / means["precisions"]
    else:
        factors = drawn["whiteners"] @ np.linalg.inv(means["whiteners"])
        found[WHITENERS] = factors[..., *np.triu_indices(factors.shape[-1])]
    return {name: _held(name, values) for name, values in found.items()}


def _held(name: str, values: np.ndarray) -> np.ndarray:
    """Returns the values as float32, held where vague priors throw draws out of its range: ratios stay positive."""
    largest, smallest = np.finfo(np.float32).max, np.finfo(np.float32).tiny
    held = np.clip(values, -largest, largest).astype(np.float32, order="C")
    if name == PRECISIONS:
        return np.maximum(held, smallest)
    if name == WHITENERS:
        places = _diagonal_places(values.shape[-1])
        held[..., places] = np.maximum(held[..., places], smallest)
    return held


def _diagonal_places(num_entries: int) -> np.ndarray:
    """Returns where the diagonal is among the entries of an upper triangle by rows."""
    num_features = (math.isqrt(8 * num_entries + 1) - 1) // 2
    return np.diagonal(triangle_places(num_features)) - 1


def kept_shapes(components: Mapping[str, tuple[int, ...]], num_draws: int) -> dict[str, tuple[int, ...]]:
    """Returns the shape of every array of `kept`, from the shapes of the components.

    Example:

    >>> kept_shapes({"locs": (3, 2), "whiteners": (1, 2, 2)}, 64)
    {'drawn_log_weights': (64, 3), 'drawn_locs': (64, 3, 2), 'drawn_whiteners': (64, 1, 3)}
    """
    num_components, num_features = components["locs"]
    shapes: dict[str, tuple[int, ...]] = {
        LOG_WEIGHTS: (num_draws, num_components),
        LOCS: (num_draws, num_components, num_features),
    }
    if "precisions" in components:
        return shapes | {PRECISIONS: (num_draws, *components["precisions"])}
    return shapes | {WHITENERS: (num_draws, components["whiteners"][0], num_features * (num_features + 1) // 2)}


def triangle_places(num_features: int) -> np.ndarray:
    """Returns where in [0, the upper triangle by rows] each entry of the matrix is, (D, D) int; 0 below the diagonal.

    Example:

    >>> triangle_places(2).tolist()
    [[1, 2], [0, 3]]
    """
    places = np.zeros((num_features, num_features), np.int64)
    rows, columns = np.triu_indices(num_features)
    places[rows, columns] = np.arange(1, len(rows) + 1)
    return places


def fault_in(drawn: Mapping[str, np.ndarray]) -> str | None:
    """Returns what makes kept draws of finite numbers useless, in words that follow "has", or None."""
    if (np.abs(np.logaddexp.reduce(drawn[LOG_WEIGHTS].astype(np.float64), axis=1)) > 1e-4).any():
        return f"{LOG_WEIGHTS} of weights that do not sum to 1"
    if PRECISIONS in drawn and (drawn[PRECISIONS] <= 0).any():
        return f"{PRECISIONS} that are not positive"
    if WHITENERS in drawn:
        if (drawn[WHITENERS][..., _diagonal_places(drawn[WHITENERS].shape[-1])] <= 0).any():
            return f"{WHITENERS} with a diagonal that is not positive"
    return None


def check_kept(drawn: Mapping[str, np.ndarray] | None) -> Mapping[str, np.ndarray]:
    """Returns the draws of an export.

    Raises:
        ValueError: it has none.
    """
    if drawn is None:
        raise ValueError(
            "The predictive density and intervals must be asked of an export with draws from the posterior. Received: "
            "one without, written by an earlier tfgmm. Export the model again: "
            "tfgmm.export_model(tfgmm.load_model('m.keras'), path)."
        )
    return drawn
