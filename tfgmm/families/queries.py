"""What a mixture with a posterior answers: densities, memberships, samples and draws, for a fit and for the model."""

from __future__ import annotations

import dataclasses
import random
import warnings
from typing import Any

import numpy as np

from tfgmm.common.checks import check_count, check_seed
from tfgmm.common.shapes import Tensor
from tfgmm.families.drawing import generator_of
from tfgmm.families.exact.of_fit import exact_posterior
from tfgmm.families.exact.records import ExactDraws
from tfgmm.families.exact.whitened import Tell
from tfgmm.families.importance import log_importance_ratios
from tfgmm.families.records import Drawn
from tfgmm.families.training_rows import training_rows
from tfgmm.families.variational import VariationalPosterior
from tfgmm.mixture import stored_draws
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.mixture.sampling import sample_rows
from tfgmm.posterior.draws import LOG_RATIO, Draws
from tfgmm.posterior.fitted_rows import FittedRows
from tfgmm.posterior.record import MEAN_FIELD, PosteriorRecord, check_method
from tfgmm.posterior.smoothing import FEWEST_RATIOS, smoothed_log_weights
from tfgmm.scoring import scores
from tfgmm.scoring.queries import Queries


class PosteriorQueries(Queries):
    """What a mixture with a `VariationalPosterior` answers, for rows of any kind and number, in data units.

    A subclass provides the first four attributes below.
    """

    # The reference takes their descriptions from here, where it finds them first
    variational: VariationalPosterior
    num_data: Any
    """N of training, 0 before; saved with the model."""
    column_names: Any
    """Names of the training columns; None when they had none, or before training."""
    data_summary: Any
    """Summary of the training rows; None before training."""

    @property
    def exact(self) -> ExactDraws | None:
        """Draws from the exact posterior, which a fit carries where they were asked for; None where it carries none."""
        return None

    # --- The posterior, by the names of its parts ------------------------------------------------------------------

    @property
    def locs(self) -> Tensor:
        """Means of q(mu), (K, D) float64, data units."""
        return self._part("locs")

    @property
    def scales(self) -> Tensor:
        """Standard deviations of q(mu), (K, D) float64, data units. (Not those of the components.)"""
        return self._part("scales")

    @property
    def alpha(self) -> Tensor:
        """Shapes of q(tau), (K, D) float64; not of "full" and "tied"."""
        return self._part("alpha")

    @property
    def beta(self) -> Tensor:
        """Rates of q(tau), (K, D) float64, squared data units; not of "full" and "tied"."""
        return self._part("beta")

    @property
    def loc_covariances(self) -> Tensor:
        """Covariances of q(mu), (K, D, D) float64, squared data units; of "full" and "tied" only."""
        return self._part("loc_covariances")

    @property
    def degrees(self) -> Tensor:
        """Degrees of freedom of q(Lambda), (K,) float64; of "full" and "tied" only."""
        return self._part("degrees")

    @property
    def inverse_scales(self) -> Tensor:
        """Inverse scale matrices W^-1 of q(Lambda), (K, D, D) float64, squared data units; "full" and "tied" only."""
        return self._part("inverse_scales")

    @property
    def counts(self) -> Tensor:
        """Concentrations of q(theta), (K,) float64; of Dirichlet weights only."""
        return self._part("counts")

    @property
    def sticks(self) -> Tensor:
        """Shapes of the Betas of q(v), (K - 1, 2) float64; of stick-breaking weights only."""
        return self._part("sticks")

    def _part(self, name: str) -> Tensor:
        parts = self.variational.public()
        if name not in parts:
            shape, prior = self.variational.covariance, self.variational.weights.name
            raise AttributeError(
                f"`{name}` is no part of the posterior of {shape!r} with {prior!r} weights. "
                f"Its parts are: {', '.join(parts)}."
            )
        return parts[name]

    # --- Mixtures with known parameters ------------------------------------------------------------------------------

    def plug_in(self) -> MixtureDensity:
        """Computes the mixture at the posterior means of weights, locations and precisions."""
        return self.variational.plug_in()

    def predictive(self, num_draws: int | None = None, seed: int = stored_draws.SEED) -> MixtureDensity:
        """Draws S mixtures from the posterior, the same for the same seed; their average density is the predictive.

        Args:
            num_draws: Number of draws, S; default as many as an export stores.
            seed: Seed of the draws.
        """
        num_draws = None if num_draws is None else check_count("num_draws", num_draws)
        return stored_draws.mixtures(self.plug_in(), self.draws_to_store(num_draws, check_seed(seed)))

    def draws_to_store(self, num_draws: int | None = None, seed: int = stored_draws.SEED) -> dict[str, np.ndarray]:
        """Draws from the posterior and writes the draws down as an export stores them; see `stored_draws.stored`.

        Args:
            num_draws: Number of draws, S; default 64 of q, and of the exact posterior, where it is carried, up to 256.
            seed: Seed of the draws.
        """
        if num_draws is None:
            num_draws = stored_draws.NUM_DRAWS
            if self.exact is not None:
                q = self.variational
                num_draws = stored_draws.num_exact(q.covariance, q.num_components, q.num_features)
        return self.variational.stored(self.plug_in(), self._drawn(num_draws, seed))

    def stored_record(self) -> PosteriorRecord:
        """Says how the draws that an export stores are made."""
        return PosteriorRecord(MEAN_FIELD, MEAN_FIELD) if self.exact is None else self.exact.record

    def _drawn(self, num_draws: int, seed: int | None) -> Drawn:
        """Draws parameters from the exact posterior where it is carried, and else from q."""
        if self.exact is None:
            return self.variational.draw(num_draws, seed)
        return self.exact.picked(num_draws, generator_of(seed))

    def outlier_table(self) -> np.ndarray:
        """Computes the quantiles that `outlier` is read from, (2, Q) float64; see `outliers.table_of`."""
        return scores.outlier_table(self.plug_in())

    # --- Draws -------------------------------------------------------------------------------------------------------

    def sample(self, n: int, seed: int | None = None) -> np.ndarray:
        """Draws rows from the plug-in mixture.

        Args:
            n: Number of rows.
            seed: Seed of the draws; None for other rows every time.

        Returns:
            (n, D) float64, data units.
        """
        seed = random.randrange(2**31) if seed is None else check_seed(seed)
        return sample_rows(self.plug_in(), check_count("n", n, least=0), seed)

    def draws(
        self,
        n: int,
        seed: int | None = None,
        data: Any = None,
        sample_weight: Any = None,
        noise: Any = None,
        posterior: str | None = None,
        tell: Tell | None = None,
    ) -> Draws:
        """Draws weights, locations and scales (or covariances) from the posterior.

        Args:
            n: Number of draws, S, at least 1.
            seed: Seed of the draws; None for other draws every time.
            data: Rows that the model was fitted to, of any kind that `fit` takes: the exact posterior needs them. For
                draws from q, `sample_stats["log_importance_ratio"]`, (1, S) nats, then holds log p(rows, draw) -
                log q(draw), from which `tfgmm.compare` tells how far q can be trusted. This takes as long as S sweeps
                over the rows. Draws that the fit carries need no rows, and ignore them unless `posterior` is named:
                what can be trusted is in `.posterior`.
            sample_weight, noise: Weights and measurement noise of these rows, as the fit took them.
            posterior: "mean_field", q itself, quick and too narrow where components overlap. "laplace", a normal
                distribution at the mode of the exact posterior; "importance", the exact posterior, by adaptive
                importance sampling; "mcmc", by Hamiltonian chains; "auto", the first of these three that is good
                enough. Default: what the fit carries, see `fit_mixture`; else "mean_field". Of the `exact.num_draws`
                draws that a fit carries, n are picked by chance, each once; where n is more, some come several times.
            tell: Function that is called before each step of an exact posterior, with what it is, its number, and how
                many there may be; by default a line on stderr shows them, where that is a terminal.

        Returns:
            `Draws` of S draws as one chain, data units. `.posterior` says how they were made and how far to trust them.

        Raises:
            ValueError: `data` are other rows than the model was fitted to, or are missing; an unknown posterior.

        Warns:
            UserWarning: No posterior that can be afforded is good enough, or there are too many free numbers for one
                that is exact; more draws are asked for than there are.

        Example:

        >>> rows = np.random.default_rng(0).normal([[-2.5]] * 50 + [[2.5]] * 50)
        >>> result = tfgmm.fit_mixture(rows, 2, seed=1)
        >>> exact = result.draws(1000, seed=0, data=rows, posterior="auto")
        >>> exact.posterior.method, exact.posterior.is_trusted
        ('importance', True)
        """
        n, seed = check_count("n", n), random.randrange(2**31) if seed is None else check_seed(seed)
        exact = self.exact if posterior is None else self._exact(posterior, n, seed, data, sample_weight, noise, tell)
        if exact is not None:
            _warn_of_repeats(exact, n)
            drawn = exact.picked(n, generator_of(seed))
            draws, record = scores.as_draws(self.variational.mixtures_of(drawn), self.column_names), exact.record
        else:
            draws, record = self._mean_field(n, seed, data, sample_weight, noise)
        return dataclasses.replace(draws, posterior=record, fitted_rows=self._fitted_rows())

    def _fitted_rows(self) -> FittedRows | None:
        """Says what identifies the rows of the fit; None where it is not known."""
        return FittedRows.of_summary(self.data_summary)

    def _exact(
        self, posterior: str, n: int, seed: int, data: Any, sample_weight: Any, noise: Any, tell: Tell | None
    ) -> ExactDraws | None:
        """Draws from an exact posterior by its name; None for q."""
        if check_method(posterior) == MEAN_FIELD:
            return None
        if data is not None:
            return exact_posterior(self, data, posterior, seed, sample_weight, noise, tell, n, stacklevel=3)
        if self.exact is None or posterior not in (self.exact.record.asked, self.exact.record.method):
            raise ValueError(
                f'`data` must be the rows that the model was fitted to, for posterior="{posterior}". Received: none. '
                'Pass them, or use posterior="mean_field".'
            )
        return self.exact

    def _mean_field(
        self, n: int, seed: int, data: Any, sample_weight: Any, noise: Any
    ) -> tuple[Draws, PosteriorRecord]:
        """Draws from q, with the importance ratio of each draw where rows are given; says how, too."""
        factors = self.variational.factors()
        drawn = self.variational.draw(n, seed, factors)
        record = PosteriorRecord(MEAN_FIELD, MEAN_FIELD)
        draws = scores.as_draws(self.variational.mixtures_of(drawn), self.column_names)
        if data is None:
            return draws, record
        rows = training_rows(data, self, sample_weight, noise)
        ratios = log_importance_ratios(self.variational, factors, drawn, rows)
        k_hat = smoothed_log_weights(ratios)[1] if n >= FEWEST_RATIOS else None
        draws = dataclasses.replace(draws, sample_stats={LOG_RATIO: ratios[None]})
        return draws, dataclasses.replace(record, k_hat=k_hat)


def _warn_of_repeats(exact: ExactDraws, n: int) -> None:
    """Warns where more draws are asked for than there are; the line is that which calls `draws`."""
    if n > exact.num_draws:
        warnings.warn(
            f"`n` is {n:,}, and there are {exact.num_draws:,} draws from the exact posterior: each comes "
            f"{n / exact.num_draws:.1f} times on average, which makes no interval more exact.",
            UserWarning,
            stacklevel=3,
        )
