"""Label alignment: the same number for the same component in every draw, before draws are averaged or compared."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any, Literal

import numpy as np

from tfgmm.common.checks import check_choice, check_count
from tfgmm.common.shapes import check_shape
from tfgmm.posterior.alignment_words import Means, by_order, by_own_pivot, by_places, by_rows, doubt_sentences
from tfgmm.posterior.assignment import cheapest, keeping_most
from tfgmm.posterior.densities import points_of
from tfgmm.posterior.draws import Draws, check_finite
from tfgmm.posterior.relabelling import matched_by_responsibilities

METHODS = ("pivot", "order", "responsibilities")
_MAX_ROUNDS = 20
# Number of draws, evenly chosen, that suffices to find where the components are.
_DRAWS_FOR_PIVOT = 5_000
# A draw is doubtful when swapping two of its components is at least this probable, and so is an alignment with more
# than this share of such draws.
_DOUBT = 0.05
_LEAST_SPREAD = 1e-9  # share of a mean below which a spread is rounding
_LEAST_LOG_ODDS = math.log(1.0 / _DOUBT - 1.0)  # against a swap
_MEMORY = 2**24  # numbers in one table of costs


@dataclasses.dataclass(frozen=True, eq=False)
class AlignedDraws(Draws):
    """Draws whose components have the same meaning in all of them, with the permutations that aligned them.

    The other arguments are those of `Draws`.

    Args:
        permutations: Permutations of the components, (C, S, K) int: component k of a draw was its component
            permutations[c, s, k] before.
        share_doubtful: Share of draws in which two components could as well be swapped, with a probability above 5 %:
            if they spread as normal distributions about their means; or, where memberships aligned them, if the rows
            chose between both orders.
    """

    permutations: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0, 0), np.int64))
    share_doubtful: float = 0.0

    @property
    def share_moved(self) -> float:
        """Share of draws whose components were in another order before."""
        return float((self.permutations != np.arange(self.num_components)).any(axis=-1).mean())

    def permuted(self, permutations: np.ndarray) -> AlignedDraws:
        """Reorders the components of every draw.

        Args:
            permutations: As in `Draws.permuted`.

        Returns:
            The draws in the new order; their `permutations` combine the earlier ones with these.

        Raises:
            ValueError: As `Draws.permuted`.
        """
        moved: Any = super().permuted(permutations)  # of our own class, by dataclasses.replace
        together = np.take_along_axis(self.permutations, np.asarray(permutations), axis=-1)
        return dataclasses.replace(moved, permutations=together)


def align(
    draws: Draws,
    pivot: Any = None,
    *,
    method: Literal["pivot", "order", "responsibilities"] = "pivot",
    feature: int | None = None,
    rows: Any = None,
) -> AlignedDraws:
    """Aligns draws: puts the components of all draws in matching order.

    With method "pivot", every draw takes the order in which its components are nearest to those of a pivot, by the
    Hungarian algorithm (Papastamoulis 2016, section 3). If no pivot is passed, the means of the aligned draws become
    the next pivot until no draw changes its order. Components are near in locations and log scales, each in units of
    its spread over the aligned draws. With "order", components are ordered by their location in one column, smallest
    first. With "responsibilities", rows have nearly the same probabilities of belonging to each component in all draws
    (Stephens 2000, algorithm 2): for components that differ in shape more than in place. Its time and memory grow as
    draws x rows x components.

    Args:
        draws: Any `tfgmm.Draws`.
        pivot: Locations to match, (K, D), data units, such as those of a fitted model; None to find them.
        method: "pivot", "order" or "responsibilities".
        feature: Column to order by, with method="order"; default 0, the first.
        rows: Rows of the data, (G, D), data units, for "responsibilities": a few hundred of them are enough.

    Returns:
        The `AlignedDraws`, which also say how many draws were reordered.

    Raises:
        ValueError: If the method is unknown, the pivot has the wrong shape, the feature does not exist, or there are
            no draws, or draws that are not finite.
        TypeError: If the pivot or the rows are not numbers.

    Warns:
        UserWarning: If in more than 5 % of the draws two components cannot be told apart, so that the numbers of single
            components mean little. What does not depend on their order, such as the density, stays meaningful. Where
            the column to order by, or the pivot, is the reason, the warning says so.

    Example:

    >>> locs = np.array([[[[0.0], [9.0]], [[9.1], [0.1]]]])  # one chain, two draws, swapped
    >>> aligned = align(Draws(np.full((1, 2, 2), 0.5), locs, np.ones_like(locs)))
    >>> aligned.locs[0, :, :, 0].tolist(), aligned.share_moved
    ([[0.0, 9.0], [0.1, 9.1]], 0.5)
    """
    check_choice("method", method, METHODS)
    check_finite(draws)
    if method != "order" and feature is not None:
        raise ValueError(f"`feature` must be left out with method={method!r}. Received: both. Leave one of them out.")
    column = check_count("feature", 0 if feature is None else feature, least=0)
    if column >= draws.num_features:
        raise ValueError(
            f"`feature` must be below {draws.num_features}, the number of columns. Received: {feature}. Choose another."
        )
    if (rows is None) == (method == "responsibilities"):
        raise ValueError(
            f'`rows` must be given with method="responsibilities", and only with it. Received: method={method!r} '
            f"{'without' if rows is None else 'with'} rows. Pass some hundred rows of the data, or leave them out."
        )
    if method != "pivot" and pivot is not None:
        raise ValueError(f"`pivot` must be left out with method={method!r}. Received: both. Leave one of them out.")
    if method == "responsibilities":
        points = points_of("rows", rows, draws.num_features)
        permutations, log_odds = matched_by_responsibilities(draws, points)
        return _aligned(draws, permutations, by_rows(len(points)), float((log_odds < _LEAST_LOG_ODDS).mean()))
    if method == "order":
        permutations = np.argsort(draws.locs[..., column], axis=-1, kind="stable")
        return _aligned(draws, permutations, by_order(column, draws.column_names))
    if pivot is not None:
        return _aligned(draws, _matched(draws, _checked_pivot(pivot, draws)), by_own_pivot())
    return _aligned(draws, _matched(draws, None), _places_of(draws))


def in_order_of(aligned: Draws, others: Draws) -> Draws:
    """Puts the components of draws that are aligned among themselves in the order of other aligned draws.

    Args:
        aligned: Draws whose order is taken.
        others: Draws to reorder, with as many components and columns.
    """
    ours, theirs = (_features(draws).mean(axis=0) for draws in (aligned, others))
    num_shared = min(ours.shape[1], theirs.shape[1])  # one of the two may have no correlations
    unit = _unit_of_features(aligned)[:num_shared]
    order = _nearest(theirs[None, :, :num_shared], ours[:, :num_shared], unit)
    return others.permuted(np.broadcast_to(order, others.weights.shape))


def _aligned(draws: Draws, permutations: np.ndarray, means: Means, share: float | None = None) -> AlignedDraws:
    """Reorders draws, and warns where a swap of two components is nearly as probable by what they were aligned by."""
    moved = draws.permuted(permutations)
    share = _share_doubtful(_features(moved)) if share is None else share
    fields = {field.name: getattr(moved, field.name) for field in dataclasses.fields(Draws)}
    if share > _DOUBT:
        places = (_share_by_places(draws), _places_of(draws).by) if means.instead else None
        warnings.warn(doubt_sentences(means, share, _DOUBT, places), stacklevel=3)
    return AlignedDraws(**fields, permutations=permutations, share_doubtful=share)


def _checked_pivot(pivot: Any, draws: Draws) -> np.ndarray:
    locs = np.asarray(pivot)
    fix = "Pass one location per component, in the units of the columns."
    if locs.dtype.kind not in "fiub":
        raise TypeError(f"`pivot` must be numbers. Received: dtype {locs.dtype}. {fix}")
    check_shape("pivot", locs, "KD", K=draws.num_components, D=draws.num_features, fix=fix)
    if not np.isfinite(locs).all():
        raise ValueError(f"`pivot` must be finite. Received: NaN or infinite locations. {fix}")
    return locs.astype(np.float64)


def _features(draws: Draws) -> np.ndarray:
    """Computes what components are compared by, (C S, K, F): locations, log scales, and correlations if any."""
    parts = [draws.locs, np.log(draws.scales)]
    if draws.covariances is not None:
        first, second = np.tril_indices(draws.num_features, -1)
        scales = draws.scales[..., first] * draws.scales[..., second]
        # Held within bounds: a correlation of 1 except for rounding has no finite transform
        parts.append(np.arctanh(np.clip(draws.covariances[..., first, second] / scales, -1 + 1e-12, 1 - 1e-12)))
    values = np.concatenate(parts, axis=-1)
    return values.reshape(-1, *values.shape[2:])


def _unit_of_features(draws: Draws) -> np.ndarray:
    """Computes the units in which features of draws are near or far, (F,): widths for locations, 1 for the others."""
    within = _spread_within(draws)
    num_pairs = 0 if draws.covariances is None else math.comb(draws.num_features, 2)
    return np.concatenate([within, np.ones(len(within) + num_pairs)])


def _matched(draws: Draws, pivot: np.ndarray | None) -> np.ndarray:
    """Finds the order of each draw's components, (C, S, K) int, that brings them nearest to the pivot."""
    features = _features(draws)
    num_draws = len(features)
    if pivot is not None:
        locs = features[..., : draws.num_features]
        permutations = _nearest(locs, pivot, _spread_within(draws))
        return permutations.reshape(draws.weights.shape)
    some = features[:: max(1, num_draws // _DRAWS_FOR_PIVOT)]
    pivot, spread = _means_in_order(some, _unit_of_features(draws))
    permutations = _nearest(features, pivot, spread)
    return keeping_most(permutations).reshape(draws.weights.shape)


def _means_in_order(features: np.ndarray, unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Computes the means of aligned components, (K, F), and the spread about them, (F,), from draws (n, K, F)."""
    # Any draw will do to begin with, since the means will move; the last one is beyond the beginning of its chain
    pivot, spread = features[-1], unit
    permutations = np.zeros(0, np.intp)
    for _ in range(_MAX_ROUNDS):
        previous, permutations = permutations, _nearest(features, pivot, spread)
        if np.array_equal(permutations, previous):
            break
        aligned = np.take_along_axis(features, permutations[..., None], axis=1)
        pivot, spread = aligned.mean(axis=0), _spread(aligned, unit)
    return pivot, spread


def _spread_within(draws: Draws) -> np.ndarray:
    """Computes the median standard deviation of the components, (D,): the units in which locations are near or far."""
    scales = draws.scales.reshape(-1, *draws.scales.shape[2:])
    return np.median(scales[:: max(1, len(scales) // _DRAWS_FOR_PIVOT)], axis=(0, 1))


def _spread(aligned: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Computes how far features lie from the mean of their component, (F,), over draws (n, K, F).

    The median over components: one that is vague must not make differences of the others look small.
    """
    spread = np.sqrt(np.median(aligned.var(axis=0), axis=0))
    return np.where(spread > 0, spread, unit)


def _costs(features: np.ndarray, pivot: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Computes the cost that component j of (n, K, F) becomes the k-th of the pivot, (n, j, k).

    It is half the squared distance in units of the spread, without the terms that do not depend on k: they do not
    depend on the order.
    """
    centre = pivot.mean(axis=0)  # products would lose all digits at a large offset
    theirs = pivot - centre
    flat = (features - centre).reshape(-1, pivot.shape[1])
    products = (flat @ (theirs / np.square(spread)).T).reshape(*features.shape[:2], -1)
    return 0.5 * np.square(theirs / spread).sum(axis=1) - products


def _nearest(features: np.ndarray, pivot: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Finds the cheapest order of the components of each draw, (n, K) int."""
    num_components = len(pivot)
    size = max(1, _MEMORY // num_components**2)
    parts = [cheapest(_costs(features[s : s + size], pivot, spread)) for s in range(0, len(features), size)]
    return np.concatenate(parts)


def _places_of(draws: Draws) -> Means:
    return by_places(draws.covariances is not None and draws.num_features > 1)


def _share_by_places(draws: Draws) -> float:
    """Computes the share of draws in which components could as well be swapped when places and widths match them."""
    return _share_doubtful(_features(draws.permuted(_matched(draws, None))))


def _share_doubtful(aligned: np.ndarray) -> float:
    """Computes the share of aligned draws (n, K, F) in which a swap of two has a probability above `_DOUBT`.

    Each component spreads by itself: one that is vague says nothing of two that are not.
    """
    num_components = aligned.shape[1]
    mean, spread = aligned.mean(axis=0), aligned.std(axis=0)
    # What does not vary tells apart whatever differs from it
    spread = np.maximum(spread, np.maximum(_LEAST_SPREAD * np.abs(mean), np.finfo(np.float64).tiny ** 0.25))
    first, second = np.triu_indices(num_components, 1)
    num_doubtful = 0
    size = max(1, _MEMORY // (num_components**2 * aligned.shape[2]))
    for start in range(0, len(aligned), size):
        away = (aligned[start : start + size, :, None] - mean) / spread  # (n, j, k, F)
        costs = 0.5 * np.square(away).sum(axis=-1) + np.log(spread).sum(axis=-1)
        own = np.diagonal(costs, axis1=1, axis2=2)
        swapped = costs[:, first, second] + costs[:, second, first]
        log_odds = swapped - own[:, first] - own[:, second]  # against the swap
        num_doubtful += int((log_odds < _LEAST_LOG_ODDS).any(axis=-1).sum())
    return num_doubtful / len(aligned)
