"""What a fit gives back: the model, how it was found, and the criteria by which fits are compared."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfgmm.fit.occupied import num_occupied, occupied_probabilities
from tfgmm.fit.restarts import Restart
from tfgmm.fit.summary import summary_of
from tfgmm.mixture.parameters import num_parameters
from tfgmm.model.gaussian_mixture import GaussianMixtureModel
from tfgmm.model.training_rows import centred_batches


@dataclasses.dataclass(frozen=True, eq=False)
class FitResult:
    """A fitted mixture and how it was found. `print(result)` shows it.

    Args:
        model: the fitted `GaussianMixtureModel`.
        elbo: the augmented bound of the fitted posterior on all rows, nats.
        log_likelihood: of all rows at the posterior means, nats.
        complete_log_likelihood: of all rows together with the most probable component of each, at the posterior
            means, nats.
        history: the logs of each sweep over all rows, as Keras gives them: loss, elbo, log_likelihood, kl, val_...
        restarts: all of them, best first: the local optima that the data has.
        converged: whether the bound had stopped rising.
    """

    model: GaussianMixtureModel
    elbo: float
    log_likelihood: float
    complete_log_likelihood: float
    history: Mapping[str, Sequence[float]]
    restarts: tuple[Restart, ...]
    converged: bool

    @property
    def num_data(self) -> int:
        """N."""
        return self.model.num_data

    @property
    def num_components(self) -> int:
        """K."""
        return self.model.num_components

    @property
    def num_parameters(self) -> int:
        """The free numbers of the mixture: weights, locations, precisions."""
        model = self.model
        return num_parameters(model.covariance, model.num_components, model.num_features)

    @property
    def aic(self) -> float:
        """Akaike's criterion at the posterior means, -2 log likelihood + 2 parameters; smaller is better."""
        return -2.0 * self.log_likelihood + 2.0 * self.num_parameters

    @property
    def bic(self) -> float:
        """Schwarz's criterion at the posterior means, -2 log likelihood + log N parameters; smaller is better."""
        return -2.0 * self.log_likelihood + math.log(self.num_data) * self.num_parameters

    @property
    def icl(self) -> float:
        """The integrated completed likelihood at the posterior means; smaller is better, as for `bic`.

        -2 log p(rows, assignments) + log N parameters, each row assigned to its most probable component: BIC, and
        beyond it what rows between components cost. The sign is turned: published, larger is better, without the 2.
        McLachlan and Peel's form adds twice the entropy of the memberships to BIC instead, and is no smaller.

        Source: Biernacki, Celeux and Govaert 2000, "Assessing a mixture model for clustering with the integrated
        completed likelihood", IEEE Transactions on Pattern Analysis and Machine Intelligence 22, 719-725.
        """
        return -2.0 * self.complete_log_likelihood + math.log(self.num_data) * self.num_parameters

    @property
    def num_occupied(self) -> int:
        """Components that at least one row is expected in."""
        return num_occupied(self.model.posterior)

    def occupied_posterior(self, data: Any, num_draws: int = 200, seed: int = 0) -> np.ndarray:
        """Returns the probability that 0, 1, ..., K components are occupied, (K + 1,) float64.

        A component is occupied when one of the N rows belongs to it. Weights and components are drawn from q, a
        component for every row from its memberships under that draw, and the distinct ones are counted: what is
        returned are the shares of `num_draws` such counts. With stick-breaking weights K is a maximum, and this says
        how many of them the rows need. q belongs to one optimum, so other ways to split the rows are not counted.

        Args:
            data: the rows that the model was fitted to, of any kind that `fit_mixture` takes; read once, block by
                block. It takes as long as `num_draws` sweeps.
            num_draws: S; a share near a half is known to 0.5 / sqrt(S).
            seed: of the draws.

        Raises:
            ValueError: another number of rows than the model was fitted to.

        Example:

        >>> rows = np.random.default_rng(0).normal([[-3.0]] * 50 + [[3.0]] * 50, 0.5)
        >>> result = tfgmm.fit_mixture(rows, 4, weights="stick_breaking", seed=1)
        >>> int(np.argmax(result.occupied_posterior(rows)))
        2
        """
        model = self.model
        batches = centred_batches(data, model.posterior, model.num_data, model.column_names)
        return occupied_probabilities(model.posterior, batches, num_draws, seed)

    def summary(self) -> str:
        """Returns the fit as text: sizes, criteria, and weight, means and standard deviations with 95 % intervals."""
        return summary_of(self)

    def __str__(self) -> str:
        return self.summary()
