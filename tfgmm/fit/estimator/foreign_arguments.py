"""Arguments of scikit-learn's mixtures that the estimator does not have, each with what takes its place."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import ParamSpec

from tfgmm.common.words import listed

Words = ParamSpec("Words")

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


def explaining_others(init: Callable[Words, None]) -> Callable[Words, None]:
    """Makes `__init__` say more of arguments that it does not have than Python does.

    scikit-learn reads the signature of `__init__`, which stays as it is.

    Args:
        init: `__init__` of the estimator.

    Example:

    >>> tfgmm.BayesianGaussianMixture(2, reg_covar=1e-6)
    Traceback (most recent call last):
        ...
    TypeError: `BayesianGaussianMixture` must be made with arguments that it has. Received: 'reg_covar'. Leave it \
out: the prior of the precisions keeps scales above 0, in the units of each column.
    """
    known = frozenset(inspect.signature(init).parameters)

    @functools.wraps(init)
    def explained(*arguments: Words.args, **named: Words.kwargs) -> None:
        others = [name for name in named if name not in known]
        if others:
            raise _error_on(type(arguments[0]).__name__, others)
        init(*arguments, **named)

    return explained


def _error_on(kind: str, others: Sequence[str]) -> TypeError:
    """Makes the error for arguments that a class does not have: what takes their place, or where to look."""
    instead = dict.fromkeys(_INSTEAD.get(name, "help(tfgmm.BayesianGaussianMixture) lists all") for name in others)
    return TypeError(
        f"`{kind}` must be made with arguments that it has. Received: {listed([repr(name) for name in others])}. "
        f"Leave {'it' if len(others) == 1 else 'them'} out: {'; '.join(instead)}."
    )
