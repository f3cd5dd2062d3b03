"""The posterior mode by enumeration, and the assignments of rows there."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfgmm.common.checks import check_count
from tfgmm.common.words import beside, counted
from tfgmm.companions.one_column import one_column
from tfgmm.companions.pyro_mixture.fits import AssignmentFit, MapFit
from tfgmm.companions.pyro_mixture.model import (
    GLOBAL_SITES,
    Distribution,
    EnumeratedMixture,
    Tensor,
    isolated,
    mixture_of,
    tensor,
    unit_of,
    warn_of_odd_priors,
    with_gradients,
)
from tfgmm.companions.pyro_mixture.svi import minimise

import pyro  # isort: skip  after `model`, whose error says how to install it
import torch  # isort: skip
from pyro import distributions as dist
from pyro import poutine
from pyro.distributions import constraints
from pyro.infer.autoguide import AutoDelta
from pyro.infer.autoguide.initialization import init_to_value

_ROWS_TO_JUDGE = 2_000
_LEFT = 0.1  # nats below the mode that count as none


@with_gradients
def fit_map(
    data: Any,
    num_components: int,
    *,
    num_starts: int = 100,
    num_steps: int = 200,
    learning_rate: float = 0.1,
    seed: int = 0,
    weight_prior: Distribution | None = None,
    loc_prior: Distribution | None = None,
    scale_prior: Distribution | None = None,
    scale_per_component: bool = False,
    progress: bool = True,
) -> MapFit:
    """Finds the posterior mode of weights, locations and scale, with the assignments summed out.

    AutoDelta and TraceEnum_ELBO are run from the best of many random starts, which have locations at random rows, the
    scale of the data's variance, and equal weights. The mode is that of the density over weights, locations and scale
    themselves, not over their unconstrained coordinates.

    Args:
        data: Rows (N,), an array, list, Series or tensor; data units.
        num_components: Number of components, K, at most N.
        num_starts: Number of starts to choose from.
        num_steps: Number of steps of Adam, with betas (0.8, 0.99).
        learning_rate: Learning rate of Adam.
        seed: Seed of the starts, all of which are judged on the same 2,000 rows where there are more.
        weight_prior: Pyro distribution over the simplex, event shape (K,). Default Dirichlet(0.5).
        loc_prior: Pyro distribution of the locations, event shape (), data units. Default Normal(0, 10 u), where
            the unit u is the standard deviation of the rows over 5.19, that of Pyro's example.
        scale_prior: Pyro distribution of the scales, event shape (), data units. Default LogNormal(log u, 2).
        scale_per_component: Whether each component has a scale of its own, instead of one for all.
        progress: Whether a bar is shown on stderr, where that is a terminal.

    Returns:
        `MapFit`, the mixture at its posterior mode.

    Raises:
        ValueError: fewer rows than components, K < 1, NaN, not one column, a prior of the wrong shape.
        TypeError: rows that are not numbers; a prior that is no distribution.
        FloatingPointError: the loss became NaN or infinite.

    Warns:
        UserWarning: the default loc_prior does not suit the rows; the mode was not reached.

    Source: the Gaussian mixture tutorial of Pyro.

    Example:

    >>> fit = fit_map([0.0, 1.0, 10.0, 11.0, 12.0], num_components=2, progress=False)
    >>> sorted(fit.locs.round(1).tolist()), round(float(fit.scale), 2)
    ([0.5, 11.0], 0.65)
    """
    values = one_column("data", data, num_components=check_count("num_components", num_components))
    unit = unit_of(values)
    mixture = mixture_of(num_components, weight_prior, loc_prior, scale_prior, scale_per_component, unit)
    if loc_prior is None:
        warn_of_odd_priors(values, unit, stacklevel=4)
    rows = tensor(values)
    num_starts = check_count("num_starts", num_starts)
    with isolated(seed, len(rows)):
        starts = random_starts(mixture, rows, num_starts)
        start_losses = losses_of(mixture, some_of(rows), starts)
        best = int(torch.argmin(start_losses))
        start = {name: values[best].reshape(_site_shape(mixture, name)) for name, values in starts.items()}
        exposed = poutine.block(mixture, expose=list(GLOBAL_SITES))
        guide = AutoDelta(exposed, init_loc_fn=init_to_value(values=start))
        losses, norms = minimise(
            mixture, guide, rows, num_steps, learning_rate, "posterior mode", progress, mixture.units["locs"]
        )
        mode = {name: value.detach().numpy() for name, value in guide(rows).items()}
    norms = {name.removeprefix("AutoDelta."): values for name, values in norms.items()}
    _warn_if_not_at_mode(mixture, mode, norms, losses, len(rows), stacklevel=4)
    return MapFit(**mode, losses=losses, gradient_norms=norms, start_losses=start_losses.numpy(), mixture=mixture)


def _warn_if_not_at_mode(
    mixture: EnumeratedMixture,
    mode: Mapping[str, np.ndarray],
    norms: Mapping[str, np.ndarray],
    losses: np.ndarray,
    num_rows: int,
    *,
    stacklevel: int,
) -> None:
    """Warns where the gradient at the lowest loss says that there is more to gain.

    About the squared gradient over twice the curvature, which is that of components well apart: N w of the locations
    in units of the scale, and as much or more of the others.
    """
    best, curvature = int(np.argmin(losses)), num_rows / len(mode["weights"])
    squares = {name: float(values[best]) ** 2 for name, values in norms.items()}
    squares["locs"] *= (float(np.min(mode["scale"])) / mixture.widest_step(tensor(mode["locs"]))) ** 2
    left = sum(squares.values()) / (2.0 * curvature)
    if left > _LEFT:
        warnings.warn(
            f"the posterior mode was not reached in {counted(len(losses), 'step')}: the gradient says that about "
            f"{beside(left, _LEFT, 2)} nats are left, more than {_LEFT}. Raise num_steps, or change learning_rate.",
            UserWarning,
            stacklevel=stacklevel,
        )


def some_of(rows: Tensor) -> Tensor:
    """Picks some of the rows at random if there are many: 100 starts x rows x components must fit in memory."""
    if len(rows) <= _ROWS_TO_JUDGE:
        return rows
    return rows[torch.randperm(len(rows))[:_ROWS_TO_JUDGE]]


def random_starts(mixture: EnumeratedMixture, rows: Tensor, num_starts: int) -> dict[str, Tensor]:
    """Draws values for each start, (num_starts, K) or (num_starts, 1): locations are rows, no row twice."""
    num_components = mixture.num_components
    chosen = torch.stack([torch.randperm(len(rows))[:num_components] for _ in range(num_starts)])
    # One row, or equal rows, have no variance: any positive scale will do
    variance = rows.var(unbiased=len(rows) > 1)
    scale = torch.sqrt(torch.where(variance > 0, variance / num_components, torch.ones_like(variance)))
    num_scales = num_components if mixture.scale_per_component else 1
    return {
        "weights": torch.full((num_starts, 1, num_components), 1.0 / num_components, dtype=rows.dtype),
        "locs": rows[chosen],
        "scale": scale.expand(num_starts, num_scales),
    }


def losses_of(mixture: EnumeratedMixture, rows: Tensor, starts: Mapping[str, Tensor]) -> Tensor:
    """Computes the loss of each start, (num_starts,) nats, in one run of the model inside a plate of starts."""
    num_starts = len(starts["locs"])
    nodes = mixture.enumerated(starts, rows, num_starts)
    log_likelihoods = torch.logsumexp(nodes["assignment"]["log_prob"] + nodes["obs"]["log_prob"], dim=0)
    sites = [nodes[name]["log_prob"] for name in GLOBAL_SITES]
    return -sum(values.reshape(num_starts, -1).sum(-1) for values in [log_likelihoods, *sites])


def _site_shape(mixture: EnumeratedMixture, name: str) -> tuple[int, ...]:
    return () if name == "scale" and not mixture.scale_per_component else (mixture.num_components,)


@with_gradients
def fit_assignments(
    fit: MapFit, data: Any, *, num_steps: int = 200, learning_rate: float = 0.2, seed: int = 0, progress: bool = True
) -> AssignmentFit:
    """Learns memberships by a guide that enumerates the assignments, while the mixture itself stays as it is.

    This is slower than `MapFit.probabilities`, and for these rows only, but it can be extended where the mixture is
    part of a larger model. Weights, locations and scale are kept fixed by poutine.block.

    Args:
        fit: Result of `fit_map`.
        data: Rows (N,), data units, those of training or others.
        num_steps: Number of steps of Adam.
        learning_rate: Learning rate of Adam.
        seed: Seed of what a larger model may draw; nothing here is random.
        progress: Whether a bar is shown on stderr, where that is a terminal.

    Returns:
        `AssignmentFit` with the memberships.

    Raises:
        ValueError: no rows, NaN, not one column.
    """
    rows = tensor(one_column("data", data))
    if len(rows) == 0:
        raise ValueError("`data` must hold at least one row. Received: none. Pass the rows to find components of.")
    exposed = poutine.block(fit.mixture, expose=list(GLOBAL_SITES))
    global_guide = AutoDelta(exposed, init_loc_fn=init_to_value(values=fit.values()))
    equal = torch.full((len(rows), fit.mixture.num_components), 1.0 / fit.mixture.num_components, dtype=rows.dtype)

    def guide(data: Tensor) -> None:
        with poutine.block(hide_types=["param"]):  # what was learnt before stays as it is
            global_guide(data)
        # A simplex, not the unit interval of Pyro's example: only then are they probabilities
        probabilities = pyro.param("assignment_probs", equal, constraint=constraints.simplex)
        with pyro.plate("data", len(data), dim=-1):
            pyro.sample("assignment", dist.Categorical(probabilities), infer={"enumerate": "parallel"})

    with isolated(seed, len(rows)):
        losses, norms = minimise(fit.mixture, guide, rows, num_steps, learning_rate, "memberships", progress)
        memberships = pyro.param("assignment_probs").detach().numpy().copy()
    return AssignmentFit(memberships, losses, norms)
