"""Draws of a mixture from its posterior as they are stored: in float32, measured from the posterior means.

What is stored is how far a draw is from the mean, in the unit that fits: a difference of locations, a ratio of
precisions, a factor between whiteners. Seven digits are therefore seven digits of the posterior's width, at any offset
and any scale, and a model, its export and its scorer hold exactly the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfgmm.mixture.parameters import MixtureDensity, Parameters
from tfgmm.mixture.registry import COVARIANCES, FormName

NUM_DRAWS = 64
SEED = 0
# Draws of the exact posterior: the ends of a 95 % interval of 256 are known to 0.17 sd, of 64 to 0.33 sd. As many are
# stored as 2^16 numbers hold: files and bands of large mixtures are no larger and no slower for it
_MOST_DRAWS, _MOST_NUMBERS = 256, 2**16

LOG_WEIGHTS, LOCS, PRECISIONS, WHITENERS = "drawn_log_weights", "drawn_locs", "drawn_precisions", "drawn_whiteners"


class _Ratios:
    """Precisions as ratios to their means: (S, K, D)."""

    name, fault = PRECISIONS, "that are not positive"

    def relative(self, drawn: Parameters, means: Parameters) -> np.ndarray:
        """Measures drawn precisions by their means."""
        return drawn["precisions"] / means["precisions"]

    def absolute(self, values: np.ndarray, means: Parameters) -> dict[str, np.ndarray]:
        """Computes the precisions from their ratios, float64."""
        return {"precisions": means["precisions"] * values}

    def shape(self, num_precisions: int, num_components: int, num_features: int) -> tuple[int, ...]:
        """Computes the shape of one draw."""
        del num_precisions  # a precision per component, also where they are tied
        return num_components, num_features

    def positive(self, values: np.ndarray) -> tuple[Any, ...]:
        """Finds the index of the entries that must be positive: all."""
        return (...,)


class _Factors:
    """Whiteners as factors of their means: the upper triangle, by rows, of F in whitener = F U; (S, K or 1, P)."""

    name, fault = WHITENERS, "with a diagonal that is not positive"

    def relative(self, drawn: Parameters, means: Parameters) -> np.ndarray:
        """Measures drawn whiteners by their means; of all whiteners of the same precisions, by those that are upper."""
        factors = drawn["whiteners"] @ np.linalg.inv(means["whiteners"])
        upper = np.linalg.qr(factors, mode="r")
        upper = upper * np.sign(np.diagonal(upper, axis1=-2, axis2=-1))[..., None]
        return np.asarray(upper[..., *np.triu_indices(factors.shape[-1])])

    def absolute(self, values: np.ndarray, means: Parameters) -> dict[str, np.ndarray]:
        """Computes the whiteners from the triangles of their factors, float64."""
        triangles = np.concatenate([np.zeros_like(values[..., :1]), values], axis=-1)
        factors = triangles[..., triangle_places(means["locs"].shape[-1])]
        return {"whiteners": factors @ means["whiteners"]}

    def shape(self, num_precisions: int, num_components: int, num_features: int) -> tuple[int, ...]:
        """Computes the shape of one draw."""
        del num_components
        return num_precisions, num_features * (num_features + 1) // 2

    def positive(self, values: np.ndarray) -> tuple[Any, ...]:
        """Finds the index of the entries that must be positive: the diagonal."""
        num_features = (math.isqrt(8 * values.shape[-1] + 1) - 1) // 2
        return ..., np.diagonal(triangle_places(num_features)) - 1


_FORMATS: Mapping[FormName, _Ratios | _Factors] = {"independent": _Ratios(), "correlated": _Factors()}


def _format_of(covariance: str) -> _Ratios | _Factors:
    return _FORMATS[COVARIANCES[covariance].form]


def stored(mixture: MixtureDensity, log_weights: np.ndarray, drawn: Parameters) -> dict[str, np.ndarray]:
    """Turns S draws into what is stored, float32 by name.

    `drawn_log_weights` (S, K); `drawn_locs` (S, K, D), locations minus their means; and `drawn_precisions` (S, K, D),
    precisions over their means, or `drawn_whiteners` (S, K or 1, D (D + 1) / 2), the upper triangle of F in
    whitener = F U by rows, where U is the whitener of the mean.

    Args:
        mixture: The mixture at the posterior means.
        log_weights: (S, K) float64.
        drawn: Components drawn from the posterior, by name, as those of `mixture` with one more axis S in front.
    """
    form, means = _format_of(mixture.covariance), mixture.components
    ratios = _within_float32(form.relative(drawn, means))
    index = form.positive(ratios)
    ratios[index] = np.maximum(ratios[index], np.finfo(np.float32).tiny)  # ratios stay positive
    return {
        LOG_WEIGHTS: _within_float32(log_weights),
        LOCS: _within_float32(drawn["locs"] - means["locs"]),
        form.name: ratios,
    }


def _within_float32(values: np.ndarray) -> np.ndarray:
    """Rounds to float32, and limits values beyond its range, which vague priors can give."""
    largest = np.finfo(np.float32).max
    return np.clip(values, -largest, largest).astype(np.float32, order="C")


def mixtures(mixture: MixtureDensity, draws: Mapping[str, np.ndarray]) -> MixtureDensity:
    """Computes the S mixtures of stored draws from the mixture at the posterior means.

    `scoring.graph.densities.of_draws` does the same as TensorFlow operations.
    """
    form, values = _format_of(mixture.covariance), {name: value.astype(np.float64) for name, value in draws.items()}
    locs = mixture.components["locs"] + values[LOCS]
    components = {"locs": locs, **form.absolute(values[form.name], mixture.components)}
    return mixture._replace(log_weights=values[LOG_WEIGHTS], components=components)


def stored_shapes(
    covariance: str, num_components: int, num_features: int, num_draws: int
) -> dict[str, tuple[int, ...]]:
    """Lists the shape of every array of `stored` by name.

    Example:

    >>> stored_shapes("tied", 3, 2, 64)
    {'drawn_log_weights': (64, 3), 'drawn_locs': (64, 3, 2), 'drawn_whiteners': (64, 1, 3)}
    """
    form, num_precisions = _format_of(covariance), COVARIANCES[covariance].num_precisions(num_components)
    return {
        LOG_WEIGHTS: (num_draws, num_components),
        LOCS: (num_draws, num_components, num_features),
        form.name: (num_draws, *form.shape(num_precisions, num_components, num_features)),
    }


def num_exact(covariance: str, num_components: int, num_features: int) -> int:
    """Chooses how many draws of the exact posterior are stored: 256 where mixtures are small, 64 where they are large.

    Example:

    >>> num_exact("full", 2, 2), num_exact("diag", 16, 8), num_exact("full", 32, 16)
    (256, 240, 64)
    """
    shapes = stored_shapes(covariance, num_components, num_features, 1)
    numbers = sum(math.prod(shape) for shape in shapes.values())
    return max(NUM_DRAWS, min(_MOST_DRAWS, _MOST_NUMBERS // numbers))


def triangle_places(num_features: int) -> np.ndarray:
    """Finds the place in [0, the upper triangle by rows] of each entry of the matrix, (D, D) int; 0 below the diagonal.

    Example:

    >>> triangle_places(2).tolist()
    [[1, 2], [0, 3]]
    """
    places = np.zeros((num_features, num_features), np.int64)
    rows, columns = np.triu_indices(num_features)
    places[rows, columns] = np.arange(1, len(rows) + 1)
    return places


def fault_in(draws: Mapping[str, np.ndarray]) -> str | None:
    """Says what makes stored draws of finite numbers useless, in words that follow "has"; None where nothing does."""
    if (np.abs(np.logaddexp.reduce(draws[LOG_WEIGHTS].astype(np.float64), axis=1)) > 1e-4).any():
        return f"{LOG_WEIGHTS} of weights that do not sum to 1"
    for form in _FORMATS.values():
        values = draws.get(form.name)
        if values is not None and (values[form.positive(values)] <= 0).any():
            return f"{form.name} {form.fault}"
    return None


def check_stored(draws: Mapping[str, np.ndarray] | None) -> Mapping[str, np.ndarray]:
    """Checks the draws of an export: Raises ValueError where there are none; returns them."""
    if draws is None:
        raise ValueError(
            "The predictive density and intervals must be asked of an export with draws from the posterior. Received: "
            "one without, written by an earlier tfgmm. Export the model again: "
            "tfgmm.export_model(tfgmm.load_model('m.keras'), path)."
        )
    return draws
