"""Draws from the posterior of the enumerated mixture with Pyro's No-U-Turn sampler, assignments summed out."""

from __future__ import annotations

import dataclasses
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tfgmm.common.checks import check_count, check_seed
from tfgmm.common.words import counted
from tfgmm.companions.diagnostics import warn_if_bad
from tfgmm.companions.one_column import one_column
from tfgmm.companions.pyro_mixture.map_fit import losses_of, random_starts, some_of
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
from tfgmm.posterior.alignment import AlignedDraws
from tfgmm.posterior.draws import Draws

from pyro.infer import MCMC, NUTS  # isort: skip  after `model`, whose error says how to install it
from pyro.infer.autoguide.initialization import init_to_uniform
from torch.distributions import biject_to
from torch.distributions.transforms import AffineTransform, ComposeTransform

# Draws and random starts that are compared, and nats by which the draws may be less probable
_NUM_COMPARED, _FAR_BELOW = 100, 3.0


@with_gradients
def sample_nuts(
    data: Any,
    num_components: int,
    *,
    num_warmup: int = 50,
    num_samples: int = 250,
    num_chains: int = 1,
    seed: int = 0,
    weight_prior: Distribution | None = None,
    loc_prior: Distribution | None = None,
    scale_prior: Distribution | None = None,
    scale_per_component: bool = False,
    target_accept_prob: float = 0.8,
    progress: bool = True,
) -> Draws:
    """Draws from the posterior of weights, locations and scale, with the assignments summed out (collapsed NUTS).

    Swapping two components changes nothing in the posterior, so that it has K! equal modes. NUTS seldom jumps between
    them: a chain stays for long near the mode that it met first, two chains may stay near different modes, and the few
    jumps (0 to 17 in 250 draws of the worked example, by way of one cluster of all rows) mix up the components. So use
    `tfgmm.align(draws)` before you average or compare them.

    Args:
        data, num_components, weight_prior, loc_prior, scale_prior, scale_per_component: Rows, number of components and
            priors as in `fit_map`.
        num_warmup: Number of draws of each chain that are discarded while the steps adapt.
        num_samples: Number of draws kept of each chain, S.
        num_chains: Number of chains, C, which run one after the other.
        seed: Seed of the first chain; chain c has seed + c, which decides where it starts.
        target_accept_prob: Acceptance that steps are adapted to; larger values make shorter steps, which end
            divergences.
        progress: Whether bars are shown on stderr, where that is a terminal.

    Returns:
        `tfgmm.Draws` with C = num_chains, S = num_samples, D = 1; `sample_stats["diverging"]` (C, S).

    Raises:
        ValueError, TypeError: see `fit_map`.

    Warns:
        UserWarning: draws cannot be trusted, with components in the order of their locations: divergences, few
            effective draws, chains that disagree; the default loc_prior does not suit the rows; a poor mode.

    Source: Hoffman and Gelman 2014, "The No-U-Turn sampler".
    """
    values = one_column("data", data, num_components=check_count("num_components", num_components))
    target_accept_prob = _checked_rate(target_accept_prob)
    unit = own_unit = unit_of(values)
    if loc_prior is None and scale_prior is None:  # rows without a unit have the same draws, number by number
        values, unit = values / own_unit, 1.0
    mixture = mixture_of(num_components, weight_prior, loc_prior, scale_prior, scale_per_component, unit)
    rows = tensor(values)
    num_samples, num_chains = check_count("num_samples", num_samples), check_count("num_chains", num_chains)
    num_warmup, seed = check_count("num_warmup", num_warmup, least=0), check_seed(seed)
    if loc_prior is None:
        warn_of_odd_priors(values * (own_unit / unit), own_unit, stacklevel=4)
    chains = []
    for chain in range(num_chains):
        with isolated(seed + chain, len(rows)):
            chains.append(_chain(mixture, rows, num_warmup, num_samples, target_accept_prob, progress))
    weights, locs, scale, diverging = (np.stack(values) for values in zip(*chains))
    scales = np.broadcast_to(scale.reshape(num_chains, num_samples, -1), locs.shape)[..., None]
    draws = Draws(weights, locs[..., None], np.ascontiguousarray(scales), sample_stats={"diverging": diverging})
    _warn_if_bad(mixture, rows, draws, seed, stacklevel=5)
    times = own_unit / unit
    return dataclasses.replace(draws, locs=times * draws.locs, scales=times * draws.scales)


