"""Rows drawn from drawn mixtures: one from each, or whole data sets beside the rows that were seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tfgmm.data.blocks import RowBlock
    from tfgmm.posterior.draws import Draws

# Numbers in memory at a time in the factors of rows
_MEMORY = 2**23


def rows_of(draws: Draws, drawn: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draws a row, (n, D), from each of the draws with the numbers `drawn` (n,), counted chain after chain."""
    num_rows, num_features = len(drawn), draws.num_features
    weights = draws.weights.reshape(-1, draws.num_components)
    ends = np.cumsum(weights, axis=1)
    picked = generator.uniform(size=(num_rows, 1)) * ends[drawn, -1:]  # weights may sum to 1 - 1e-16
    component = np.minimum((picked >= ends[drawn]).sum(axis=1), draws.num_components - 1)
    noise = generator.standard_normal((num_rows, num_features))
    locs = draws.locs.reshape(len(weights), -1, num_features)[drawn, component]
    if draws.covariances is None:
        return locs + draws.scales.reshape(len(weights), -1, num_features)[drawn, component] * noise
    # Many rows may share a component of a draw, and its factor
    pairs, place = np.unique(drawn * draws.num_components + component, return_inverse=True)
    factors = np.linalg.cholesky(draws.covariances.reshape(-1, num_features, num_features)[pairs])
    return locs + _multiplied(factors, place, noise)


def replicates(draws: Draws, num_sets: int, block: RowBlock, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws data sets that could have been seen in place of some rows, with the same gaps and noise.

    Each chain gives equally many of its draws, evenly spread, and each of these a set.

    Args:
        draws: Draws from the posterior.
        num_sets: Number of sets wanted of all C chains together, 1 or more; they give a few more where it is no
            multiple of C, and no more than there are draws.
        block: N rows, data units, NaN at gaps, with their noise; weights have no part in it.
        seed: Seed of the sets.

    Returns:
        The numbers of the draws in their chains, (P,), and the sets, (C, P, N, D) float64, data units.
    """
    num_chains, num_draws = draws.weights.shape[:2]
    of_chain = min(num_draws, -(-num_sets // num_chains))
    chosen = np.arange(of_chain) * num_draws // of_chain
    drawn = (np.arange(num_chains)[:, None] * num_draws + chosen).reshape(-1)
    generator = np.random.default_rng(seed)
    sets = np.empty((len(drawn), *block.values.shape))
    roots = _noise_roots(block.noise)
    for place, number in enumerate(drawn):
        sets[place] = rows_of(draws, np.full(len(block.values), number), generator)
        if roots is not None:
            sets[place] += _noise_like(roots, generator)
    sets[:, np.isnan(block.values)] = np.nan
    return chosen, sets.reshape(num_chains, of_chain, *block.values.shape)


def _multiplied(factors: np.ndarray, place: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Multiplies noise (n, D) by factors (m, D, D), those at `place` (n,) of them, in pieces that fit in memory."""
    found, size = np.empty_like(noise), max(1, _MEMORY // noise.shape[1] ** 2)
    for first in range(0, len(noise), size):
        part = slice(first, first + size)
        found[part] = np.einsum("nde,ne->nd", factors[place[part]], noise[part])
    return found


def _noise_roots(noise: np.ndarray | None) -> np.ndarray | None:
    """Computes what standard normal numbers are multiplied by to be noise, (N, D) or (N, D, D)."""
    if noise is None or noise.ndim == 2:
        return noise
    variances, axes = np.linalg.eigh(noise)  # covariances may be singular
    return axes * np.sqrt(np.maximum(variances, 0.0))[:, None, :]


def _noise_like(roots: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draws noise of measurements, (N, D)."""
    standard = generator.standard_normal(roots.shape[:2])
    return roots * standard if roots.ndim == 2 else np.einsum("nde,ne->nd", roots, standard)
