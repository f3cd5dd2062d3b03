"""Whether a fit goes on from where moves led on a sample, or from the best restart without any: all rows decide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfgmm.families.natural_gradient import place_at
from tfgmm.families.variational import VariationalPosterior, stacked
from tfgmm.fit.restarts import Restart
from tfgmm.fit.sweep_batches import Batches

# Nats per row: bounds that differ by less may change places in the sweeps over all rows
_CLOSE = 1e-3
# Share of weights, and of the spread of locations, by which one optimum differs from itself while sweeps go on
_ALIKE = 0.05


def places_over_all_rows(
    q: VariationalPosterior, batches: Batches, restarts: Sequence[Restart], num_data: float
) -> list[int]:
    """Says from which restarts sweeps over all rows begin: from the best, or the best without moves, or both.

    A gain on a sample need not be one over all rows. The one with the higher bound over all rows is taken; both where
    they are close, and the better one is known at the end.

    Args:
        q: Family of the posteriors.
        batches: All rows.
        restarts: Best bound on the sample first.
        num_data: N.
    """
    plain = next((place for place, restart in enumerate(restarts) if not restart.moves), 0)
    if plain == 0:
        return [0]
    places = place_at(q, stacked([restarts[place].values for place in (0, plain)]))
    (expected, _), _ = batches.log_likelihoods(places.coefficients)
    moved, unmoved = (expected - q.kl(q.factors_of(places.values))).tolist()
    is_close = np.isfinite(moved) and np.isfinite(unmoved) and abs(moved - unmoved) < _CLOSE * num_data
    if is_close and not _are_alike(restarts[0], restarts[plain]):
        return [0, plain]
    return [plain] if unmoved > moved or not np.isfinite(moved) else [0]


def _are_alike(one: Restart, other: Restart) -> bool:
    """Tells whether two restarts are at one optimum, in whatever order their components stand."""
    if not np.allclose(np.sort(one.weights), np.sort(other.weights), rtol=_ALIKE, atol=_ALIKE / len(one.weights)):
        return False
    steps = np.abs(np.sort(one.locs, axis=0) - np.sort(other.locs, axis=0))
    return bool((steps <= _ALIKE * one.locs.std(axis=0)).all())


def from_place(restarts: Sequence[Restart], place: int) -> list[Restart]:
    """Lists the restarts that a fit has which goes on from one of them: each start once, best bound first.

    A start that stands twice stands as it moved where moves were right, and as it was where they were not.
    """
    kept = restarts if restarts[place].moves else [restart for restart in restarts if not restart.moves]
    first: dict[int, Restart] = {}
    for restart in kept:
        first.setdefault(restart.number, restart)
    return list(first.values())
