"""What `fit_mixture` takes beside the rows, the numbers of components and the callbacks: one record, checked once.

Loads no TensorFlow, so that the command line can check what it was given before anything heavy starts.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Literal

from tfgmm.common.checks import check_choice, check_count, check_seed
from tfgmm.mixture.registry import COVARIANCES, WEIGHT_PRIORS

if TYPE_CHECKING:
    from tfgmm.mixture.priors import Priors


@dataclasses.dataclass(frozen=True, eq=False)
class FitOptions:
    """The options of a fit with any number of components; see `tfgmm.fit_mixture`, whose arguments they are.

    Raises:
        ValueError: An option is out of its range.

    Example:

    >>> FitOptions(covariance="full").restarts
    8
    """

    covariance: str = "diag"
    weights: str = "dirichlet"
    priors: Priors | Literal["auto"] = "auto"
    restarts: int = 8
    seed: int = 0
    batch_size: int | None = None
    max_sweeps: int = 200
    tolerance: float | None = None
    validation_data: Any = None
    polish_steps: int = 0
    start: Any = "auto"

    def __post_init__(self) -> None:
        for name, least in (("restarts", 1), ("max_sweeps", 1), ("polish_steps", 0)):
            object.__setattr__(self, name, check_count(name, getattr(self, name), least))
        if self.batch_size is not None:
            object.__setattr__(self, "batch_size", check_count("batch_size", self.batch_size))
        object.__setattr__(self, "seed", check_seed(self.seed))
        _check_tolerance(self.tolerance)
        check_choice("covariance", self.covariance, COVARIANCES)
        check_choice("weights", self.weights, WEIGHT_PRIORS)

    def check_suits_any_number(self) -> None:
        """Checks that start and priors suit any number of components.

        Raises:
            ValueError: One of them is for a certain number of components.
        """
        if not isinstance(self.start, str):
            raise ValueError(
                '`start` must be "auto", "k-means++" or "random" with several numbers of components. Received: locations. '
                "Leave it out, or fit each number by itself."
            )
        concentration = getattr(self.priors, "weight_concentration", None)
        if isinstance(concentration, tuple):
            raise ValueError(
                "`priors.weight_concentration` must be one number with several numbers of components. "
                f"Received: {len(concentration)} numbers. Give one for all components."
            )


def _check_tolerance(tolerance: float | None) -> None:
    is_number = isinstance(tolerance, (int, float)) and not isinstance(tolerance, bool)
    if tolerance is not None and not (is_number and math.isfinite(tolerance) and tolerance > 0):
        raise ValueError(f"`tolerance` must be positive and finite. Received: {tolerance!r}. Leave it out for 1e-7.")
