"""A posterior by unbounded numbers, in which steps are lengthened and which optimizers train."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from tfgmm.common.shapes import Tensor
from tfgmm.families.functions import NUMPY, Functions
from tfgmm.mixture.priors import Priors


class Family:
    """A family of posteriors: of all components, or of all weights.

    A subclass says how a posterior and the unbounded numbers behind it translate.
    """

    variable_names: ClassVar[tuple[str, ...]]

    def values_of(self, posterior: Any) -> tuple[Tensor, ...]:
        """Computes the unbounded numbers behind `posterior`, float64, in the order of `variable_names`."""
        raise TypeError(f"{type(self).__name__} must define `values_of`")

    def posterior_of(self, values: Sequence[Tensor], functions: Functions = NUMPY) -> Any:
        """Computes the posterior that the numbers `values` stand for, float64.

        Args:
            values: Numbers in the order of `variable_names`; leading axes stay.
            functions: Functions of the library that the numbers belong to.
        """
        raise TypeError(f"{type(self).__name__} must define `posterior_of`")


def once_per_posterior(function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a method of a family remember its last answer, for the divergence and the update of one step.

    Its arguments, a posterior first, are compared by identity: a posterior is never changed in place.
    """
    name = f"_last_{function.__name__}"

    @functools.wraps(function)
    def remembered(self: Any, *arguments: Any) -> Any:
        known = self.__dict__.get(name)
        if known is None or [*map(id, known[0])] != [*map(id, arguments)]:
            known = arguments, function(self, *arguments)
            self.__dict__[name] = known
        return known[1]

    return remembered


def check_priors(priors: Any) -> Priors:
    """Checks that an argument called `priors` is a `Priors`, and hands it on.

    Raises:
        TypeError: It is something else.
    """
    if not isinstance(priors, Priors):
        raise TypeError(f"`priors` must be a tfgmm.Priors. Received: {type(priors).__name__}. Use tfgmm.Priors(...).")
    return priors
