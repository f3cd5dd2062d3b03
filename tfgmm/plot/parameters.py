"""The picture of any one parameter of a mixture, by its name among the draws."""

from __future__ import annotations

import re
from typing import Any

from matplotlib.axes import Axes

from tfgmm.plot.colours import component_colours
from tfgmm.plot.mixtures import check_draws
from tfgmm.plot.posteriors import posterior
from tfgmm.posterior.draws import Draws

_WORDS = {"weights": "weight", "locs": "mean", "scales": "standard deviation", "covariances": "covariance"}


def parameter_posterior(
    draws: Draws, name: str, *, label: str | None = None, interval: float = 0.9, ax: Axes | None = None
) -> Axes:
    """Returns the Axes with the posterior of one number of the mixture, in the colour of its component.

    Components must be in the same order in all draws: see `tfgmm.align`. All chains are taken together.

    Args:
        draws: posterior draws of any engine.
        name: as `draws.numbers()` names it, such as "weights[0]", "locs[1, waiting]" or "scales[0, 1]".
        label: what the number is, with its unit; default the name in words, "mean of waiting, component 1".
        interval: the share of the draws inside the interval, between 0 and 1.
        ax: where to draw; None makes a new figure.

    Raises:
        TypeError: `draws` are no `tfgmm.Draws`.
        ValueError: no such number; draws that are all equal; `interval` not inside (0, 1).

    Example:

    >>> import numpy as np
    >>> import matplotlib.pyplot as plt
    >>> locs = np.random.default_rng(0).normal(size=(1, 100, 2, 1))
    >>> draws = Draws(np.full((1, 100, 2), 0.5), locs, np.ones_like(locs), column_names=("waiting",))
    >>> parameter_posterior(draws, "locs[1, waiting]").get_xlabel()
    'mean of waiting, component 1'
    >>> plt.close("all")
    """
    names, values = check_draws(draws).numbers()
    if name not in names:
        few = ", ".join(names[:6]) + (f" and {len(names) - 6} more (draws.numbers()[0])" if len(names) > 6 else "")
        raise ValueError(f"`name` must be a number of the mixture: {few}. Received: {name!r}. Choose one of them.")
    k, words = _in_words(name, has_names=draws.column_names is not None)
    colour = component_colours(k + 1)[k]
    number: Any = values[..., names.index(name)].ravel()
    return posterior(number, label=words if label is None else label, interval=interval, colour=colour, ax=ax)


def _in_words(name: str, *, has_names: bool) -> tuple[int, str]:
    """Returns the component of a number's name, and the name in words."""
    found = re.fullmatch(r"(\w+)\[(\d+)(?:, (.*))?\]", name, flags=re.S)
    kind, component, features = found.groups() if found else (name, "0", None)
    which = "" if features is None else " of " + ("" if has_names else "column ") + features.replace(", ", " and ")
    return int(component), f"{_WORDS.get(kind, kind)}{which}, component {component}"
