"""Label alignment: the same number for the same component in every draw, before draws are averaged or compared."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any, Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from tfgmm.checks import check_choice, check_count
from tfgmm.draws import Draws
from tfgmm.shapes import check_shape

METHODS = ("pivot", "order")
_MAX_ROUNDS = 20
# A draw is doubtful when swapping two of its components is at least this probable, and so is an alignment with more
# than that share of such draws.
_DOUBT = 0.05
_MEMORY = 2**24  # numbers in the table of costs at a time


@dataclasses.dataclass(frozen=True, eq=False)
class AlignedDraws(Draws):
    """Draws whose components have the same meaning in all of them, and what was done to get there.

    Args:
        permutations: (C, S, K) int: component k of a draw was its component permutations[c, s, k] before.
        share_doubtful: the share of draws in which two components could as well be swapped (with a probability above
            5 %, were they spread as normal distributions about their means).
    """

    permutations: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0, 0), np.int64))
    share_doubtful: float = 0.0

    @property
    def share_moved(self) -> float:
        """The share of draws whose components were in another order before."""
        return float((self.permutations != np.arange(self.num_components)).any(axis=-1).mean())


def align(
    draws: Draws,
    pivot: Any = None,
    *,
    method: Literal["pivot", "order"] = "pivot",
    feature: int = 0,
) -> AlignedDraws:
    """Returns the draws with their components in matching order, and how many draws were moved.

    "pivot": every draw takes the order in which its components are nearest to those of a pivot, by the Hungarian
    algorithm (Papastamoulis 2016, section 3); without a pivot of one's own the means of the aligned draws become the
    next pivot until nothing moves. Near means in locations and log scales, each in units of its spread over the
    aligned draws. "order": by the location in one column, smallest first.

    Args:
        draws: any `tfgmm.Draws`.
        pivot: locations (K, D) to match, data units, such as those of a fitted model; None to have them found.
        method: "pivot" or "order".
        feature: the column to order by, from 0.

    Raises:
        ValueError: an unknown method, a pivot of the wrong shape, no such feature.

    Warns:
        UserWarning: in more than 5 % of the draws two components are too alike to be told apart, so that the numbers
            of single components mean little. What does not depend on their order, such as the density, still does.

    Example:

    >>> locs = np.array([[[[0.0], [9.0]], [[9.1], [0.1]]]])  # one chain, two draws, swapped
    >>> aligned = align(Draws(np.full((1, 2, 2), 0.5), locs, np.ones_like(locs)))
    >>> aligned.locs[0, :, :, 0].tolist(), aligned.share_moved
    ([[0.0, 9.0], [0.1, 9.1]], 0.5)
    """
    check_choice("method", method, METHODS)
    feature = check_count("feature", feature, least=0)
    if feature >= draws.num_features:
        raise ValueError(
            f"`feature` must be below {draws.num_features}, the number of columns. Received: {feature}. Choose another."
        )
    if method == "order":
        if pivot is not None:
            raise ValueError('`pivot` must be left out with method="order". Received: both. Leave one of them out.')
        permutations = np.argsort(draws.locs[..., feature], axis=-1, kind="stable")
    else:
        permutations = _matched(draws, None if pivot is None else _given_pivot(pivot, draws))
    return _aligned(draws, permutations)


def _aligned(draws: Draws, permutations: np.ndarray) -> AlignedDraws:
    share = _share_doubtful(_features(draws), permutations.reshape(-1, draws.num_components))
    fields = {field.name: getattr(draws.permuted(permutations), field.name) for field in dataclasses.fields(Draws)}
    if share > _DOUBT:
        warnings.warn(
            f"in {share:.0%} of the draws two components are too alike to be told apart: numbers of single components "
            "mean little, however they are aligned. Look at the density, or ask for fewer components.",
            stacklevel=3,
        )
    return AlignedDraws(**fields, permutations=permutations, share_doubtful=share)


def _given_pivot(pivot: Any, draws: Draws) -> np.ndarray:
    locs = np.asarray(pivot, np.float64)
    fix = "Pass one location per component, in the units of the columns."
    check_shape("pivot", locs, "KD", K=draws.num_components, D=draws.num_features, fix=fix)
    return locs


def _features(draws: Draws) -> np.ndarray:
    """Returns what components are compared by, (C S, K, 2 D): locations and log scales."""
    values = np.concatenate([draws.locs, np.log(draws.scales)], axis=-1)
    return values.reshape(-1, *values.shape[2:])


def _matched(draws: Draws, pivot: np.ndarray | None) -> np.ndarray:
    """Returns the order of each draw's components, (C, S, K), that brings them nearest to the pivot."""
    features = _features(draws)
    num_draws, num_components, _ = features.shape
    if pivot is not None:
        locs = features[..., : draws.num_features]
        permutations = _nearest(locs, pivot, _spread_within(draws))
        return permutations.reshape(draws.weights.shape)
    # The draw nearest to its fellows would be best; the last one is past any beginning of a chain, and will move
    permutations = _nearest(
        features, features[-1], np.concatenate([_spread_within(draws), np.ones(draws.num_features)])
    )
    for _ in range(_MAX_ROUNDS):
        aligned = np.take_along_axis(features, permutations[..., None], axis=1)
        previous = permutations
        permutations = _nearest(features, aligned.mean(axis=0), _spread(aligned))
        if (permutations == previous).all():
            break
    orders, counts = np.unique(permutations, axis=0, return_counts=True)
    most_common = orders[np.argmax(counts)]  # most draws stay as they are
    return permutations[:, np.argsort(most_common)].reshape(draws.weights.shape)


