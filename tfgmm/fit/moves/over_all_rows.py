"""Whether a fit goes on from where moves led on a sample, or from the best restart without any: all rows decide."""

from __future__ import annotations

from collections.abc import Sequence

from tfgmm.families.natural_gradient import place_at
from tfgmm.families.variational import VariationalPosterior, stacked
from tfgmm.fit.restarts import Restart
from tfgmm.fit.sweep_batches import Batches


def better_over_all_rows(q: VariationalPosterior, batches: Batches, restarts: Sequence[Restart]) -> list[Restart]:
    """Puts the restart first that has the higher bound over all rows: the best, or the best of those without moves.

    A gain on a sample need not be one over all rows. Where a restart stands twice, as it was and as it moved, the other
    one goes.

    Args:
        q: Family of the posteriors.
        batches: All rows.
        restarts: Best bound on the sample first.
    """
    best, *others = restarts
    plain = next((restart for restart in others if not restart.moves), None)
    if best.moves and plain is not None:
        places = place_at(q, stacked([best.values, plain.values]))
        (expected, _), _ = batches.log_likelihoods(places.coefficients)
        bounds = expected - q.kl(q.factors_of(places.values))
        if bounds[1] > bounds[0]:
            best = plain
    numbers = {best.number}
    found = [best]
    for restart in restarts:
        if restart.number not in numbers:
            numbers.add(restart.number)
            found.append(restart)
    return found
