"""What fits with Pyro give: a mixture at its posterior mode, and memberships that a guide learnt."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfgmm.companions.one_column import one_column
from tfgmm.companions.pyro_mixture.model import (
    FREE_DIM,
    GLOBAL_SITES,
    EnumeratedMixture,
    Tensor,
    isolated,
    tensor,
)

import torch  # isort: skip  after `model`, whose error says how to install it
from pyro import poutine
from pyro.infer import infer_discrete


@dataclasses.dataclass(frozen=True, eq=False)
class MapFit:
    """A mixture at its posterior mode, and how it was found.

    Args:
        weights: Weights of the components, (K,) float64.
        locs: Means of the components, (K,) float64, data units.
        scale: Standard deviation, () float64, or (K,) with one per component; data units.
        losses: Loss at every step, (T,), nats for all rows: minus the log joint density of rows and parameters.
        gradient_norms: Euclidean norms of the loss's gradient in unconstrained coordinates, (T,) by parameter.
        start_losses: Loss of every start on the rows that starts were judged on, (num_starts,), nats; the start with
            the lowest was followed.
        mixture: Pyro model.
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
        """Assigns each row to a component by Pyro's infer_discrete.

        Args:
            x: Rows (N,), data units, those of training or others.
            temperature: 0 for the most probable component, 1 for a random one, with its posterior probability.
            seed: Seed of the random components.

        Returns:
            Component of each row, (N,) int64.

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
            assignment = poutine.trace(classifier).get_trace(tensor(rows)).nodes["assignment"]["value"]
        return assignment.reshape(len(rows)).numpy()  # for one row Pyro gives a scalar

    def probabilities(self, x: Any) -> np.ndarray:
        """Computes the exact probability of each component given the row.

        Args:
            x: Rows (N,), data units, those of training or others.

        Returns:
            Probabilities (N, K) float64; each row sums to 1.

        Raises:
            ValueError: NaN, or rows that are not one column.
        """
        rows = one_column("x", x)
        if len(rows) == 0:
            return np.zeros((0, self.mixture.num_components))
        return torch.softmax(self.mixture.log_joints(self.values(), tensor(rows)), dim=0).T.numpy()


@dataclasses.dataclass(frozen=True, eq=False)
class AssignmentFit:
    """Memberships that a guide learnt by enumeration, and how it learnt them.

    Args:
        probabilities: Probability of each component for each row, (N, K) float64; each row sums to 1.
        losses: Loss at every step, (T,), nats for all rows.
        gradient_norms: Euclidean norms of the loss's gradient, (T,) by parameter.
    """

    probabilities: np.ndarray
    losses: np.ndarray = dataclasses.field(repr=False)
    gradient_norms: Mapping[str, np.ndarray] = dataclasses.field(repr=False)
