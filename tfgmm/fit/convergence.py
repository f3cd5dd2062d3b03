"""What is said of the bound of a fit: that it was still rising, or is not finite."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tfgmm.common.words import beside, counted
from tfgmm.fit.options import FitOptions
from tfgmm.fit.plateau import PATIENCE


class ConvergenceWarning(UserWarning):
    """The bound was still rising when the last sweep allowed was done."""


def not_converged(options: FitOptions, tolerance: float, num_data: float, bounds: Sequence[float]) -> str:
    """Says how much the bound gained in the last sweep that was allowed.

    Args:
        options: Options of the fit.
        tolerance: A gain below it counts as none, nats per row.
        num_data: N.
        bounds: Bound of the posterior that each sweep began with, and of the last one, nats.
    """
    if options.polish_steps and len(bounds) > 2:  # which moved the last bound too
        bounds = bounds[:-1]
    gain = (bounds[-1] - bounds[-2]) / num_data
    sweeps, names = counted(options.max_sweeps, "sweep"), map(options.name_of, ("max_sweeps", "tolerance"))
    fix = "Raise {}, or {}.".format(*names)
    if gain < tolerance:
        so_little = f"it gained less than {tolerance:.1g} nats per row, and {PATIENCE} in a row must"
        return f"after {sweeps} the bound has stopped rising by the last sweep alone: {so_little}. {fix}"
    return f"the bound was still rising by {beside(gain, tolerance, 2)} nats per row after {sweeps}. {fix}"


def check_finite_bound(elbo: float, when: str) -> None:
    """Checks a bound, nats.

    Raises:
        FloatingPointError: It is NaN or infinite.
    """
    if not math.isfinite(elbo):
        raise FloatingPointError(
            f"The bound must stay finite. Received: {elbo} {when}. Drop rows that are far from all others, or state "
            "priors=tfgmm.Priors(...) that are less vague."
        )
