"""Stephens' relabelling: components are matched by the rows that belong to them."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from tfgmm.posterior.assignment import cheapest, keeping_most
from tfgmm.posterior.densities import blocks_of_draws, log_joints
from tfgmm.posterior.draws import Draws

_MAX_ROUNDS = 20
# Smallest probability whose logarithm is taken.
_LEAST = 1e-30


def matched_by_responsibilities(draws: Draws, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds the order of each draw's components, (C, S, K) int, in which rows keep their memberships.

    And by how many nats it is better than the best order in which two more are swapped, (C S,): the logarithm of the
    odds against the swap, if each row chooses its component by the mean memberships.

    Each draw takes the order in which KL(its memberships || the mean ones), summed over the rows, is least; then the
    mean memberships are computed from the draws in these orders; and so on in turn, until no order changes. The mean
    loss never rises.

    Args:
        draws: Draws from the posterior.
        rows: (G, D), data units.

    Source: Stephens 2000, "Dealing with label switching in mixture models", algorithm 2.
    """
    memberships = _memberships(draws, rows)
    permutations = np.broadcast_to(np.arange(draws.num_components), memberships.shape[::2]).copy()
    for _ in range(_MAX_ROUNDS):
        mean = _mean_in_order(memberships, permutations)
        # Only the cross term of KL depends on the order
        log_mean = np.log(np.maximum(mean, _LEAST)).astype(np.float32)
        costs = -np.matmul(np.swapaxes(memberships, 1, 2), log_mean)
        previous, permutations = permutations, cheapest(costs)
        if (permutations == previous).all():
            break
    order = keeping_most(permutations)
    return order.reshape(draws.weights.shape), _log_odds_against_swaps(memberships, order)


def _log_odds_against_swaps(memberships: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Computes how much the cheapest swap of two components costs in each draw, (n,) nats; infinite for one alone."""
    log_mean = np.log(np.maximum(_mean_in_order(memberships, order), _LEAST))
    ordered = np.take_along_axis(memberships, order[:, None, :], axis=2)
    costs = -np.matmul(np.swapaxes(ordered, 1, 2), log_mean)  # (n, component, place)
    first, second = np.triu_indices(costs.shape[1], 1)
    own = np.diagonal(costs, axis1=1, axis2=2)
    swapped = costs[:, first, second] + costs[:, second, first]
    found: np.ndarray = (swapped - own[:, first] - own[:, second]).min(axis=1, initial=np.inf)
    return found


def _memberships(draws: Draws, rows: np.ndarray) -> np.ndarray:
    """Computes the probabilities of the components in every draw, (n, G, K) float32."""
    memberships = np.empty((draws.num_chains * draws.num_draws, len(rows), draws.num_components), np.float32)
    for part, standardisers in blocks_of_draws(draws, len(rows)):
        joints = log_joints(standardisers, rows)
        memberships[part] = np.exp(joints - logsumexp(joints, axis=-1, keepdims=True))
    return memberships


def _mean_in_order(memberships: np.ndarray, permutations: np.ndarray) -> np.ndarray:
    """Computes the mean memberships of draws in their orders, (G, K) float64."""
    ordered = np.take_along_axis(memberships, permutations[:, None, :], axis=2)
    return ordered.mean(axis=0, dtype=np.float64)
