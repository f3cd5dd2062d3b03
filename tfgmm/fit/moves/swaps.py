"""Which components should go, and which should be divided instead; and where q stands after that."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfgmm.families.natural_gradient import global_step, place_at
from tfgmm.families.variational import Values, VariationalPosterior
from tfgmm.fit.cached_rows import CachedRows
from tfgmm.fit.moves.halves import Crowds, Widths, halves_of
from tfgmm.fit.moves.looks import Members, losses_and_members
from tfgmm.mixture.parameters import FORMS
from tfgmm.mixture.registry import COVARIANCES
from tfgmm.mixture.row_sums import statistics_of
from tfgmm.mixture.log_joints import write_features
from tfgmm.mixture.statistics import Statistics

# Rows of a component that its halves are found with; numbers of a pass over components at a time
_MOST_ROWS, _MOST_NUMBERS = 400, 2**22
# Share of its rows that a component which goes may have in common with others that go
_MOST_SHARED = 0.1


class Swap(NamedTuple):
    """A component that goes, and one that is divided in two, of which one half takes its place."""

    deleted: int
    divided: int


class Prospect(NamedTuple):
    """What is known of all components where q stands.

    values: Numbers behind q.
    elbo: Bound, nats.
    statistics: Statistics of N rows.
    losses: (K,) what N rows lose without each, nats.
    gains: (K,) what they gain from two in place of one, nats.
    halves: (K, 2, F + 1) sums of features over the rows of both halves, for N rows.
    members: Rows of each component.
    """

    values: Values
    elbo: float
    statistics: Statistics
    losses: np.ndarray
    gains: np.ndarray
    halves: np.ndarray
    members: Members


def prospect_at(
    q: VariationalPosterior, values: Values, rows: CachedRows, filled: np.ndarray, centre: np.ndarray, seed: int
) -> Prospect:
    """Looks at all components where q stands.

    Args:
        q: Family of the posteriors.
        values: Numbers behind q.
        rows: n rows.
        filled: (n, D) float32, the same, their gaps filled.
        centre: (D,) float64, data units.
        seed: Seed of the rows that halves are found with.
    """
    place = place_at(q, values)
    sums = rows.sums([value[None] for value in place.coefficients], np.float64)
    losses, members = losses_and_members(rows, place)
    elbo = float(sums.log_likelihood[0]) - float(q.kl(q.factors_of(values), centre))
    share = rows.num_data / rows.groups.total_weight
    statistics = Statistics(*(value[0] for value in sums.statistics))
    gains, halves = _gains(q, values, filled, members, seed)
    return Prospect(values, elbo, statistics, share * losses, share * gains, share * halves, members)


def _gains(
    q: VariationalPosterior, values: Values, filled: np.ndarray, members: Members, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the halves of every component: gains (K,), and sums of features over the rows of each (K, 2, F + 1)."""
    generator, num_components = np.random.default_rng(seed), q.num_components
    entries, times = _some_entries(members, num_components, generator)
    shape = COVARIANCES[q.covariance]
    widths = Widths(shape.is_tied, shape.is_spherical, shape.is_correlated and not shape.is_tied)
    means = q.components.means(q.factors_of(values).components)
    numbers = max(1, entries.shape[1]) * filled.shape[1] * (filled.shape[1] if widths.is_matrix else 2)
    size, found = max(1, _MOST_NUMBERS // numbers), []
    for first in range(0, num_components, size):
        chosen = slice(first, first + size)
        crowds, of_rows = _crowds(means, filled, members, entries[chosen], chosen, widths)
        halves = halves_of(crowds, widths, generator)
        weights = halves.memberships * crowds.weights[:, None] * times[chosen, None, None]
        found.append((halves.gains * times[chosen], _sums_of_features(q, of_rows, weights)))
    gains, sums = (np.concatenate(parts) for parts in zip(*found))
    return gains, sums


def _some_entries(
    members: Members, num_components: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Chooses up to 400 entries of each component, (K, n) int, -1 where it has fewer; and how many each stands for."""
    ends = np.searchsorted(members.components, np.arange(num_components + 1))
    counts = np.diff(ends)
    order = np.lexsort((generator.random(len(members.components)), members.components))
    size = max(1, int(min(counts.max(initial=0), _MOST_ROWS)))
    places = ends[:-1, None] + np.arange(size)
    is_there = np.arange(size) < counts[:, None]
    entries = np.where(is_there, order[np.minimum(places, max(len(order) - 1, 0))] if len(order) else -1, -1)
    own = np.append(members.weights * members.memberships, 0.0)
    of_all = np.bincount(members.components, own[:-1], num_components)
    of_some = own[entries].sum(axis=1)
    return entries, np.divide(of_all, of_some, out=np.ones(num_components), where=of_some > 0.0)


def _crowds(
    means: dict[str, Any],
    filled: np.ndarray,
    members: Members,
    entries: np.ndarray,
    components: slice,
    widths: Widths,
) -> tuple[Crowds, np.ndarray]:
    """Measures the chosen rows of some components in their units; hands on the rows, (M, n, D) float64."""
    is_there = entries >= 0
    rows = filled[members.rows[entries]].astype(np.float64) if len(members.rows) else np.zeros((*entries.shape, filled.shape[1]))
    away = rows - means["locs"][components][:, None]
    if "precisions" in means:
        whitened = scaled = away * np.sqrt(means["precisions"][components])[:, None]
    else:
        whiteners = means["whiteners"]
        whiteners = whiteners if len(whiteners) == 1 else whiteners[components]
        whitened = scaled = away @ whiteners.swapaxes(1, 2)
        if widths.is_matrix:
            roots = np.linalg.inv(whiteners)
            scaled = away / np.sqrt(np.square(roots).sum(axis=2))[:, None]
    memberships = np.where(is_there, members.memberships[entries], 1.0) if len(members.rows) else np.ones(entries.shape)
    weights = np.where(is_there, members.weights[entries], 0.0) if len(members.rows) else np.zeros(entries.shape)
    whitened, scaled = np.where(is_there[..., None], whitened, 0.0), np.where(is_there[..., None], scaled, 0.0)
    return Crowds(whitened, scaled, memberships, weights), rows


def _sums_of_features(q: VariationalPosterior, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sums columns, their products and 1 over rows (M, n, D) by weights (M, 2, n), (M, 2, D + P + 1)."""
    num_features, write = rows.shape[-1], FORMS[q.form].write_products
    columns = rows.reshape(-1, num_features).T
    from tfgmm.mixture.features import num_products

    features = np.empty((num_features + num_products(write, num_features) + 1, columns.shape[1]))
    write_features(write, columns, features)
    by_component = features.T.reshape(*rows.shape[:2], -1)
    sums: np.ndarray = weights @ by_component
    return sums


def chosen_swaps(
    prospect: Prospect, share: float, most: int, barred: Collection[Swap], num_rows: int
) -> list[Swap]:
    """Pairs what is needed least with what gains most from two, as long as the gain is more than a share of the loss.

    Args:
        prospect: All components.
        share: Share of the loss that the gain must be above.
        most: Largest number of pairs.
        barred: Pairs that were tried.
        num_rows: n.
    """
    losses, gains, members = prospect.losses, prospect.gains, prospect.members
    is_used = np.zeros(len(losses), bool)
    is_given = np.zeros(num_rows)  # share of each row that components which go have had
    found: list[Swap] = []
    by_gain = np.argsort(-gains, kind="stable")
    for deleted in np.argsort(losses, kind="stable").tolist():
        if len(found) == most:
            break
        if is_used[deleted]:
            continue
        entries = members.of(deleted)
        rows, own = members.rows[entries], members.memberships[entries] * members.weights[entries]
        if own @ is_given[rows] > _MOST_SHARED * own.sum():
            continue
        best = next((s for s in by_gain.tolist() if not is_used[s] and s != deleted and (deleted, s) not in barred), None)
        if best is None:
            break
        if not gains[best] > share * losses[deleted]:
            break
        found.append(Swap(deleted, best))
        is_used[[deleted, best]] = True
        is_given[rows] += members.memberships[entries]
    return found


def swapped(q: VariationalPosterior, prospect: Prospect, swaps: Sequence[Swap], centre: np.ndarray) -> Values:
    """Puts one half in place of each component that is divided, the other in place of the one that goes; one step."""
    deleted, divided = (np.array(side) for side in zip(*swaps))
    statistics = Statistics(*(np.array(value) for value in prospect.statistics))
    halves = statistics_of(prospect.halves[divided], q.num_features)
    num_masks = statistics.second.shape[-1] - halves.second.shape[-1]
    for number, places in enumerate((divided, deleted)):
        second = halves.second[:, number]
        if num_masks:
            with np.errstate(invalid="ignore", divide="ignore"):
                seen = prospect.statistics.second[divided, -num_masks:] / prospect.statistics.counts[divided, None]
            second = np.concatenate([second, np.nan_to_num(seen) * halves.counts[:, number, None]], axis=1)
        statistics.counts[places] = halves.counts[:, number]
        statistics.first[places] = halves.first[:, number]
        statistics.second[places] = second

    def as_divided(value: np.ndarray) -> np.ndarray:
        value = np.array(value)
        if len(value) == q.num_components:
            value[deleted] = value[divided]
        return value

    components = tuple(as_divided(value) for value in prospect.values.components)
    before = prospect.values._replace(components=components).map(lambda value: np.asarray(value)[None])
    step = global_step(q, before, Statistics(*(value[None] for value in statistics)), centre)
    return step.target.values.map(lambda value: value[0])
