"""What is kept of rows that are gone: their sums at the memberships of their time, and their log likelihoods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfgmm.data.blocks import RowBlock
from tfgmm.data.summary import centre as centre_rows
from tfgmm.families.natural_gradient import OneStep, Place, moved, place_at
from tfgmm.families.variational import VariationalPosterior
from tfgmm.fit.running.parts import Part
from tfgmm.mixture.integrands import with_integrals
from tfgmm.mixture.parameters import coefficients_of
from tfgmm.mixture.row_groups import RowGroups
from tfgmm.mixture.statistics import Statistics, added, shifted, split_masks, with_more_masks

# Rows that a component keeps however long none of its own come, where memory is long enough for that
_LEAST_ROWS = 2.0
# In place of no rows, which nothing can be divided by
_NO_ROWS = 1e-300


def least_rows(forgetting_factor: float, num_components: int) -> float:
    """Computes how many rows a component keeps: two, or half of an even share of the rows remembered, if that is less.

    Args:
        forgetting_factor: Above 0 and at most 1.
        num_components: K.

    Example:

    >>> least_rows(0.99, 3), least_rows(0.5, 2)
    (2.0, 0.5)
    """
    shares_forgotten = (1.0 - forgetting_factor) * num_components
    return _LEAST_ROWS if _LEAST_ROWS * shares_forgotten < 0.5 else 0.5 / shares_forgotten


# Spreads from the centre beyond which rows are measured from another: float32 rows would lose digits
_FAR = 100.0
# Nats: a gain below it counts as none; an error of so much is one of a few hundredths of the width of q
_STANDING = 1e-3


class RunningSums(NamedTuple):
    """Sums over the rows of several parts.

    statistics: Expected sufficient statistics.
    num_rows: N, the rows as far as they are remembered.
    log_likelihoods: (3,) float64, nats: the likelihood part of the bound; the log likelihood at the posterior means;
        and that of the rows together with the most probable component of each.
    """

    statistics: Statistics
    num_rows: float
    log_likelihoods: np.ndarray

    def and_then(self, others: RunningSums, share: float, least: float = 0.0) -> RunningSums:
        """Adds later rows; of those before, `share` is remembered.

        Args:
            others: Sums of the later rows.
            share: What is remembered of a row.
            least: Rows that a component keeps, with those added, as far as it had them. One without rows is what the
                prior says, and two of these stay the same, whatever rows come.
        """
        counts, first, second = self.statistics
        missing = np.maximum(least - others.statistics.counts, 0.0)
        shares = np.maximum(share, np.minimum(missing / np.maximum(counts, _NO_ROWS), 1.0))
        remembered = Statistics(shares * counts, shares[:, None] * first, shares[:, None] * second)
        mean_share = float(remembered.counts.sum() / counts.sum())
        return RunningSums(
            added(remembered, others.statistics),
            mean_share * self.num_rows + others.num_rows,
            mean_share * self.log_likelihoods + others.log_likelihoods,
        )

    def with_more_gaps(self, gap_columns: Sequence[int], more_gap_columns: Sequence[int]) -> RunningSums:
        """Makes room for columns in which only later rows have gaps; see `with_more_masks`."""
        return self._replace(statistics=with_more_masks(self.statistics, gap_columns, more_gap_columns))

    def measured_from(self, step: np.ndarray, gap_columns: Sequence[int]) -> RunningSums:
        """Measures the same rows from a centre that is `step`, (D,) data units, lower."""
        observed, products = split_masks(self.statistics, gap_columns)
        counts, _, second = self.statistics
        first, moved = shifted(self.statistics.first, products, observed, step)
        second = np.concatenate([moved, second[..., products.shape[-1] :]], axis=-1)
        return self._replace(statistics=Statistics(counts, first, second))


def sums_of(q: VariationalPosterior, place: Place, rows: RowBlock, name: str) -> RunningSums:
    """Sums over rows at the memberships that q gives them.

    Args:
        q: The posterior, which stands at `place`.
        place: Where it stands.
        rows: Rows, data units, with weights or without.
        name: What the caller's argument for the rows is called in error messages.

    Raises:
        ValueError: A value is beyond float32 once measured from the centre.
    """
    centred = rows._replace(values=centre_rows(rows.values, q.centre, name=name))
    return sums_over(q, place, RowGroups(q.form, centred, q.gap_columns))


def sums_over(q: VariationalPosterior, place: Place, groups: RowGroups) -> RunningSums:
    """Sums over rows that are measured from the centre of q; see `sums_of`."""
    statistics, expected, _ = groups.sums([value[None] for value in place.coefficients])
    of_mixture = coefficients_of(q.plug_in())
    if q.gap_columns:
        of_mixture = with_integrals(of_mixture, q.num_features, q.gap_columns)
    at_means = groups.log_likelihoods([value[None] for value in of_mixture])[:, 0]
    of_one = Statistics(*(value[0] for value in statistics))
    return RunningSums(of_one, groups.total_weight, np.concatenate([expected, at_means]))


def ready_for(
    part: Part,
    q: VariationalPosterior,
    place: Place,
    sums: RunningSums,
    spread: Sequence[float],
    name: str,
) -> tuple[VariationalPosterior, Place, RunningSums]:
    """Makes room for gaps that begin in a part, and measures from where its rows are when they are far.

    Args:
        part: The part.
        q: The posterior, which is changed: a copy.
        place: Where it stands.
        sums: Of the rows before.
        spread: (D,) widths of the columns, data units.
        name: What the caller's argument for the rows is called in error messages.
    """
    known, before = q.gap_columns, q.centre
    q.observe_gaps(sorted({*known, *part.gap_columns}))
    centre = _centre_of(part.rows.values, before)
    is_near = bool((np.abs(centre - before) <= _FAR * np.array(spread)).all())
    if q.gap_columns == known and is_near:
        return q, place, sums
    if q.gap_columns != known:
        sums = sums.with_more_gaps(known, q.gap_columns)
    if not is_near:
        centre_rows(part.rows.values, before, name=name)  # checks that steps stay in the range of float32
        q.move_centre(centre.tolist())
        sums = sums.measured_from(before - q.centre, q.gap_columns)
    return q, place_at(q, q.values()), sums


def _centre_of(values: np.ndarray, instead: np.ndarray) -> np.ndarray:
    """Computes the mean of each column, (D,) float64; `instead` where no row has a value."""
    seen = ~np.isnan(values)
    counts = seen.sum(axis=0)
    sums = np.where(seen, values, 0.0).sum(axis=0, dtype=np.float64)
    return np.where(counts > 0, sums / np.maximum(counts, 1), instead)


def settled(q: VariationalPosterior, place: Place, statistics: Statistics, most_steps: int) -> tuple[OneStep, float]:
    """Moves to the optimum for the sums: steps until the bound, the memberships held, stands still.

    A step updates locations, widths and the scales that priors learn in turn, so one alone ends short of the optimum.

    Args:
        q: The posterior; where it stands does not matter.
        place: Where to begin.
        statistics: Sums of all rows.
        most_steps: Largest number of steps.

    Returns:
        The last step, and the KL where it began, nats.

    Raises:
        FloatingPointError: As `moved`.
    """
    step = moved(q, place.values, statistics, q.centre)
    kl, bound = step.kl, -math.inf
    for _ in range(1, most_steps):
        start, sums = step.target, step.statistics
        step = moved(q, start.values, sums, q.centre)
        before, bound = bound, _expected(start, sums) - step.kl
        if bound - before < _STANDING:
            break
    return step, kl


def _expected(place: Place, sums: Statistics) -> float:
    """Computes what the sums add to the bound at a place, nats, but for what is the same everywhere."""
    linear, constants = place.coefficients
    columns = np.concatenate([sums.first, sums.second], axis=-1)
    return float(np.vdot(columns.T, linear) + np.vdot(sums.counts, constants))
