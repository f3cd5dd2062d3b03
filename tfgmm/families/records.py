"""What a variational posterior is made of: its factors, the numbers behind them, and draws from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfgmm.common.shapes import Tensor


class Factors(NamedTuple):
    """The factors of q, float64; with leading axes, several q.

    weights: q of the weights, as their family has it, e.g. a `DirichletPosterior`.
    components: q of the components, as their family has it, e.g. an `IndependentPosterior`, locations measured from
        the centre.
    """

    weights: Any
    components: Any


class Values(NamedTuple):
    """The unbounded numbers behind q, float64; with leading axes, several q. See `Family`.

    components: Numbers of the components, in the order of their `variable_names`.
    weights: Numbers of the weights.
    """

    components: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]

    def map(self, function: Callable[..., Tensor], *others: Values) -> Values:
        """Applies a function to each of the numbers, together with those of `others` in the same place."""
        components = map(function, self.components, *(other.components for other in others))
        return Values(tuple(components), tuple(map(function, self.weights, *(other.weights for other in others))))

    @property
    def flat(self) -> tuple[Tensor, ...]:
        """All numbers in one tuple, those of the components first: the order of the model's variables."""
        return (*self.components, *self.weights)


def stacked(several: Sequence[Values]) -> Values:
    """Stacks the numbers behind several q into arrays with a leading axis."""
    return several[0].map(lambda *values: np.stack(values), *several[1:])


class Drawn(NamedTuple):
    """Parameters drawn from q.

    log_weights: Logarithms of the weights, (S, K).
    components: Parameters of the components, as their family draws them, e.g. `IndependentDraws`.
    """

    log_weights: Tensor
    components: Any
