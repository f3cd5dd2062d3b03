"""What a model answers beside the questions that a fit answers too: Keras's own `predict` and `summary`."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfgmm.common.checks import check_count
from tfgmm.families.exact.records import ExactDraws
from tfgmm.families.fitted import FittedMixture
from tfgmm.families.queries import PosteriorQueries
from tfgmm.model.kept import CarriedDraws
from tfgmm.model.keras_arguments import refuse_generators


class KerasQueries(PosteriorQueries):
    """What a mixture answers as a Keras model; see `PosteriorQueries` for the attributes that a subclass provides."""

    num_features: int
    _carried: CarriedDraws | None = None

    @property
    def exact(self) -> ExactDraws | None:
        """Draws from the exact posterior, which the model of a fit has from it; None once the posterior has moved.

        They belong to the posterior as the fit left it. Training, `initialize` and other weights move it. `save` keeps
        none, so a loaded model has none: `model.draws(n, data=rows, posterior="auto")` draws them anew.
        """
        carried = self._carried
        return carried.exact if carried is not None and carried.are_of(self.variational) else None

    def carry_draws_of(self, fitted: FittedMixture) -> None:
        """Takes over the draws from the exact posterior that a fit carries, as long as the model stands where it does.

        Args:
            fitted: The fit; where it carries none, the model has none afterwards.
        """
        exact = fitted.exact
        self._carried = None if exact is None else CarriedDraws(exact, fitted.variational)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: None = None,
    ) -> np.ndarray:
        """Computes `log_prob(x)`.

        Args:
            x: Rows, as in `fit`.
            batch_size, verbose: Accepted so that code for Keras runs, and ignored: rows are scored in chunks of our
                own, silently.
            steps: Number of batches to score, when `x` is a dataset.
            callbacks: Refused, since none would be called.

        Returns:
            (N,) float32, nats.

        Raises:
            ValueError: There are `steps` with rows in memory, which have no batches.
            TypeError: There are callbacks.
        """
        del batch_size, verbose
        refuse_generators("x", x, self.num_features)
        if callbacks:
            raise TypeError(
                f"`callbacks` must be left out of predict, which calls none. Received: {callbacks!r}. Leave it out."
            )
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
        refuse_generators("x", x, self.num_features)
        return self.log_prob(x)

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
