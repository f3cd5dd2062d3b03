"""Where training begins: rows divided into K groups, in ways that see groups of different kinds.

A component starts where its group is, round, and as wide as its group, unless few rows are very far away. Which ways
win where: docs/closed_form.md.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfgmm.common.checks import check_choice
from tfgmm.common.remembered import Remembered
from tfgmm.data.quantiles import quantile_of
from tfgmm.mixture.filled import with_gaps_filled
from tfgmm.mixture.priors_from_data import LOC_SCALE_GRID
from tfgmm.mixture.starts import STARTS, distinct_rows, start_locs

# Rows that Ward's method looks at, for each group, at least and at most: its memory grows with their square
_FOR_WARD, _FEWEST_FOR_WARD, _MOST_FOR_WARD = 30, 1_000, 4_000
# A choice of K asks for the trees of the same rows again and again
_MOST_TREES = 8
# Rows that k-means++ chooses for each group, and how many it tries for each
_SEEDS_PER_GROUP, _NUM_TRIALS = 3, 2
# Sweeps of k-means: those of the fit go on from there
_MOST_SWEEPS = 10
# Share of the rows that balls hold; the others are the group around them
_SHARE_IN_BALLS = 0.5
# The width of a group counts as if so many rows more had the width of all groups together
_ROWS_OF_ALL = 10.0
# Squared widths of a group, in squared spreads: one far row may make them far too large
_VARIANCES = (1e-8, 1.0)
# A few rows so many spreads away have a component about the centre that is wide enough for them
_FAR = 30.0


class Groups(NamedTuple):
    """Where K components start, float64, for M starts.

    locs: (M, K, D), measured from the centre.
    variances: (M, K, D), squared data units.
    counts: (M, K) rows of each.
    """

    locs: np.ndarray
    variances: np.ndarray
    counts: np.ndarray


def pooled_over_groups(variances: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Averages variances (M, K, P) over groups by their counts (M, K), (M, 1, P): for components that share them."""
    shares = counts / counts.sum(axis=-1, keepdims=True)
    return (shares[..., None] * variances).sum(axis=-2, keepdims=True)


def far_groups_widened(groups: Groups, spread: np.ndarray) -> Groups:
    """Puts few rows that are very far away into a group about the centre that is as wide as they are far.

    A location L spreads away costs L^2 / 16 nats or more under priors that learn their scale, a width of L costs each
    row log L. Sweeps from the one to the other, for correlated columns, are small and thousands.

    Args:
        groups: Groups of one start or more.
        spread: (D,) widths that count as equal.

    Example:

    >>> groups = Groups(np.array([[[0.1], [1e8]]]), np.ones((1, 2, 1)), np.array([[200, 1]]))
    >>> far_groups_widened(groups, np.ones(1)).locs.ravel().tolist()
    [0.1, 0.0]
    """
    squares = np.square(groups.locs / spread).sum(axis=-1)
    of_width = groups.counts * np.log(np.maximum(squares, 1.0))
    is_far = ((squares > _FAR**2) & (squares * max(LOC_SCALE_GRID) ** -2 > of_width))[..., None]
    widths = (squares / len(spread))[..., None] * np.square(spread)
    locs, variances = np.where(is_far, 0.0, groups.locs), np.where(is_far, widths, groups.variances)
    return groups._replace(locs=locs, variances=variances)


class _Rows:
    """Rows (n, D), in units of the spreads, of which some are chosen as the places of groups.

    k-means++ chooses once, three rows for each group: the first K of them are its answer for K groups, and any K of
    them are far apart too.
    """

    def __init__(self, values: np.ndarray, num_groups: int, seed: int) -> None:
        self.values, self.num_groups = values, num_groups
        self._distinct = distinct_rows(values)
        number = max(num_groups, min(_SEEDS_PER_GROUP * num_groups, len(self._distinct) - 1))
        self.seeds = self._chosen("k-means++", number, seed)

    def _chosen(self, start: str, number: int, seed: int) -> np.ndarray:
        unit = np.ones(self.values.shape[1])
        centre, of_distinct = np.zeros(len(unit)), self._distinct
        return start_locs(start, of_distinct, number, centre, seed, unit, is_distinct=True, num_trials=_NUM_TRIALS)

    def chosen(self, start: str, number: int, seed: int) -> np.ndarray:
        """Chooses rows, (number, D): distinct ones at random, or some of those that are far apart."""
        if start == "random":
            return self._chosen(start, number, seed)
        return np.random.default_rng(seed).choice(self.seeds, number, replace=False)


