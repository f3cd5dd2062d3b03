"""The evidence near one optimum, by which optima of one fit are ranked: as cheaply as that allows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tfgmm.families.exact.adaptive_importance import Weighted
from tfgmm.families.exact.budget import Budget
from tfgmm.families.exact.coordinates import Coordinates
from tfgmm.families.exact.mode import Mode, NoModeError, find_mode
from tfgmm.families.exact.target import PassedRows, Target
from tfgmm.families.exact.whitened import Whitened
from tfgmm.families.variational import VariationalPosterior
from tfgmm.posterior.record import AUTO

_MOST_PASSES = 20
# k-hat from which ratios have no mean, and the least error of an average of them, nats
_NO_MEAN, _LEAST_ERROR = 1.0, 0.5


class NearbyEvidence(NamedTuple):
    """What the exact posterior near an optimum has of the probability of the rows.

    log_evidence: Its logarithm, nats; of one labelling, where all orders of the components are equally probable.
    error: Its Monte-Carlo standard error, nats, and half a nat at least where k-hat is above 1, so that the ratios have
        no mean; 0 for Laplace's approximation, whose error is not known.
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


def mode_near(posterior: VariationalPosterior, rows: PassedRows) -> Mode | None:
    """Climbs to the mode of the exact posterior near q, for some passes at most; None where it is no finite number.

    Args:
        posterior: q.
        rows: Rows, measured from its centre.
    """
    try:
        return find_mode(Target(posterior, rows), Coordinates.at_means(posterior), most_passes=_MOST_PASSES)
    except NoModeError:  # this optimum is then ranked by its bound, as before
        return None


def evidence_near(
    posterior: VariationalPosterior, rows: PassedRows, mode: Mode, num_rows: int, seed: int
) -> NearbyEvidence:
    """Estimates the evidence near a mode by three stages of importance sampling, by Laplace where these cost too much.

    One stage alone was off by up to 3 nats with an error of 0.9 where components overlap.

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
    weighted: Weighted = whitened.few_stages(budget.num_ranking)
    least = _LEAST_ERROR if weighted.k_hat >= _NO_MEAN else 0.0
    return NearbyEvidence(weighted.log_evidence, max(weighted.evidence_error, least))


def _budget(posterior: VariationalPosterior, num_rows: int) -> Budget:
    return Budget(posterior, num_rows, Coordinates.at_means(posterior).num_coordinates, AUTO)
