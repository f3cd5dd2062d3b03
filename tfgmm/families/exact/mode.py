"""The mode of the exact posterior near q, by Newton's steps that fall back on those of EM."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_solve

from tfgmm.families.exact.coordinates import Coordinates
from tfgmm.families.exact.information import Curvature, curvature
from tfgmm.families.exact.target import Target

# Least curvature of a direction that has none, beside that of single coordinates
_FLATTEST = 1e-2
# Squared length of a step, in standard deviations of the posterior, below which the mode is reached
_CLOSE = 1e-12
_MOST_PASSES = 60
# How much the value may fall by rounding, nats
_ROUNDING = 1e-7
# Length of a step whose value falls, beside the step before it; and of the shortest
_SHORTER, _SHORTEST = 0.4, 1e-4


class Mode(NamedTuple):
    """The exact posterior near its mode: normal, with the inverse of L L' as covariance.

    coordinates: Coordinates around the mode.
    root: L, lower triangular, (P, P), of the information there.
    log_density: log p(rows, mode), nats.
    is_exact: Whether the steps ended at a mode where the information is positive definite; if not, the information is
        mixed with that of known memberships.
    num_passes: Passes over the rows.
    """

    coordinates: Coordinates
    root: np.ndarray
    log_density: float
    is_exact: bool
    num_passes: int

    @property
    def log_evidence(self) -> float:
        """Laplace's approximation of log p(rows), from this mode alone, nats."""
        size = len(self.root)
        return float(self.log_density + 0.5 * size * np.log(2.0 * np.pi) - np.log(np.diag(self.root)).sum())


def find_mode(
    target: Target,
    coordinates: Coordinates,
    tell: Callable[[int], None] = lambda number: None,
    most_passes: int | None = None,
) -> Mode:
    """Climbs from a reference to the mode of the exact posterior near it.

    Args:
        target: The exact posterior.
        coordinates: Coordinates around the start.
        tell: Function that is called before each pass over the rows, with its number.
        most_passes: Passes over the rows, at most; None for 60.
    """
    most_passes = most_passes or _MOST_PASSES
    tell(1)
    here, passes = curvature(target, coordinates), 1
    root, share = positive_root(here)
    while passes < most_passes:
        step = cho_solve((root, True), here.gradient)
        length = float(here.gradient @ step)
        if length < _CLOSE:
            break
        moved = None
        scale = min(1.0, 2.0 * np.sqrt(coordinates.num_coordinates / length))
        while moved is None and scale > _SHORTEST and passes < most_passes:
            tell(passes + 1)
            moved, passes = _moved(target, coordinates, here, scale * step), passes + 1
            scale *= _SHORTER
        if moved is None:
            if share >= 1.0:
                break
            root, share = positive_root(here, least=max(2.0 * share, 0.05))
            continue
        coordinates, here = moved
        root, share = positive_root(here)
    return Mode(coordinates, root, here.log_density, share == 0.0, passes)


def _moved(
    target: Target, coordinates: Coordinates, here: Curvature, phi: np.ndarray
) -> tuple[Coordinates, Curvature] | None:
    """Moves the reference to phi, if the density there is not less; None where it is."""
    if not coordinates.are_near(phi[None])[0]:
        return None
    moved = coordinates.rebased(phi)
    with np.errstate(all="ignore"):
        there = curvature(target, moved)
    # The density of phi at another reference differs by the volume of what is a unit there
    volume = coordinates.log_volume(phi) - moved.log_volume(np.zeros_like(phi))
    rise = there.log_density + volume - here.log_density
    return (moved, there) if rise > -_ROUNDING * max(1.0, abs(here.log_density) * 1e-6) else None


def positive_root(here: Curvature, least: float = 0.0) -> tuple[np.ndarray, float]:
    """Computes the Cholesky factor of the information, with as little of the missing left in as makes it positive.

    Args:
        here: Value, gradient and curvature.
        least: Least share of the missing information to leave in.

    Returns:
        L, and the share that was left in: 0 of the observed information, 1 of that with known memberships.
    """
    for share in [least, *(share for share in np.linspace(0.05, 1.0, 20) if share > least)]:
        try:
            return np.linalg.cholesky(here.complete - (1.0 - share) * here.missing), float(share)
        except np.linalg.LinAlgError:
            continue
    return np.linalg.cholesky(_made_positive(here.complete)), 1.0


def _made_positive(matrix: np.ndarray) -> np.ndarray:
    """Turns the directions of a symmetric matrix round in which it is negative, and floors those in which it is 0.

    A prior that learns its scale is not log-concave where components are nearly alike.
    """
    scales = np.sqrt(np.maximum(np.abs(np.diag(matrix)), np.finfo(np.float64).tiny))
    values, vectors = np.linalg.eigh(matrix / np.outer(scales, scales))
    positive = (vectors * np.maximum(np.abs(values), _FLATTEST)) @ vectors.T
    return positive * np.outer(scales, scales)
