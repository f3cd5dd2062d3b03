"""A posterior held in trained variables that may take any value: what all components and all weights share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import tensorflow as tf

from tfgmm.common.shapes import Tensor

AddWeight = Callable[..., Any]


class TrainedPosterior:
    """A posterior and the unbounded numbers behind it, which optimizers train and in which sweeps lengthen their steps.

    A subclass says how the two translate, `values_of(posterior)` and `posterior_of(values)`.
    """

    variable_names: ClassVar[tuple[str, ...]]
    variables: Sequence[Any]

    def values_of(self, posterior: Any) -> tuple[Tensor, ...]:
        """Computes the unbounded numbers behind `posterior`, float64, in the order of `variable_names`."""
        raise TypeError(f"{type(self).__name__} must define `values_of`")

    def posterior_of(self, values: Sequence[Tensor]) -> Any:
        """Computes the posterior that the numbers `values` stand for, float64; differentiable in them."""
        raise TypeError(f"{type(self).__name__} must define `posterior_of`")

    def create_variables(self, add_weight: AddWeight, start: Any) -> None:
        """Adds the trained variables, float64, at the posterior `start`."""
        self.variables = [add_weight(name, value) for name, value in zip(self.variable_names, self.values_of(start))]

    def values(self) -> tuple[Tensor, ...]:
        """Reads the numbers as the variables have them."""
        return tuple(tf.convert_to_tensor(variable) for variable in self.variables)

    def posterior(self) -> Any:
        """Computes q as it stands, float64; differentiable in the variables."""
        return self.posterior_of(self.values())

    def assign_values(self, values: Sequence[Tensor]) -> None:
        """Sets the variables to `values`."""
        for variable, value in zip(self.variables, values):
            variable.assign(value)