class _Partition(NamedTuple):
    """The group of each row, (n,) int, and where a group stands that has no rows, (K, D)."""

    labels: np.ndarray
    places: np.ndarray


_Way = Callable[[_Rows, int], _Partition]


def start_groups(
    start: Any, rows: np.ndarray, num_groups: int, centre: np.ndarray, spread: np.ndarray, seeds: Sequence[int]
) -> Groups:
    """Divides rows into K groups, once for each of M seeds.

    k-means++ and "random" choose among the distinct rows, each of which counts once however often it is repeated or
    whatever its weight is.

    Args:
        start: "auto", several ways in turn: the rows nearest to each of K rows chosen by k-means++, Ward's method,
            k-means, random rows, and balls around K - 1 rows with all others as the group around them.
            "k-means++" or "random", the rows nearest to each of K alone. Or locations, (K, D), data units.
        rows: (n, D) float64, measured from the centre; NaN where a row has no value, which nearby rows lend it.
        num_groups: K.
        centre: (D,) float64, data units.
        spread: (D,) widths that count as equal.
        seeds: Seeds of the choices.

    Raises:
        ValueError, TypeError: As `start_locs`.

    Example:

    >>> rows = np.array([[0.0], [0.1], [9.0], [9.1]])
    >>> groups = start_groups("k-means++", rows, 2, np.zeros(1), rows.std(axis=0), [0])
    >>> sorted(groups.locs.ravel().round(2).tolist()), groups.counts.tolist()
    ([0.05, 9.05], [[2, 2]])
    """
    rows = with_gaps_filled(rows, spread)
    # A spread of 1 stands for a column of one value: in other units it would decide how wide a sphere is
    varies = rows.min(axis=0) < rows.max(axis=0)
    spread = np.where(varies, spread, spread[varies].min(initial=spread.max()))
    scaled = rows / spread
    if not isinstance(start, str):
        locs = start_locs(start, rows, num_groups, centre, 0)
        groups = _groups_of(scaled, [_nearest(scaled, locs / spread)] * len(seeds), spread)
        return groups._replace(locs=np.broadcast_to(locs, groups.locs.shape))
    of_rows = _Rows(scaled, num_groups, seeds[0])
    if num_groups == 1:  # whatever the way
        return _groups_of(scaled, [_near_first(of_rows, 0)] * len(seeds), spread)
    return _groups_of(scaled, [way(of_rows, seed) for way, seed in zip(_ways(start), seeds)], spread)


def _ways(start: str) -> Iterator[_Way]:
    """Yields ways without end; those that leave nothing to chance come once."""
    if start == "random":
        return itertools.repeat(functools.partial(_near_chosen, start=start))
    if start == "k-means++":
        return itertools.chain([_near_first], itertools.repeat(functools.partial(_near_chosen, start=start)))
    check_choice("start", start, ("auto", *STARTS))
    return itertools.chain([_near_first, _by_ward], itertools.cycle(_WAYS))


def _near_first(rows: _Rows, seed: int) -> _Partition:
    """Gives each row to the nearest of the first K that k-means++ chose."""
    del seed
    return _nearest(rows.values, rows.seeds[: rows.num_groups])


def _near_chosen(rows: _Rows, seed: int, start: str) -> _Partition:
    """Gives each row to the nearest of K chosen ones."""
    return _nearest(rows.values, rows.chosen(start, rows.num_groups, seed))


def _by_k_means(rows: _Rows, seed: int) -> _Partition:
    """Moves K chosen places to the means of the rows nearest to them, some times (Lloyd 1982)."""
    partition = _near_chosen(rows, seed, "k-means++")
    for _ in range(_MOST_SWEEPS):
        before, partition = partition, _nearest(rows.values, _means(rows.values, partition))
        if np.array_equal(partition.labels, before.labels):
            break
    return partition


def _means(values: np.ndarray, partition: _Partition) -> np.ndarray:
    """Computes the mean of each group, (K, D); its place where it has no rows."""
    labels, places = partition
    counts = np.bincount(labels, minlength=len(places))[:, None]
    sums = np.stack([np.bincount(labels, column, len(places)) for column in values.T], axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), places)


