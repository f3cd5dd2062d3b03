"""What one pass over the rows tells of every component: its rows, and what they would lose without it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tfgmm.families.natural_gradient import Place
from tfgmm.fit.cached_rows import CachedRows
from tfgmm.mixture.log_joints import exponentials

# A row belongs to the rows of a component from this membership on
_LEAST_MEMBERSHIP = 0.05
# What is left to the other components, at least: a row that is one component's alone costs 28 nats without it
_LEAST_REST = 1e-12


class Members(NamedTuple):
    """Rows and the components that they belong to, by component.

    components: (E,) int, ascending.
    rows: (E,) int, numbers of the rows.
    memberships: (E,) float64, above 0.05.
    weights: (E,) float64, how often the row counts.
    """

    components: np.ndarray
    rows: np.ndarray
    memberships: np.ndarray
    weights: np.ndarray

    def of(self, component: int) -> Members:
        """Takes the entries of one component."""
        first, last = np.searchsorted(self.components, [component, component + 1])
        return Members(*(value[first:last] for value in self))


class _OfChunk(NamedTuple):
    """What some rows tell: losses (K,), and entries of `Members`."""

    losses: np.ndarray
    components: np.ndarray
    rows: np.ndarray
    memberships: np.ndarray


def losses_and_members(rows: CachedRows, place: Place) -> tuple[np.ndarray, Members]:
    """Computes what rows lose when a component goes and the others stay, (K,) nats; and lists the rows of each.

    loss_k = -sum_i w_i log(1 - r_ik), for the rows themselves, not for those that they stand for. It is too high where
    neighbours overlap, since these adapt.

    Args:
        rows: n rows.
        place: Where q stands.
    """
    weights = np.ones(len(rows)) if rows.block.weights is None else rows.block.weights
    numbers = np.arange(len(rows))

    def of_chunk(part: slice | np.ndarray, joints: np.ndarray) -> _OfChunk:
        _, norms = exponentials(joints[None])
        joints /= norms
        components, places = np.nonzero(joints > _LEAST_MEMBERSHIP)
        memberships = joints[components, places].astype(np.float64)
        losses = -np.log(np.maximum(1.0 - joints, _LEAST_REST)) @ weights[part]
        return _OfChunk(losses, components, numbers[part][places], memberships)

    found = list(rows.groups.mapped([value[None] for value in place.coefficients], of_chunk))
    components, of_rows, memberships = (np.concatenate(values) for values in list(zip(*found))[1:])
    order = np.argsort(components, kind="stable")
    members = Members(components[order], of_rows[order], memberships[order], weights[of_rows[order]])
    return sum(one.losses for one in found), members