def _checked_rate(rate: Any) -> float:
    if not (isinstance(rate, (int, float)) and 0 < rate < 1):
        raise ValueError(f"`target_accept_prob` must lie between 0 and 1. Received: {rate!r}. Try 0.9.")
    return float(rate)


def _warn_if_bad(mixture: EnumeratedMixture, rows: Tensor, draws: Draws, seed: int, *, stacklevel: int) -> None:
    """Warns of chains that cannot be trusted, whatever they call the components, and of a mode that is a poor one."""
    order = np.argsort(draws.locs[..., 0], axis=-1, kind="stable")
    parts = {field.name: getattr(draws.permuted(order), field.name) for field in dataclasses.fields(Draws)}
    warn_if_bad(AlignedDraws(**parts, permutations=order), True, stacklevel=stacklevel)
    with isolated(seed, len(rows)):
        some = some_of(rows)
        of_starts = losses_of(mixture, some, random_starts(mixture, rows, _NUM_COMPARED)).min()
    flat = [values.reshape(-1, values.shape[2]) for values in (draws.weights, draws.locs[..., 0], draws.scales[..., 0])]
    chosen = np.linspace(0, len(flat[0]) - 1, min(_NUM_COMPARED, len(flat[0]))).astype(int)
    weights, locs, scales = (tensor(values[chosen]) for values in flat)
    own = {"weights": weights[:, None], "locs": locs, "scale": scales if mixture.scale_per_component else scales[:, :1]}
    below = float(losses_of(mixture, some, own).min() - of_starts)
    if below > _FAR_BELOW:
        warnings.warn(
            f"the best of {counted(len(chosen), 'draw')} is {below:,.1f} nats less probable than the best of "
            f"{_NUM_COMPARED} starts at random rows: the chains are at a poor mode. Raise num_warmup, take another "
            "seed, or state priors that suit the rows.",
            UserWarning,
            stacklevel=stacklevel - 1,
        )


def _coordinates(mixture: EnumeratedMixture) -> dict[str, Any] | None:
    """Lists how each site becomes coordinates that have no unit; None for Pyro's own, where the unit is 1."""
    if mixture.unit == 1.0:
        return None
    priors = {"weights": mixture.weight_prior, "locs": mixture.loc_prior, "scale": mixture.scale_prior}
    return {
        name: ComposeTransform(
            [AffineTransform(0.0, 1.0 / mixture.units.get(name, 1.0)), biject_to(prior.support).inv]
            if mixture.units.get(name, 1.0) != 1.0
            else [biject_to(prior.support).inv]
        )
        for name, prior in priors.items()
    }


def _start_in_units(mixture: EnumeratedMixture) -> Callable[[Any], Tensor]:
    """Makes Pyro's own start, each coordinate uniform in (-2, 2), for coordinates in the units of the mixture."""
    return lambda site: init_to_uniform(site) * mixture.units.get(site["name"], 1.0)


def _chain(
    mixture: EnumeratedMixture,
    rows: Tensor,
    num_warmup: int,
    num_samples: int,
    target_accept_prob: float,
    progress: bool,
) -> tuple[np.ndarray, ...]:
    """Draws weights (S, K), locs (S, K), scale (S,) or (S, K), and whether each draw's path diverged (S,)."""
    # Compiled, a draw takes a third of the time
    options: dict[str, Any] = {"max_plate_nesting": 1, "jit_compile": True, "ignore_jit_warnings": True}
    options |= {"target_accept_prob": target_accept_prob}
    kernel = NUTS(mixture, **options, transforms=_coordinates(mixture), init_strategy=_start_in_units(mixture))
    counts: list[int] = []  # numbers of divergent paths so far, by draw

    def count(kernel: NUTS, draw: Any, stage: str, number: int) -> None:
        if stage == "Sample":
            counts.append(len(kernel.diagnostics()["divergences"]))

    lengths = {"num_samples": num_samples, "warmup_steps": num_warmup}
    sampler = MCMC(kernel, **lengths, hook_fn=count, disable_progbar=not (progress and sys.stderr.isatty()))
    with warnings.catch_warnings():
        # torch 2.13 recommends another compiler; Pyro uses this one
        warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
        sampler.run(rows)
    draws = sampler.get_samples()
    diverging = np.diff([0, *counts]) > 0
    return *(draws[name].numpy() for name in GLOBAL_SITES), diverging
