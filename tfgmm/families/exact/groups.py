"""Groups of weighted draws: k-means of a sample of them, by NumPy."""

from __future__ import annotations

import numpy as np

SAMPLE = 2_000
ROUNDS = 10


def grouped(points: np.ndarray, weights: np.ndarray, num_groups: int, generator: np.random.Generator) -> np.ndarray:
    """Puts weighted draws into groups by k-means, (S,) int64 from 0; a group may be empty.

    Args:
        points: Draws, (S, P) float64.
        weights: Their weights, (S,) float64, at least 0 with sum 1.
        num_groups: Number of groups; 1 asks for no work.
        generator: Source of the random numbers that they begin with.
    """
    if num_groups == 1:
        return np.zeros(len(points), dtype=np.int64)
    sample = points[generator.choice(len(points), SAMPLE, p=weights)]
    centres = _first_centres(sample, num_groups, generator)
    for _ in range(ROUNDS):
        members = np.eye(num_groups)[_nearest(sample, centres)]
        counts = members.sum(axis=0)
        means = (members.T @ sample) / np.maximum(counts, 1.0)[:, None]
        centres = np.where(counts[:, None] > 0.0, means, centres)
    return _nearest(points, centres)


def _first_centres(sample: np.ndarray, num_groups: int, generator: np.random.Generator) -> np.ndarray:
    """Chooses centres to begin with, far from each other (k-means++, Arthur and Vassilvitskii 2007), (J, P) float64."""
    centres = [sample[generator.integers(len(sample))]]
    distances = np.full(len(sample), np.inf)
    for _ in range(num_groups - 1):
        distances = np.minimum(distances, np.square(sample - centres[-1]).sum(axis=1))
        steps = np.cumsum(distances)
        # Where all points are the same, the first is as good as any
        centres.append(sample[min(np.searchsorted(steps, generator.random() * steps[-1], "right"), len(sample) - 1)])
    return np.array(centres)


def _nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Gives the centre (J, P) nearest to each of `points` (S, P), (S,) int64."""
    return np.argmin(np.square(centres).sum(axis=1) - 2.0 * (points @ centres.T), axis=1)
