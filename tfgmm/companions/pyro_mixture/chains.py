"""Draws from the posterior of the enumerated mixture with Pyro's No-U-Turn sampler, assignments summed out."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np

from tfgmm.common.checks import check_count, check_seed
from tfgmm.companions.one_column import one_column
from tfgmm.companions.pyro_mixture.model import (
    GLOBAL_SITES,
    Distribution,
    EnumeratedMixture,
    Tensor,
    isolated,
    mixture_of,
    tensor,
)
from tfgmm.posterior.draws import Draws

from pyro.infer import MCMC, NUTS  # isort: skip  after `model`, whose error says how to install it


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
        progress: Whether bars are shown on stderr, where that is a terminal.

    Returns:
        `tfgmm.Draws` with C = num_chains, S = num_samples, D = 1; `sample_stats["diverging"]` (C, S).

    Raises:
        ValueError, TypeError: see `fit_map`.

    Source: Hoffman and Gelman 2014, "The No-U-Turn sampler".
    """
    mixture = mixture_of(num_components, weight_prior, loc_prior, scale_prior, scale_per_component)
    rows = tensor(one_column("data", data, num_components=mixture.num_components))
    num_samples, num_chains = check_count("num_samples", num_samples), check_count("num_chains", num_chains)
    num_warmup, seed = check_count("num_warmup", num_warmup, least=0), check_seed(seed)
    chains = []
    for chain in range(num_chains):
        with isolated(seed + chain, len(rows)):
            chains.append(_chain(mixture, rows, num_warmup, num_samples, progress))
    weights, locs, scale, diverging = (np.stack(values) for values in zip(*chains))
    scales = np.broadcast_to(scale.reshape(num_chains, num_samples, -1), locs.shape)[..., None]
    return Draws(weights, locs[..., None], np.ascontiguousarray(scales), sample_stats={"diverging": diverging})


def _chain(
    mixture: EnumeratedMixture, rows: Tensor, num_warmup: int, num_samples: int, progress: bool
) -> tuple[np.ndarray, ...]:
    """Draws weights (S, K), locs (S, K), scale (S,) or (S, K), and whether each draw's path diverged (S,)."""
    # Compiled, a draw takes a third of the time
    kernel = NUTS(mixture, max_plate_nesting=1, jit_compile=True, ignore_jit_warnings=True)
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
