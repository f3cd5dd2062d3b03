"""How far q moves after each batch of running updates."""

from __future__ import annotations

import dataclasses
import math

from tfgmm.common.checks import check_count


@dataclasses.dataclass(frozen=True)
class StepSizes:
    """Running updates: q moves after every batch, by steps that shrink; then exact sweeps finish.

    The statistics are kept from one call of `fit` to the next, and with the model: the parts of a stream may come one
    by one, with `compile(num_data=...)` for all rows that there will be. `StepSizes(delay=0.0, exponent=1.0)` counts
    all batches alike, which is what a stream that stays the same wants. The defaults favour recent batches: a group
    with .285 of the rows of 20 parts, 1,000 rows each, that the last part lacks ends with a weight of .252, and of .196
    with batch_size=100.

    After batch t the statistics of the whole data are taken to be S <- (1 - rho_t) S + rho_t N / B S_batch with
    rho_t = (t + delay)^-exponent, and rho = 1 for the first.

    Args:
        num_epochs: Number of epochs with running updates; None for all. The epochs after them are exact sweeps.
        delay: Number that shortens the first steps, at least 0. With a start taken from a sample, about n_sample / B.
        exponent: How fast the steps shrink, above 0.5 and at most 1 (the condition of Robbins and Monro 1951); 1, with
            delay 0, averages all batches equally.

    Raises:
        ValueError: A value is out of its range.

    Source: Hoffman, Blei, Wang and Paisley 2013, "Stochastic variational inference", equation 26.

    Example:

    >>> model = tfgmm.GaussianMixtureModel(3, 2)
    >>> model.compile(step_sizes=tfgmm.StepSizes(num_epochs=1))
    """

    num_epochs: int | None = None
    delay: float = 1.0
    exponent: float = 0.6

    def __post_init__(self) -> None:
        if self.num_epochs is not None:
            check_count("num_epochs", self.num_epochs, least=0)
        if not (math.isfinite(self.delay) and self.delay >= 0):
            raise ValueError(f"`delay` must be finite and at least 0. Received: {self.delay}. Try 1.0.")
        if not 0.5 < self.exponent <= 1:
            raise ValueError(f"`exponent` must be above 0.5 and at most 1. Received: {self.exponent}. Try 0.6.")

    def step_size(self, num_steps: int) -> float:
        """Computes rho for the step that follows `num_steps` others.

        Args:
            num_steps: Number of steps before.

        Returns:
            The step size, above 0 and at most 1.
        """
        return 1.0 if num_steps == 0 else float((num_steps + 1 + self.delay) ** -self.exponent)
