"""The evidence near one optimum, by which optima of one fit are ranked: as cheaply as that allows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tfgmm.families.exact.adaptive_importance import Weighted
from tfgmm.families.exact.budget import Budget
from tfgmm.families.exact.coordinates import Coordinates
from tfgmm.families.exact.mode import Mode, find_mode
from tfgmm.families.exact.target import PassedRows, Target
from tfgmm.families.exact.whitened import Whitened
from tfgmm.families.variational import VariationalPosterior
from tfgmm.posterior.record import AUTO


class NearbyEvidence(NamedTuple):
    """What the exact posterior near an optimum has of the probability of the rows.

    log_evidence: Its logarithm, nats; of one labelling, where all orders of the components are equally probable.
    error: Its Monte-Carlo standard error, nats; 0 for Laplace's approximation, whose error is not known.
    """

    log_evidence: float
    error: float


def can_be_ranked(posterior: VariationalPosterior, num_rows: int) -> bool:
    """Tells whether the evidence near some optima can be afforded.

    Args:
        posterior: The family.
        num_rows: Number of rows, however often they count.
    """
    return _budget(posterior, num_rows).can_rank


def mode_near(posterior: VariationalPosterior, rows: PassedRows) -> Mode:
    """Climbs to the mode of the exact posterior near q.

    Args:
        posterior: q.
        rows: Rows, measured from its centre.
    """
    return find_mode(Target(posterior, rows), Coordinates.at_means(posterior))


def evidence_near(
    posterior: VariationalPosterior, rows: PassedRows, mode: Mode, num_rows: int, seed: int
) -> NearbyEvidence:
    """Estimates the evidence near a mode by one stage of importance sampling; by Laplace where that costs too much.

    Args:
        posterior: q, near the mode.
        rows: Rows, measured from its centre.
        mode: The mode.
        num_rows: Number of rows, however often they count.
        seed: Seed of the draws.
    """
    budget = _budget(posterior, num_rows)
    if not budget.num_ranking:
        return NearbyEvidence(mode.log_evidence, 0.0)
    generator, target = np.random.default_rng(seed), Target(posterior, rows)
    whitened = Whitened(target, mode, budget, generator, lambda what, number, count: None)
    weighted: Weighted = whitened.first_stage(budget.num_ranking)
    return NearbyEvidence(weighted.log_evidence, weighted.evidence_error)


def _budget(posterior: VariationalPosterior, num_rows: int) -> Budget:
    return Budget(posterior, num_rows, Coordinates.at_means(posterior).num_coordinates, AUTO)