def _by_ward(rows: _Rows, seed: int) -> _Partition:
    """Joins groups as long as the sum of squares grows least, on a sample; others go to the nearest group.

    Source: Ward 1963; scipy's.
    """
    from scipy.cluster import hierarchy

    values, most = rows.values, min(max(_FEWEST_FOR_WARD, _FOR_WARD * rows.num_groups), _MOST_FOR_WARD)
    is_sample = len(values) > most
    some = values[np.random.default_rng(seed).choice(len(values), most, replace=False)] if is_sample else values
    if len(some) < 2:
        return _near_first(rows, seed)
    labels = hierarchy.fcluster(_tree(some), rows.num_groups, "maxclust") - 1
    means = [some[labels == group].mean(axis=0) for group in range(labels.max() + 1)]
    places = np.array([means[group % len(means)] for group in range(rows.num_groups)])
    return _nearest(values, places) if is_sample else _Partition(labels, places)


def _computed_tree(rows: np.ndarray) -> np.ndarray:
    """Computes the tree of groups, which serves all numbers of groups and every fold."""
    from scipy.cluster import hierarchy

    return np.asarray(hierarchy.linkage(rows, "ward"))


_tree = Remembered(_computed_tree, _MOST_TREES)


def _in_balls(rows: _Rows, seed: int, start: str) -> _Partition:
    """Gives the rows nearest to K - 1 chosen ones to these, and the others to one group: what lies around or between.

    Other ways cannot see a dense group inside a wide one, or a ring.
    """
    values = rows.values
    places = rows.chosen(start, rows.num_groups - 1, seed)
    labels, of_all = _nearest_of(values, places)
    distances = of_all[np.arange(len(values)), labels]
    is_around = distances > quantile_of(distances, _SHARE_IN_BALLS)
    around = values[is_around] if is_around.any() else values
    return _Partition(
        np.where(is_around, rows.num_groups - 1, labels), np.concatenate([places, around.mean(axis=0)[None]])
    )


_WAYS: tuple[_Way, ...] = (
    functools.partial(_in_balls, start="k-means++"),
    functools.partial(_near_chosen, start="random"),
    functools.partial(_in_balls, start="random"),
    _by_k_means,
)


def _nearest(values: np.ndarray, places: np.ndarray) -> _Partition:
    return _Partition(_nearest_of(values, places)[0], places)


def _nearest_of(values: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds the nearest place of each row, (n,), and the squared distances of all places, (n, K)."""
    from scipy.spatial.distance import cdist

    distances = cdist(values, places, "sqeuclidean")
    return distances.argmin(axis=1), distances


def _groups_of(scaled: np.ndarray, partitions: Sequence[_Partition], spread: np.ndarray) -> Groups:
    """Computes where groups are and how wide, in data units: round in units of the spreads, but no wider than all rows.

    The widths of a column that is constant would take many sweeps to shrink, and tell all groups to be alike meanwhile.
    """
    places = np.stack([partition.places for partition in partitions])
    num_starts, num_groups, _ = places.shape
    # Groups of different starts are numbered on, so that one call counts them all
    labels = np.stack([partition.labels for partition in partitions])
    numbers = (labels + num_groups * np.arange(num_starts)[:, None]).ravel()

    def sums(values: np.ndarray) -> np.ndarray:
        """Sums (M, n) values over each group, (M, K)."""
        of_groups = np.bincount(numbers, np.broadcast_to(values, labels.shape).ravel(), num_starts * num_groups)
        return of_groups.reshape(num_starts, num_groups)

    counts = np.bincount(numbers, minlength=num_starts * num_groups).reshape(num_starts, num_groups)
    means = np.stack([sums(column) for column in scaled.T], axis=-1) / np.maximum(counts, 1)[..., None]
    locs = np.where(counts[..., None] > 0, means, places)
    with np.errstate(over="ignore"):
        squares = np.square(scaled - locs.reshape(-1, scaled.shape[1])[numbers].reshape(num_starts, *scaled.shape))
        squares = squares.mean(axis=-1)
    of_groups = sums(squares) + _ROWS_OF_ALL * squares.mean(axis=1, keepdims=True)
    widths = np.clip(of_groups / (counts + _ROWS_OF_ALL), *_VARIANCES)
    of_all = np.maximum(np.square(scaled - scaled.mean(axis=0)).mean(axis=0), _VARIANCES[0])
    return Groups(locs * spread, np.minimum(widths[..., None], of_all) * np.square(spread), counts)
