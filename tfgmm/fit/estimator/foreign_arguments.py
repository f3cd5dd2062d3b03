"""Arguments of scikit-learn's mixtures that the estimator does not have, each with what takes its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfgmm.common.words import listed

_START = "means_init= starts from means, and tfgmm.fit_mixture(start=) from the group of each row"
_PLACES = "places of components are learned, or stated by priors=tfgmm.Priors(loc_mean=, loc_scale=)"
_WIDTHS = "widths are learned, or stated by priors=tfgmm.Priors(degrees=, inverse_scale=)"
_INSTEAD = {
    "reg_covar": "the prior of the precisions keeps scales above 0, in the units of each column",
    "weights_init": _START,
    "precisions_init": _START,
    "mean_prior": _PLACES,
    "mean_precision_prior": _PLACES,
    "covariance_prior": _WIDTHS,
    "degrees_of_freedom_prior": _WIDTHS,
    "verbose_interval": "verbose=1 shows a progress bar",
}


def refuse_others(kind: str, others: Mapping[str, Any]) -> None:
    """Refuses arguments that the estimator does not have.

    Args:
        kind: Name of the estimator's class.
        others: What it was given beside its own arguments.

    Raises:
        TypeError: There is one, as Python raises it; for those of scikit-learn's mixtures it says what to do instead.

    Example:

    >>> refuse_others("GaussianMixture", {"reg_covar": 1e-6})
    Traceback (most recent call last):
        ...
    TypeError: `GaussianMixture` must be made with arguments that it has. Received: 'reg_covar'. Leave it out: the \
prior of the precisions keeps scales above 0, in the units of each column.
    """
    if not others:
        return
    instead = dict.fromkeys(_INSTEAD.get(name, "help(tfgmm.BayesianGaussianMixture) lists all") for name in others)
    raise TypeError(
        f"`{kind}` must be made with arguments that it has. Received: {listed([repr(name) for name in others])}. "
        f"Leave {'it' if len(others) == 1 else 'them'} out: {'; '.join(instead)}."
    )
