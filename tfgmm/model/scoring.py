"""What a fitted mixture is for: densities, memberships, samples and draws from its posterior."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import numpy as np
import tensorflow as tf

from tfgmm.common.checks import check_count, check_seed
from tfgmm.families.variational import VariationalPosterior, seed_pair
from tfgmm.mixture import stored_draws
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.mixture.sampling import sample_rows
from tfgmm.model.importance import log_importance_ratios
from tfgmm.model.training_rows import centred_batches
from tfgmm.posterior.draws import LOG_RATIO, Draws
from tfgmm.scoring import scores
from tfgmm.scoring.queries import Queries


class PosteriorQueries(Queries):
    """What a mixture with a `VariationalPosterior` answers, for rows of any kind and number, in data units.

    A subclass provides the three attributes below.
    """

    # The reference takes their descriptions from here, where it finds them first
    posterior: VariationalPosterior
    num_data: Any
    """N of training, 0 before; saved with the model."""
    column_names: Any
    """Names of the training columns; None when they had none, or before training."""

    def plug_in(self) -> MixtureDensity:
        """Computes the mixture at the posterior means of weights, locations and precisions."""
        return self.posterior.plug_in()

    def predictive(self, num_draws: int = stored_draws.NUM_DRAWS, seed: int = stored_draws.SEED) -> MixtureDensity:
        """Draws S mixtures from q, the same for the same seed; their average density is the predictive.

        Args:
            num_draws: Number of draws, S.
            seed: Seed of the draws.
        """
        return self.posterior.predictive(num_draws, seed)

    def outlier_table(self) -> np.ndarray:
        """Computes the quantiles that `outlier` is read from, (2, Q) float64; see `outliers.table_of`."""
        return scores.outlier_table(self.plug_in())

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: Any = "auto", steps: int | None = None
    ) -> np.ndarray:
        """Computes `log_prob(x)`.

        Args:
            x: Rows, as in `fit`.
            batch_size, verbose: Accepted so that code for Keras runs, and ignored: rows are scored in chunks of our
                own, silently.
            steps: Number of batches to score, when `x` is a dataset.

        Returns:
            (N,) float32, nats.

        Raises:
            ValueError: There are `steps` with rows in memory, which have no batches.
        """
        del batch_size, verbose
        if steps is not None and not isinstance(x, tf.data.Dataset):
            raise ValueError(
                f"`steps` must be left out unless `x` is a dataset. Received: {steps}. Pass x[:n] instead."
            )
        return self.log_prob(x if steps is None else x.take(check_count("steps", steps)))

    def predict_on_batch(self, x: Any) -> np.ndarray:
        """Computes `log_prob(x)`.

        Args:
            x: Rows, (B, D), as in `fit`.

        Returns:
            (B,) float32, nats.
        """
        return self.log_prob(x)

    def sample(self, n: int, seed: int | None = None) -> np.ndarray:
        """Draws rows from the plug-in mixture.

        Args:
            n: Number of rows.
            seed: Seed of the draws; None for other rows every time.

        Returns:
            (n, D) float64, data units.
        """
        num_rows = check_count("n", n, least=0)
        return sample_rows(self.plug_in(), num_rows, random.randrange(2**31) if seed is None else check_seed(seed))

    def draws(self, n: int, seed: int | None = None, data: Any = None) -> Draws:
        """Draws weights, locations and scales (or covariances) from q.

        Args:
            n: Number of draws, S, at least 1.
            seed: Seed of the draws; None for other draws every time.
            data: Rows that the model was fitted to, of any kind that `fit` takes. With them,
                `sample_stats["log_importance_ratio"]`, (1, S) nats, holds log p(rows, draw) - log q(draw), from which
                `tfgmm.compare` tells how far q can be trusted. This takes as long as S sweeps over the rows.

        Returns:
            `Draws` of S draws as one chain, data units.

        Raises:
            ValueError: `data` does not have as many rows as the model was fitted to.
        """
        factors = self.posterior.factors()
        drawn = self.posterior.draw([check_count("n", n)], seed_pair(seed), tf.float64, factors)
        mixtures = self.posterior.mixtures_of(drawn)
        draws = scores.as_draws(mixtures, self.column_names)
        if data is None:
            return draws
        batches = centred_batches(data, self.posterior, self.num_data, self.column_names)
        ratios = log_importance_ratios(self.posterior, factors, drawn, batches)
        return dataclasses.replace(draws, sample_stats={LOG_RATIO: ratios[None]})

    def summary(self, print_fn: Any = print, **kwargs: Any) -> None:
        """Prints the sizes, and weight, means and standard deviations per component.

        Args:
            print_fn: Function that prints a string.
            **kwargs: Accepted so that code for Keras runs, and ignored.
        """
        del kwargs  # Keras's own options arrange layers, and a mixture has none
        mixture = self.plug_in()
        lines = [repr(self), f"{'component':>9}  {'weight':>6}  mean (standard deviation) per column"]
        locs = mixture.components["locs"] + mixture.centre
        sds, _ = mixture.form.covariances(mixture.components)
        for k, log_weight in enumerate(mixture.log_weights):
            columns = ", ".join(f"{loc:.4g} ({sd:.3g})" for loc, sd in zip(locs[k], sds[k]))
            lines.append(f"{k:>9}  {np.exp(log_weight):6.3f}  {columns}")
        print_fn("\n".join(lines))
