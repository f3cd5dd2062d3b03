"""What a fit gives back: the mixture, how it was found, and the criteria by which fits are compared."""

from __future__ import annotations

import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfgmm.common.checks import check_seed
from tfgmm.data.summary import DataSummary
from tfgmm.families.exact.of_fit import exact_posterior
from tfgmm.families.exact.records import ExactDraws
from tfgmm.families.fitted import FittedMixture
from tfgmm.families.training_rows import centred_blocks
from tfgmm.families.variational import VariationalPosterior
from tfgmm.fit.keras_model import keras_model_of
from tfgmm.fit.occupied import log_num_modes, num_occupied, occupied_probabilities
from tfgmm.fit.ranking import Ranking
from tfgmm.fit.restarts import Move, Restart
from tfgmm.fit.result_words import summary_of
from tfgmm.mixture.parameters import num_parameters
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.statistics import Statistics
from tfgmm.posterior.record import AUTO, MEAN_FIELD, check_method

if TYPE_CHECKING:
    from tfgmm.model.gaussian_mixture import GaussianMixtureModel


@dataclasses.dataclass(frozen=True, eq=False)
class FitResult(FittedMixture):
    """A fitted mixture and how it was found. `print(result)` shows it.

    It answers for rows by itself. `interval`, `conditional`, `impute` and `marginal_log_prob` load TensorFlow, and so
    do all others where there is a GPU; without one, no other does. `model` is the same mixture as a Keras model.

    Args:
        variational: The fitted posterior.
        priors: Priors, data units.
        seed: Seed of the starts.
        data_summary: Summary of the rows.
        elbo: Augmented bound of the fitted posterior on all rows, nats.
        log_likelihood: Log likelihood of all rows, nats, where `criteria_at` says.
        complete_log_likelihood: Log likelihood of all rows together with the most probable component of each, nats,
            there too.
        history: Logs of each sweep over all rows, as Keras gives them: loss, elbo, log_likelihood, kl, val_...
        restarts: All restarts, best bound first: the local optima that the data has.
        converged: Whether the bound had stopped rising.
        trained_model: Keras model that callbacks of Keras's watched, or that was polished, which `model` then is; None
            where there was none.
        criteria_at: Where both log likelihoods are taken, and with them `aic`, `bic` and `icl`: "mean", at the
            posterior means; or "mode", at the maximum of the likelihood that EM finds from there.
        hidden_by_noise: D shares of what rows say of the means of components that measurement noise hides; () without
            noise.
        exact: Draws from the exact posterior, from which intervals and bands are then read; None for those of q.
        ranking: How restarts at different optima rank by their evidence, and which of them the fit goes on from; None
            where the best bound decided.
        sums: Sums of the rows at q, which `partial_fit` adds to; None where they are not known.
        num_parts: Parts that the rows came in; 0 for rows that came at once.
        is_summed_over_parts: Whether bound and log likelihoods count parts of rows that are gone at the mixture as it
            stood when they came, and not at this one: criteria of such fits cannot be compared with those of others.
        moves: Moves between components on the way to this fit: which went, and which were divided in two instead.
    """

    variational: VariationalPosterior = dataclasses.field(repr=False)
    priors: Priors = dataclasses.field(repr=False)
    seed: int
    data_summary: DataSummary = dataclasses.field(repr=False)
    elbo: float
    log_likelihood: float
    complete_log_likelihood: float
    history: Mapping[str, Sequence[float]] = dataclasses.field(repr=False)
    restarts: tuple[Restart, ...] = dataclasses.field(repr=False)
    converged: bool
    trained_model: Any = dataclasses.field(default=None, repr=False)
    criteria_at: str = "mean"
    hidden_by_noise: tuple[float, ...] = dataclasses.field(default=(), repr=False)
    exact: ExactDraws | None = dataclasses.field(default=None, repr=False)
    """Draws from the exact posterior, which the fit carries where they were asked for; else None."""
    ranking: Ranking | None = dataclasses.field(default=None, repr=False)
    sums: Statistics | None = dataclasses.field(default=None, repr=False)
    num_parts: int = dataclasses.field(default=0, repr=False)
    is_summed_over_parts: bool = dataclasses.field(default=False, repr=False)
    moves: tuple[Move, ...] = dataclasses.field(default=(), repr=False)

    @functools.cached_property
    def model(self) -> GaussianMixtureModel:
        """The fitted `GaussianMixtureModel`, made when it is first asked for: this loads TensorFlow.

        It has the draws that the fit carries from the exact posterior, until it is trained further; see its `exact`.
        """
        return keras_model_of(self, self.elbo, self.trained_model)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restores a pickled fit, and gives its model, where it was made, the draws that Keras's pickles lack."""
        vars(self).update(state)
        if "model" in state:
            self.model.carry_draws_of(self)

    def outlier_table(self) -> np.ndarray:
        """Computes the quantiles that `outlier` is read from, (2, Q) float64, once; see `outliers.table_of`."""
        return self._outlier_table

    @functools.cached_property
    def _outlier_table(self) -> np.ndarray:
        return super().outlier_table()

    def export(
        self,
        path: Any,
        *,
        overwrite: bool = False,
        column_units: Sequence[str] | None = None,
        saved_model: bool = False,
    ) -> pathlib.Path:
        """Writes the folder that `tfgmm.load_scorer` and the command line read; see `tfgmm.export_model`.

        Args:
            path: Path of the folder.
            overwrite: Whether to replace a folder that is there.
            column_units: D units of the columns.
            saved_model: Whether to write the SavedModel too, which loads TensorFlow.

        Returns:
            The path of the folder.
        """
        from tfgmm.export.saved_model import export_model

        return export_model(self, path, overwrite=overwrite, column_units=column_units, saved_model=saved_model)

    def with_posterior(
        self,
        data: Any,
        posterior: str = AUTO,
        seed: int = 0,
        sample_weight: Any = None,
        noise: Any = None,
        tell: Callable[[str, int, int], None] | None = None,
    ) -> FitResult:
        """Makes the same fit with draws from the exact posterior, from which its intervals and bands are then read.

        Summaries, reports, exports and pictures use them too. `fit_mixture(..., posterior=...)` does this at once.

        Args:
            data: The rows that the mixture was fitted to, of any kind that `fit_mixture` takes.
            posterior: "auto", "laplace", "importance" or "mcmc", as in `draws`; "mean_field" for q again.
            seed: Seed of the draws.
            sample_weight, noise: Weights and measurement noise of these rows, as the fit took them.
            tell: As in `draws`.

        Raises:
            ValueError: Other rows than those of the fit; an unknown posterior.

        Warns:
            UserWarning: No posterior that can be afforded is good enough.

        Example:

        >>> rows = np.random.default_rng(0).normal([[-2.0]] * 100 + [[2.0]] * 100)
        >>> result = tfgmm.fit_mixture(rows, 2, seed=1)
        >>> exact = result.with_posterior(rows)
        >>> narrow, right = (fit.draws(500, seed=0).locs.std(axis=1) for fit in (result, exact))
        >>> exact.exact.record.method, bool((narrow < right).all())
        ('importance', True)
        """
        exact = None
        if check_method(posterior) != MEAN_FIELD:
            exact = exact_posterior(self, data, posterior, check_seed(seed), sample_weight, noise, tell, stacklevel=2)
        # Not the trained model: one model cannot have the draws of both
        return dataclasses.replace(self, exact=exact, trained_model=None)

    @property
    def num_parameters(self) -> int:
        """The free numbers of the mixture: weights, locations, precisions."""
        return num_parameters(self.covariance, self.num_components, self.num_features)

    @property
    def aic(self) -> float:
        """Akaike's criterion where `criteria_at` says, -2 log likelihood + 2 parameters; smaller is better."""
        return -2.0 * self.log_likelihood + 2.0 * self.num_parameters

    @property
    def bic(self) -> float:
        """Schwarz's criterion where `criteria_at` says, -2 log likelihood + log N parameters; smaller is better."""
        return -2.0 * self.log_likelihood + math.log(self.num_data) * self.num_parameters

    @property
    def icl(self) -> float:
        """The integrated completed likelihood where `criteria_at` says; smaller is better, as for `bic`.

        -2 log p(rows, assignments) + log N parameters, each row assigned to its most probable component: BIC, and
        beyond it what rows between components cost. The sign is turned: published, larger is better, without the 2.
        McLachlan and Peel's form adds twice the entropy of the memberships to BIC instead, and is no smaller.

        Source: Biernacki, Celeux and Govaert 2000, "Assessing a mixture model for clustering with the integrated
        completed likelihood", IEEE Transactions on Pattern Analysis and Machine Intelligence 22, 719-725.
        """
        return -2.0 * self.complete_log_likelihood + math.log(self.num_data) * self.num_parameters

    @functools.cached_property
    def learned_priors(self) -> Priors:
        """Fixed priors that stand in for those that learn their scale, at what was learned; fixed ones as they are.

        Sweeps with them end where this fit did.
        """
        return self.variational.learned_priors(self.priors)

    @property
    def num_occupied(self) -> int:
        """Components that at least one row is expected in."""
        return num_occupied(self.variational)

    @property
    def log_num_modes(self) -> float:
        """Logarithm of the number of modes that are equal to this one but for the names of components."""
        return log_num_modes(self.variational)

    def occupied_posterior(
        self, data: Any, num_draws: int = 200, seed: int = 0, sample_weight: Any = None, noise: Any = None
    ) -> np.ndarray:
        """Estimates the probability that 0, 1, ..., K components are occupied, (K + 1,) float64.

        A component is occupied when one of the N rows belongs to it. Weights and components are drawn from q, a
        component for every row from its memberships under that draw, and the distinct ones are counted: what is
        returned are the shares of `num_draws` such counts. With stick-breaking weights K is a maximum, and this says
        how many of them the rows need. q belongs to one optimum, so other ways to split the rows are not counted.

        Args:
            data: The rows that the model was fitted to, of any kind that `fit_mixture` takes; read once, block by
                block. It takes as long as `num_draws` sweeps.
            num_draws: S, the number of draws; a share near a half is known to 0.5 / sqrt(S).
            seed: Seed of the draws.
            sample_weight, noise: Weights and measurement noise of these rows, as the fit took them. A row of weight 2
                is two rows, which may belong to two components.

        Raises:
            ValueError: Another number of rows than the model was fitted to.

        Example:

        >>> rows = np.random.default_rng(0).normal([[-3.0]] * 50 + [[3.0]] * 50, 0.5)
        >>> result = tfgmm.fit_mixture(rows, 4, weights="stick_breaking", seed=1)
        >>> int(np.argmax(result.occupied_posterior(rows)))
        2
        """
        blocks = centred_blocks(data, self, sample_weight, noise)
        return occupied_probabilities(self.variational, blocks, num_draws, seed)

    def summary(self) -> str:
        """Writes the fit as text: sizes, criteria, and weight, means and standard deviations with 95 % intervals."""
        return summary_of(self)

    def __str__(self) -> str:
        return self.summary()
