"""Stephens' relabelling: components are matched by the rows that belong to them."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from tfgmm.posterior.assignment import cheapest, keeping_most
from tfgmm.posterior.densities import blocks_of_draws, log_joints
from tfgmm.posterior.draws import Draws

_MAX_ROUNDS = 20
# A probability is at least this: its logarithm is taken.
_LEAST = 1e-30


def matched_by_responsibilities(draws: Draws, rows: np.ndarray) -> np.ndarray:
    """Returns the order of each draw's components, (C, S, K), in which rows keep their memberships.

    Each draw takes the order in which KL(its memberships || the mean ones) over the rows is least, the mean ones are
    those of the draws so ordered, in turn, until nothing moves: the mean loss never rises.

    Args:
        rows: (G, D) data units.

    Source: Stephens 2000, "Dealing with label switching in mixture models", algorithm 2.
    """
    memberships = _memberships(draws, rows)
    permutations = np.broadcast_to(np.arange(draws.num_components), memberships.shape[::2]).copy()
    for _ in range(_MAX_ROUNDS):
        mean = _mean_in_order(memberships, permutations)
        # Of KL only the cross term depends on the order
        log_mean = np.log(np.maximum(mean, _LEAST)).astype(np.float32)
        costs = -np.matmul(np.swapaxes(memberships, 1, 2), log_mean)
        previous, permutations = permutations, cheapest(costs)
        if (permutations == previous).all():
            break
    return keeping_most(permutations).reshape(draws.weights.shape)


def _memberships(draws: Draws, rows: np.ndarray) -> np.ndarray:
    """Returns the probabilities of the components in every draw, (n, G, K) float32."""
    found = np.empty((draws.num_chains * draws.num_draws, len(rows), draws.num_components), np.float32)
    for part, standardisers in blocks_of_draws(draws, len(rows)):
        joints = log_joints(standardisers, rows)
        found[part] = np.exp(joints - logsumexp(joints, axis=-1, keepdims=True))
    return found


def _mean_in_order(memberships: np.ndarray, permutations: np.ndarray) -> np.ndarray:
    """Returns the mean memberships of draws in their orders, (G, K) float64."""
    ordered = np.take_along_axis(memberships, permutations[:, None, :], axis=2)
    return ordered.mean(axis=0, dtype=np.float64)
