"""The posterior mode by enumeration, and what the assignments of rows then are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tfgmm.common.checks import check_count
from tfgmm.companions.one_column import one_column
from tfgmm.companions.pyro_mixture.model import (
    FREE_DIM,
    GLOBAL_SITES,
    Distribution,
    EnumeratedMixture,
    Tensor,
    isolated,
    mixture_of,
    tensor,
)

import pyro  # isort: skip  after pyro_model, whose error says how to install it
import torch  # isort: skip
from pyro import distributions as dist
from pyro import poutine
from pyro.distributions import constraints
from pyro.infer import SVI, TraceEnum_ELBO, infer_discrete
from pyro.infer.autoguide import AutoDelta
from pyro.infer.autoguide.initialization import init_to_value
from tqdm import trange

# As in Pyro's own example: steps adapt quickly, and forget quickly.
_BETAS = (0.8, 0.99)
_ROWS_TO_JUDGE = 2_000


@dataclasses.dataclass(frozen=True, eq=False)
class MapFit:
    """A mixture at its posterior mode, and how it was found.

    Args:
        weights: (K,) float64.
        locs: (K,) float64, data units.
        scale: () float64, or (K,) with one per component; data units.
        losses: (T,) of every step, nats for all rows: minus the log joint density of rows and parameters.
        gradient_norms: by parameter, (T,) Euclidean norms of the loss's gradient in unconstrained coordinates.
        start_losses: (num_starts,) nats, of the rows that starts were judged on; the lowest was followed.
        mixture: the Pyro model.
    """

    weights: np.ndarray
    locs: np.ndarray
    scale: np.ndarray
    losses: np.ndarray = dataclasses.field(repr=False)
    gradient_norms: Mapping[str, np.ndarray] = dataclasses.field(repr=False)
    start_losses: np.ndarray = dataclasses.field(repr=False)
    mixture: EnumeratedMixture = dataclasses.field(repr=False)

    def values(self) -> dict[str, Tensor]:
        """Returns weights, locs and scale as tensors, by the names of their sites."""
        return {name: tensor(getattr(self, name)) for name in GLOBAL_SITES}

    def classify(self, x: Any, temperature: int = 0, seed: int = 0) -> np.ndarray:
        """Returns the component of each row, (N,) int64, by Pyro's infer_discrete.

        Args:
            x: (N,) rows, data units, those of training or others.
            temperature: 0 for the most probable component, 1 for a random one, with its posterior probability.
            seed: of the random ones.

        Raises:
            ValueError: another temperature, NaN, rows that are not one column.
        """
        if isinstance(temperature, bool) or temperature not in (0, 1):
            raise ValueError(
                f"`temperature` must be 0 or 1. Received: {temperature!r}. "
                "Choose 0 for the most probable component, 1 for a random one."
            )
        rows = one_column("x", x)
        if len(rows) == 0 or self.mixture.num_components == 1:
            return np.zeros(len(rows), np.int64)
        trained = poutine.condition(self.mixture, data=self.values())
        classifier = infer_discrete(trained, first_available_dim=FREE_DIM, temperature=int(temperature))
        with isolated(seed, len(rows)):
            found = poutine.trace(classifier).get_trace(tensor(rows)).nodes["assignment"]["value"]
        return found.reshape(len(rows)).numpy()  # of one row Pyro gives a scalar

    def probabilities(self, x: Any) -> np.ndarray:
        """Returns the exact probability of each component given the row, (N, K) float64; rows sum to 1."""
        rows = one_column("x", x)
        if len(rows) == 0:
            return np.zeros((0, self.mixture.num_components))
        return torch.softmax(self.mixture.log_joints(self.values(), tensor(rows)), dim=0).T.numpy()


@dataclasses.dataclass(frozen=True, eq=False)
class AssignmentFit:
    """Memberships that a guide learnt by enumeration, and how.

    Args:
        probabilities: (N, K) float64; rows sum to 1.
        losses: (T,) nats for all rows, of every step.
        gradient_norms: by parameter, (T,).
    """

    probabilities: np.ndarray
    losses: np.ndarray = dataclasses.field(repr=False)
    gradient_norms: Mapping[str, np.ndarray] = dataclasses.field(repr=False)


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
    """Returns the posterior mode of weights, locations and scale, the assignments summed out.

    AutoDelta and TraceEnum_ELBO from the best of many random starts: locations at random rows, the scale from the
    data's variance, equal weights. The mode is that of the density over weights, locations and scale themselves, not
    over their unconstrained coordinates.

    Args:
        data: (N,) rows: array, list, Series or tensor, data units.
        num_components: K, at most N.
        num_starts: starts to choose from.
        num_steps: steps of Adam, with betas (0.8, 0.99).
        learning_rate: of Adam.
        seed: of the starts, each of which is judged on the same 2,000 rows where there are more.
        weight_prior: Pyro distribution over the simplex, event shape (K,). Default Dirichlet(0.5).
        loc_prior: over the locations, event shape (), data units. Default Normal(0, 10).
        scale_prior: over the scales, event shape (), data units. Default LogNormal(0, 2).
        scale_per_component: one scale per component instead of one for all.
        progress: show a bar on stderr, where that is a terminal.

    Raises:
        ValueError: fewer rows than components, K < 1, NaN, not one column, a prior of the wrong shape.
        TypeError: not numbers; a prior that is no distribution.
        FloatingPointError: the loss became NaN or infinite.

    Source: the Gaussian mixture tutorial of Pyro.

    Example:

    >>> fit = fit_map([0.0, 1.0, 10.0, 11.0, 12.0], num_components=2, progress=False)
    >>> sorted(fit.locs.round(1).tolist()), round(float(fit.scale), 2)
    ([0.5, 11.0], 0.65)
    """
    mixture = mixture_of(num_components, weight_prior, loc_prior, scale_prior, scale_per_component)
    rows = tensor(one_column("data", data, num_components=mixture.num_components))
    num_starts = check_count("num_starts", num_starts)
    with isolated(seed, len(rows)):
        starts = _random_starts(mixture, rows, num_starts)
        start_losses = _losses_of_starts(mixture, _some(rows), starts)
        best = int(torch.argmin(start_losses))
        start = {name: values[best].reshape(_site_shape(mixture, name)) for name, values in starts.items()}
        exposed = poutine.block(mixture, expose=list(GLOBAL_SITES))
        guide = AutoDelta(exposed, init_loc_fn=init_to_value(values=start))
        losses, norms = _minimise(mixture, guide, rows, num_steps, learning_rate, "posterior mode", progress)
        found = {name: value.detach().numpy() for name, value in guide(rows).items()}
    norms = {name.removeprefix("AutoDelta."): values for name, values in norms.items()}
    return MapFit(**found, losses=losses, gradient_norms=norms, start_losses=start_losses.numpy(), mixture=mixture)


def _some(rows: Tensor) -> Tensor:
    """Returns the rows, or some of them, chosen at random: 100 starts x rows x components must fit in memory."""
    if len(rows) <= _ROWS_TO_JUDGE:
        return rows
    return rows[torch.randperm(len(rows))[:_ROWS_TO_JUDGE]]


def _random_starts(mixture: EnumeratedMixture, rows: Tensor, num_starts: int) -> dict[str, Tensor]:
    """Returns values for each start, (num_starts, K) or (num_starts, 1): locations are rows, no row twice."""
    num_components = mixture.num_components
    chosen = torch.stack([torch.randperm(len(rows))[:num_components] for _ in range(num_starts)])
    # Of one row, or of equal rows, there is no variance: any positive scale will do
    variance = rows.var(unbiased=len(rows) > 1)
    scale = torch.sqrt(torch.where(variance > 0, variance / num_components, torch.ones_like(variance)))
    num_scales = num_components if mixture.scale_per_component else 1
    return {
        "weights": torch.full((num_starts, 1, num_components), 1.0 / num_components, dtype=rows.dtype),
        "locs": rows[chosen],
        "scale": scale.expand(num_starts, num_scales),
    }


def _losses_of_starts(mixture: EnumeratedMixture, rows: Tensor, starts: Mapping[str, Tensor]) -> Tensor:
    """Returns the loss of each start, (num_starts,) nats: all in one run of the model, inside a plate of starts."""
    num_starts = len(starts["locs"])
    nodes = mixture.enumerated(starts, rows, num_starts)
    log_likelihoods = torch.logsumexp(nodes["assignment"]["log_prob"] + nodes["obs"]["log_prob"], dim=0)
    sites = [nodes[name]["log_prob"] for name in GLOBAL_SITES]
    return -sum(values.reshape(num_starts, -1).sum(-1) for values in [log_likelihoods, *sites])


def _site_shape(mixture: EnumeratedMixture, name: str) -> tuple[int, ...]:
    return () if name == "scale" and not mixture.scale_per_component else (mixture.num_components,)


def _minimise(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    rows: Tensor,
    num_steps: int,
    learning_rate: float,
    what: str,
    progress: bool,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns the loss, and by parameter the norm of its gradient, at each step of SVI with enumeration.

    The parameters end where the loss was lowest: nothing here is random, and where gradients have all but vanished,
    Adam's steps grow again, and would lead away.
    """
    num_steps = check_count("num_steps", num_steps)
    if not (isinstance(learning_rate, (int, float)) and 0 < learning_rate < float("inf")):
        raise ValueError(f"`learning_rate` must be positive and finite. Received: {learning_rate!r}. Try 0.1.")
    optimizer = pyro.optim.Adam({"lr": learning_rate, "betas": _BETAS})
    svi = SVI(model, guide, optimizer, loss=TraceEnum_ELBO(max_plate_nesting=1))
    norms = _watched_norms(svi, model, guide, rows)
    losses, parameters = np.empty(num_steps), dict(pyro.get_param_store().named_parameters())
    best: dict[str, Tensor] = {}
    for step in (bar := trange(num_steps, desc=what, disable=None if progress else True)):
        here = {name: value.detach().clone() for name, value in parameters.items()}
        try:
            losses[step] = svi.step(rows)
        except ValueError as error:  # torch's checks: a step has led to a scale of 0, or to no number at all
            raise _diverged(step, learning_rate) from error
        if not np.isfinite(losses[step]):
            raise _diverged(step, learning_rate)
        if losses[step] == losses[: step + 1].min():
            best = here
        bar.set_postfix(loss=f"{losses[step]:.4f}", refresh=False)
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(best[name])
    return losses, {name: np.array(values) for name, values in norms.items()}


