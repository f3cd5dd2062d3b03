"""A posterior by unbounded numbers, in which steps are lengthened and which optimizers train."""

from __future__ import annotations

from collections.abc import Sequence
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


def check_priors(priors: Any) -> Priors:
    """Checks that an argument called `priors` is a `Priors`, and hands it on.

    Raises:
        TypeError: It is something else.
    """
    if not isinstance(priors, Priors):
        raise TypeError(f"`priors` must be a tfgmm.Priors. Received: {type(priors).__name__}. Use tfgmm.Priors(...).")
    return priors
