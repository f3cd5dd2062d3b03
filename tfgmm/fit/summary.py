"""A fit as text: what was fitted, how well, and every component with its uncertainty."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tfgmm.common.words import counted

if TYPE_CHECKING:
    from tfgmm.fit.result import FitResult
    from tfgmm.model.gaussian_mixture import GaussianMixtureModel
    from tfgmm.posterior.draws import Draws

_NUM_DRAWS, _MOST_NUMBERS = 1_000, 2**24
_LONGEST_TABLE = 200  # lines; more than that nobody reads


def summary_of(result: FitResult) -> str:
    """Returns sizes, bound and criteria, restarts, and a table of the components, as lines of text.

    Intervals hold 95 % of draws from the posterior, 1,000 of them (fewer of large matrices), seed 0. Components stand
    by weight, largest first, with their numbers in the model.
    """
    model = result.model
    bounds = ", ".join(f"{restart.elbo:.1f}" for restart in result.restarts)
    head = [
        f"Mixture of {counted(model.num_components, 'Gaussian')} ({model.covariance}, {model.weight_prior} weights), "
        f"{counted(result.num_data, 'row')} x {counted(model.num_features, 'column')}",
        f"bound {result.elbo:.2f} nats   log likelihood {result.log_likelihood:.2f}   "
        f"{result.num_parameters} parameters   AIC {result.aic:.1f}   BIC {result.bic:.1f}",
        f"{'converged' if result.converged else 'NOT converged'} after {counted(len(result.history['elbo']), 'sweep')} "
        f"over all rows; {result.num_occupied} of {counted(model.num_components, 'component')} occupied",
        f"restarts, bound of each: {bounds}",
        "",
    ]
    lines = list(_table(interval_draws(model), model.column_names))
    more = [f"... and {len(lines) - _LONGEST_TABLE} more lines"] if len(lines) > _LONGEST_TABLE else []
    return "\n".join([*head, *lines[:_LONGEST_TABLE], *more])


def interval_draws(model: GaussianMixtureModel) -> Draws:
    """Returns the draws that intervals are read from: 1,000 of them, fewer of large matrices, always the same."""
    # Draws of covariance matrices take D times the memory of their diagonals
    numbers = model.num_components * model.num_features**2
    return model.draws(max(100, min(_NUM_DRAWS, _MOST_NUMBERS // numbers)), seed=0)


def _table(draws: Draws, column_names: tuple[str, ...] | None) -> Iterator[str]:
    """Yields a line per component and column: median and interval of weight, location and standard deviation."""
    names = column_names or tuple(f"column {index}" for index in range(draws.num_features))
    width = max(len("column"), *(len(name) for name in names))
    yield f"{'component':>9}  {'weight':<22}  {'column':<{width}}  {'mean':<30}  standard deviation"
    for k in np.argsort(-draws.weights[0].mean(axis=0)):
        weight = _with_interval(draws.weights[0, :, k], ".3f")
        for index, name in enumerate(names):
            first = f"{k:>9}  {weight:<22}" if index == 0 else " " * 33
            loc = _with_interval(draws.locs[0, :, k, index], ".5g")
            scale = _with_interval(draws.scales[0, :, k, index], ".4g")
            yield f"{first}  {name:<{width}}  {loc:<30}  {scale}"


def _with_interval(values: np.ndarray, form: str) -> str:
    low, high = np.quantile(values, [0.025, 0.975])
    return f"{np.median(values):{form}} [{low:{form}}, {high:{form}}]"