def _watched_norms(
    svi: SVI, model: Callable[..., Any], guide: Callable[..., Any], rows: Tensor
) -> dict[str, list[float]]:
    """Returns by parameter a list to which every gradient adds its norm; of the parameters that are learnt."""
    with poutine.trace(param_only=True) as learnt:  # as SVI finds them: those that a guide blocks are not among them
        svi.loss(model, guide, rows)
    norms: dict[str, list[float]] = {}
    for name in learnt.trace.nodes:
        found = norms[name] = []
        parameter = pyro.param(name).unconstrained()
        parameter.register_hook(lambda gradient, found=found: found.append(float(gradient.norm())))
    return norms


def _diverged(step: int, learning_rate: float) -> FloatingPointError:
    return FloatingPointError(
        f"the loss is no finite number at step {step}. Lower `learning_rate`, received: {learning_rate}, or look at "
        "the priors."
    )


def fit_assignments(
    fit: MapFit, data: Any, *, num_steps: int = 200, learning_rate: float = 0.2, seed: int = 0, progress: bool = True
) -> AssignmentFit:
    """Returns memberships learnt by a guide that enumerates the assignments; the mixture itself stays as it is.

    Slower than `MapFit.probabilities`, and for these rows only, but the way to go on where the mixture is part of a
    larger model. Weights, locations and scale are held by poutine.block.

    Args:
        fit: what `fit_map` returned.
        data: (N,) rows, data units; those of training or others.
        num_steps, learning_rate: of Adam.
        seed: nothing here is random but what a larger model may add.
        progress: show a bar on stderr, where that is a terminal.

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
        with poutine.block(hide_types=["param"]):  # what was learnt stays
            global_guide(data)
        # A simplex, not the unit interval of Pyro's example: only then are they probabilities
        probabilities = pyro.param("assignment_probs", equal, constraint=constraints.simplex)
        with pyro.plate("data", len(data), dim=-1):
            pyro.sample("assignment", dist.Categorical(probabilities), infer={"enumerate": "parallel"})

    with isolated(seed, len(rows)):
        losses, norms = _minimise(fit.mixture, guide, rows, num_steps, learning_rate, "memberships", progress)
        found = pyro.param("assignment_probs").detach().numpy().copy()
    return AssignmentFit(found, losses, norms)
