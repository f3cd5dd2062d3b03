"""What is kept of rows that are gone: their sums at the memberships of their time, and their log likelihoods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfgmm.data.blocks import RowBlock
from tfgmm.data.summary import centre as centre_rows
from tfgmm.families.natural_gradient import Place
from tfgmm.families.variational import VariationalPosterior
from tfgmm.mixture.integrands import with_integrals
from tfgmm.mixture.parameters import coefficients_of
from tfgmm.mixture.row_groups import RowGroups
from tfgmm.mixture.statistics import Statistics, added, scaled, shifted, split_masks, with_more_masks


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

    def and_then(self, others: RunningSums, share: float) -> RunningSums:
        """Adds later rows; of those before, `share` is remembered."""
        return RunningSums(
            added(scaled(self.statistics, share), others.statistics),
            share * self.num_rows + others.num_rows,
            share * self.log_likelihoods + others.log_likelihoods,
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
    groups = RowGroups(q.form, centred, q.gap_columns)
    statistics, expected, _ = groups.sums([value[None] for value in place.coefficients])
    of_mixture = coefficients_of(q.plug_in())
    if q.gap_columns:
        of_mixture = with_integrals(of_mixture, q.num_features, q.gap_columns)
    at_means = groups.log_likelihoods([value[None] for value in of_mixture])[:, 0]
    of_one = Statistics(*(value[0] for value in statistics))
    return RunningSums(of_one, groups.total_weight, np.concatenate([expected, at_means]))
