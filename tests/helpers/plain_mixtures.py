"""Mixtures with a posterior that tests choose, in plain arrays; and sweeps over rows, one line after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfgmm.data.blocks import RowBlock
from tfgmm.data.summary import DataSummary
from tfgmm.families.fitted import FittedMixture
from tfgmm.families.natural_gradient import global_step, place_at, place_of
from tfgmm.families.variational import Factors, VariationalPosterior
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.statistics import Statistics
from tfgmm.scoring import devices


class PlainMixture(FittedMixture):
    """A mixture with the posterior given: what a fit has in common with it, and nothing else."""

    def __init__(
        self, q: VariationalPosterior, priors: Priors, num_data: int = 100, column_names: Sequence[str] | None = None
    ) -> None:
        self.variational, self.priors, self.seed = q, priors, 0
        ones = (1.0,) * q.num_features
        names = None if column_names is None else tuple(column_names)
        self.data_summary = DataSummary(num_data, q.num_features, tuple(q.centre.tolist()), ones, names)


def mixture_at(
    weights: Any,
    components: Any,
    centre: Any,
    covariance: str = "diag",
    weight_prior: str = "dirichlet",
    priors: Priors | None = None,
    **options: Any,
) -> PlainMixture:
    """Returns a mixture with these two factors, whose locations are in data units."""
    priors, centre = priors or Priors(), np.asarray(centre, np.float64)
    q = VariationalPosterior.of(covariance, weight_prior, *components.locs.shape, priors)
    q.assign_centre(centre)
    q.assign(q.values_of(Factors(weights, components._replace(locs=components.locs - centre))))
    return PlainMixture(q, priors, **options)


def sweeps(q: VariationalPosterior, rows: Any, number: int) -> list[float]:
    """Moves q by exact sweeps over rows in data units, and returns its bound before each of them, nats."""
    block, bounds = RowBlock(np.float32(rows - q.centre)), []
    for _ in range(number):
        place = place_at(q, q.values())
        sums = devices.sums(q.form, place.coefficients, block)
        bounds.append(float(sums.log_likelihood) - float(q.kl()))
        one = Statistics(*(value[None] for value in sums.statistics))
        step = global_step(q, q.values().map(lambda value: value[None]), one, q.centre)
        q.assign(place_of(step.target, 0).values)
    return bounds
