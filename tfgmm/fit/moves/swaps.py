"""Which components should go, and which should be divided instead; and where q stands after that."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from tfgmm.families.natural_gradient import global_step, place_at
from tfgmm.families.variational import Values, VariationalPosterior
from tfgmm.fit.moves.divisions import FilledRows, divisions_at
from tfgmm.fit.moves.looks import Members, losses_and_members
from tfgmm.fit.restarts import Stage
from tfgmm.mixture.occupied import is_occupied
from tfgmm.mixture.parameters import num_parameters
from tfgmm.mixture.row_sums import statistics_of
from tfgmm.mixture.statistics import Statistics, with_whole_masks

# Share of its rows that a component which goes may have in common with others that go
_MOST_SHARED = 0.1
# Share of the price that BIC has for a component: with priors that learn their scale most cost less
_SHARE_OF_PRICE = 0.5
# Nats of the sample that a component which the rows do not need gains there for each of its numbers (Akaike 1973)
_GAIN_BY_CHANCE = 1.0


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
    price: What a gain must be above where a component has no rows yet, nats: half of what BIC asks for one of average
        size, and what chance gains. Any other that goes pays for the new one.
    chance: What a component that the rows do not need gains on a sample, nats; 0 where the rows are all rows.
    """

    values: Values
    elbo: float
    statistics: Statistics
    losses: np.ndarray
    gains: np.ndarray
    halves: np.ndarray
    members: Members
    price: float
    chance: float

    @property
    def is_empty(self) -> np.ndarray:
        """Which components have no rows, (K,) bool."""
        return ~is_occupied(self.statistics.counts)

    def gain_by_chance(self, swaps: Sequence[Swap]) -> float:
        """Computes what swaps may gain on a sample although the rows need none of them, nats."""
        return self.chance * sum(bool(self.is_empty[swap.deleted]) for swap in swaps)


def prospect_at(q: VariationalPosterior, values: Values, stage: Stage, filled: FilledRows, seed: int) -> Prospect:
    """Looks at all components where q stands.

    Args:
        q: Family of the posteriors.
        values: Numbers behind q.
        stage: The rows, and whether they are a sample.
        filled: The same, their gaps filled.
        seed: Seed of the rows that halves are found with.
    """
    place, rows = place_at(q, values), stage.rows
    sums = rows.sums([value[None] for value in place.coefficients], np.float64)
    losses, members = losses_and_members(rows, place)
    elbo = float(sums.log_likelihood[0]) - float(q.kl(q.factors_of(values), stage.centre))
    share = rows.share
    statistics = Statistics(*(value[0] for value in sums.statistics))
    gains, halves = divisions_at(q, values, filled, members, seed)
    of_bic = _SHARE_OF_PRICE * 0.5 * math.log(max(rows.num_data / q.num_components, 1.0))
    chance = _GAIN_BY_CHANCE * rows.rows_each * _numbers_each(q) if stage.is_sample else 0.0
    price = of_bic * _numbers_each(q) + chance
    return Prospect(values, elbo, statistics, share * losses, share * gains, share * halves, members, price, chance)


def _numbers_each(q: VariationalPosterior) -> int:
    """Counts the parameters of one more component."""
    one, two = (num_parameters(q.covariance, number, q.num_features) for number in (1, 2))
    return two - one


def chosen_swaps(
    prospect: Prospect, share: float, most: int, barred: Collection[Swap], has_births: bool = True
) -> list[Swap]:
    """Pairs what is needed least with what gains most from two, as long as the gain is above a share of the loss.

    Components that go must not have given their rows to each other: the loss of each counts on the others to stay.

    Args:
        prospect: All components.
        share: Share of the loss.
        most: Largest number of pairs.
        barred: Pairs that were tried.
        has_births: Whether components without rows may get some.
    """
    losses, gains = prospect.losses, prospect.gains
    found: list[Swap] = []
    is_used, given = np.zeros(len(losses), bool), _Given(prospect.members)
    by_gain = np.argsort(-gains, kind="stable").tolist()
    prices = np.where(prospect.is_empty, prospect.price if has_births else np.inf, 0.0)
    for deleted in np.argsort(losses, kind="stable").tolist():
        if is_used[deleted] or given.is_shared(deleted):
            continue
        free = (one for one in by_gain if not is_used[one] and one != deleted and (deleted, one) not in barred)
        divided = next(free, None)
        if len(found) == most:
            break
        if divided is None:  # of this one all pairs were tried
            continue
        if not gains[divided] > share * losses[deleted] + prices[deleted]:
            continue  # another may pay: one without rows has a price, and here the best for this one may be taken
        found.append(Swap(deleted, divided))
        is_used[[deleted, divided]] = True
        given.add(deleted)
    return found


class _Given:
    """The rows of components that go, which fall to the others."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._shares = np.zeros(members.rows.max(initial=-1) + 1)  # of each row

    def is_shared(self, component: int) -> bool:
        """Tells whether a component has some of its rows in common with those that go."""
        _, rows, memberships, weights = self._members.of(component)
        own = memberships * weights
        return bool(own @ self._shares[rows] > _MOST_SHARED * own.sum())

    def add(self, component: int) -> None:
        """Adds the rows of a component."""
        _, rows, memberships, _ = self._members.of(component)
        self._shares[rows] += memberships


def swapped(q: VariationalPosterior, prospect: Prospect, swaps: Sequence[Swap], centre: np.ndarray) -> Values:
    """Puts a half in place of each component that is divided, the other in place of one that goes; takes one step."""
    deleted, divided = (np.array(side) for side in zip(*swaps))
    halves = statistics_of(prospect.halves[divided].swapaxes(0, 1), q.num_features)
    halves = with_whole_masks(halves, len(q.gap_columns))  # their gaps are filled
    statistics = prospect.statistics
    for number, places in enumerate((divided, deleted)):
        statistics = Statistics(*(_replaced(*both, places, number) for both in zip(statistics, halves)))
    components = tuple(
        value if len(value) == 1 else _replaced(value, value[divided][None], deleted, 0)  # 1: what all share
        for value in map(np.asarray, prospect.values.components)
    )
    before = prospect.values._replace(components=components).map(_with_axis)
    step = global_step(q, before, Statistics(*map(_with_axis, statistics)), centre)
    return step.target.values.map(lambda value: value[0])


def _replaced(values: np.ndarray, others: np.ndarray, places: np.ndarray, number: int) -> np.ndarray:
    """Puts line `number` of others, one entry for each of the places, in these places of values (K, ...)."""
    values = np.array(values)
    values[places] = others[number]
    return values


def _with_axis(values: np.ndarray) -> np.ndarray:
    return np.asarray(values)[None]
