"""A posterior and what it was fitted to: what a fit, while it runs and once it is done, has in common."""

from __future__ import annotations

from typing import Any

from tfgmm.data.summary import DataSummary
from tfgmm.families.queries import PosteriorQueries
from tfgmm.families.variational import VariationalPosterior
from tfgmm.mixture.priors import Priors


class FittedMixture(PosteriorQueries):
    """A mixture with its posterior, its priors and a summary of its rows, in plain arrays.

    A subclass provides the five attributes below. All that leaves the process, exports, reports and runs, is made from
    these; a `GaussianMixtureModel` has them too.
    """

    variational: VariationalPosterior
    priors: Priors
    """Priors, data units."""
    seed: int
    """Seed of the starts."""
    data_summary: DataSummary
    """Summary of the rows."""
    elbo: Any
    """Augmented bound on all rows, nats; None where it is not known yet."""

    @property
    def num_data(self) -> float:
        """N."""
        return self.data_summary.num_data

    @property
    def column_names(self) -> tuple[str, ...] | None:
        """Names of the columns; None when they had none."""
        return self.data_summary.column_names

    @property
    def num_components(self) -> int:
        """K."""
        return self.variational.num_components

    @property
    def num_features(self) -> int:
        """D."""
        return self.variational.num_features

    @property
    def covariance(self) -> str:
        """Name of the covariance shape."""
        return self.variational.covariance

    @property
    def weight_prior(self) -> str:
        """Name of the prior of the weights."""
        return self.variational.weights.name