def _spread_within(draws: Draws) -> np.ndarray:
    """Returns the median standard deviation of the components, (D,): in what units locations are near or far."""
    return np.median(draws.scales.reshape(-1, draws.num_features), axis=0)


def _spread(aligned: np.ndarray) -> np.ndarray:
    """Returns how far features lie from the mean of their component, (F,), over draws (n, K, F)."""
    spread = np.sqrt(aligned.var(axis=0).mean(axis=0))
    return np.where(spread > 0, spread, 1.0)


def _costs(features: np.ndarray, pivot: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Returns half the squared distance of each component of (n, K, F) from each of the pivot's, (n, K, K).

    Entry [., k, j]: what it costs to make component j of the draw the k-th.
    """
    ours, theirs = features / spread, pivot / spread
    centre = theirs.mean(axis=0)  # the squares below would cancel at an offset
    ours, theirs = ours - centre, theirs - centre
    squares = np.square(ours).sum(axis=-1)[:, None, :] + np.square(theirs).sum(axis=-1)[None, :, None]
    return 0.5 * squares - np.einsum("kf,njf->nkj", theirs, ours, optimize=True)


def _nearest(features: np.ndarray, pivot: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Returns the cheapest order of the components of each draw, (n, K)."""
    num_components = len(pivot)
    size = max(1, _MEMORY // num_components**2)
    parts = [_cheapest(_costs(features[s : s + size], pivot, spread)) for s in range(0, len(features), size)]
    return np.concatenate(parts)


def _cheapest(costs: np.ndarray) -> np.ndarray:
    """Returns for each table of costs (n, K, K) the assignment of least cost, (n, K).

    Where the nearest of every component is a different one, that is the answer; the Hungarian algorithm does the rest.
    """
    found = np.argmin(costs, axis=-1)
    clashes = np.flatnonzero((np.sort(found, axis=-1) != np.arange(costs.shape[-1])).any(axis=-1))
    for draw in clashes:
        found[draw] = linear_sum_assignment(costs[draw])[1]
    return found


def _share_doubtful(features: np.ndarray, permutations: np.ndarray) -> float:
    """Returns the share of draws in which a swap of two components would have a probability above `_DOUBT`."""
    aligned = np.take_along_axis(features, permutations[..., None], axis=1)
    size = max(1, _MEMORY // permutations.shape[1] ** 2)
    spread, mean = _spread(aligned), aligned.mean(axis=0)
    is_doubtful = np.zeros(len(aligned), bool)
    off_diagonal = ~np.eye(permutations.shape[1], dtype=bool)
    for start in range(0, len(aligned), size):
        costs = _costs(aligned[start : start + size], mean, spread)
        own = np.diagonal(costs, axis1=1, axis2=2)
        extra = costs + np.swapaxes(costs, 1, 2) - own[:, :, None] - own[:, None, :]  # log odds against the swap
        limit = np.log(1 / _DOUBT - 1)
        is_doubtful[start : start + size] = (extra[:, off_diagonal] < limit).any(axis=-1)
    return float(is_doubtful.mean())
