"""The mode of the exact posterior near q, by Newton's steps that fall back on those of EM."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_solve

from tfgmm.families.exact.coordinates import Coordinates
from tfgmm.families.exact.information import Curvature, curvature
from tfgmm.families.exact.target import Target

# Least curvature of a direction that has none, beside that of single coordinates
_FLATTEST = 1e-2
# Squared length of a step, in standard deviations of the posterior, below which the mode is reached; and where passes
# over the rows are cheap, so that digits cost nothing
_NEAR, _CLOSE = 1e-8, 1e-12
_MOST_PASSES = 60
# How much the value may fall by rounding, nats
_ROUNDING = 1e-7
# Length of a step whose value falls, beside the step before it; and of the shortest
_SHORTER, _SHORTEST = 0.4, 1e-4
# Products of numbers for the missing information in one pass over the rows, up to some seconds. Above, steps of EM go
# first, until they are shorter than this, or so many; and what is missing is computed anew only where squared lengths
# shrink by less than this
_CHEAP_WORK, _SHORT, _MOST_OF_EM, _SLOW = 1e11, 1.0, 10, 0.1


class NoModeError(ValueError):
    """Says why the way to a mode was not begun, and `note` says it as a clause.

    Args:
        message: What must be, what was received, and what to do.
        note: Why, as a clause.
    """

    def __init__(self, message: str, note: str) -> None:
        super().__init__(message)
        self.note = note


class Mode(NamedTuple):
    """The exact posterior near its mode: normal, with the inverse of L L' as covariance.

    coordinates: Coordinates around the mode.
    root: L, lower triangular, (P, P), of the information there.
    log_density: log p(rows, mode), nats.
    converged: Whether the steps ended at a mode; if not, they were too many.
    is_exact: Whether they did, and the information is positive definite there; where it is not, it is mixed with that
        of known memberships.
    num_passes: Passes over the rows.
    """

    coordinates: Coordinates
    root: np.ndarray
    log_density: float
    converged: bool
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
    most_work: float = math.inf,
) -> Mode:
    """Climbs from a reference to the mode of the exact posterior near it.

    Args:
        target: The exact posterior.
        coordinates: Coordinates around the start.
        tell: Function that is called before each pass over the rows, with its number.
        most_passes: Passes over the rows, at most; None for 60.
        most_work: Products of numbers for the missing information in one pass, at most.

    Raises:
        NoModeError: The posterior at the start is no finite number, or a pass takes more work.
    """
    climb = _Climb(target, coordinates, tell, most_passes or _MOST_PASSES)
    if climb.here.work > most_work:
        raise NoModeError(
            f"`most_work` must be at least what a pass over the rows takes, {climb.here.work:.1e}. "
            f"Received: {most_work:.1e}. Pass a larger one, or fewer components.",
            "its mode would take too long, which is looked for if you ask for a method by name",
        )
    climb.go()
    return climb.mode()


class _Climb:
    """The way to the mode.

    Args:
        target, coordinates, tell, most_passes: As in `find_mode`.
    """

    def __init__(self, target: Target, coordinates: Coordinates, tell: Callable[[int], None], most_passes: int) -> None:
        self._target, self._tell, self._most_passes, self._num_passes = target, tell, most_passes, 0
        self._of_em, self._coordinates = 0, coordinates
        self.here = self._looked(coordinates, _CHEAP_WORK)
        self._is_costly = self.here.work > _CHEAP_WORK
        # Whether the missing information is that here; one of no size is not known, and zero
        self._is_fresh = not self._is_costly
        if not _is_finite(self.here):
            raise NoModeError(
                "The exact posterior must be finite, with its derivatives, at the means of q. Received: the logarithm "
                f"{self.here.log_density}. Scale the columns to numbers near 1, and fit again.",
                "the exact posterior is no finite number where the fit ended",
            )
        self._root, self._share = positive_root(self.here)

    def _looked(self, coordinates: Coordinates, most_work: float) -> Curvature:
        """Passes over the rows."""
        self._num_passes += 1
        self._tell(self._num_passes)
        with np.errstate(all="ignore"):
            return curvature(self._target, coordinates, most_work)

    def go(self) -> None:
        """Takes steps until one is short enough, or they are too many."""
        close = _NEAR if self._is_costly else _CLOSE
        while self._num_passes < self._most_passes:
            step, length = self._step()
            if length < close and self._is_fresh:
                return
            if length >= close and self._has_moved(step, length):
                self._look_again(length)
            elif not self._is_fresh:
                self._refresh()
            elif length < _NEAR or self._share >= 1.0:  # up to rounding there is no way up
                return
            else:
                self._root, self._share = positive_root(self.here, least=max(2.0 * self._share, 0.05))

    def _step(self) -> tuple[np.ndarray, float]:
        """Computes Newton's step, (P,), and its squared length in standard deviations."""
        step = cho_solve((self._root, True), self.here.gradient)
        return step, float(self.here.gradient @ step)

    def _has_moved(self, step: np.ndarray, length: float) -> bool:
        """Goes this step, or as much of it as the density rises with; tells whether it does."""
        scale = min(1.0, 2.0 * np.sqrt(len(step) / length))
        while scale > _SHORTEST and self._num_passes < self._most_passes:
            if self._has_risen(scale * step):
                return True
            scale *= _SHORTER
        return False

    def _has_risen(self, phi: np.ndarray) -> bool:
        """Moves the reference to phi, if the density there is not less."""
        if not self._coordinates.are_near(phi[None])[0]:
            return False
        moved = self._coordinates.rebased(phi)
        there = self._looked(moved, 0.0 if self._is_costly else math.inf)
        if self._is_costly:
            there = there._replace(missing=self.here.missing)
        # The density of phi at another reference differs by the volume of what is a unit there
        volume = self._coordinates.log_volume(phi) - moved.log_volume(np.zeros_like(phi))
        least = -_ROUNDING * max(1.0, abs(self.here.log_density) * 1e-6)
        if not (there.log_density + volume - self.here.log_density > least and _is_finite(there)):
            return False
        self._coordinates, self.here, self._is_fresh = moved, there, not self._is_costly
        self._root, self._share = positive_root(there)
        return True

    def _look_again(self, before: float) -> None:
        """Computes what is missing anew, after a step of a squared length, where that of long ago leads no further."""
        if self._is_fresh:
            return
        length = self._step()[1]
        if self.here.missing.size > 1:
            if length > _SLOW * before:
                self._refresh()
            return
        self._of_em += 1
        if length < _SHORT or self._of_em >= _MOST_OF_EM:
            self._refresh()

    def _refresh(self) -> None:
        """Computes the missing information at the reference."""
        self.here, self._is_fresh = self._looked(self._coordinates, math.inf), True
        self._root, self._share = positive_root(self.here)

    def mode(self) -> Mode:
        """Describes where the steps ended."""
        if not self._is_fresh:
            self._refresh()
        self._root, self._share = positive_root(self.here)
        converged = self._step()[1] < _NEAR
        is_exact = converged and self._share == 0.0
        return Mode(self._coordinates, self._root, self.here.log_density, converged, is_exact, self._num_passes)


def _is_finite(here: Curvature) -> bool:
    """Tells whether all is finite: sums are not where a number is not."""
    sums = here.log_density, here.gradient.sum(), here.complete.sum(), here.missing.sum()
    return bool(np.isfinite(sums).all())


def positive_root(here: Curvature, least: float = 0.0) -> tuple[np.ndarray, float]:
    """Computes the Cholesky factor of the information, with as little of the missing left in as makes it positive.

    Args:
        here: Value, gradient and curvature.
        least: Least share of the missing information to leave in.

    Returns:
        L, and the share that was left in: 0 of the observed information, 1 of that with known memberships.
    """
    root = _root_with(here, least)
    if root is not None:
        return root, float(least)
    shares = [share for share in np.linspace(0.05, 1.0, 20) if share > least]
    root = _root_with(here, 1.0)
    if root is None:
        return np.linalg.cholesky(_made_positive(here.complete)), 1.0
    # The more is left in, the larger are all eigenvalues
    too_little, enough = -1, len(shares) - 1
    while enough - too_little > 1:
        middle = (too_little + enough) // 2
        found = _root_with(here, shares[middle])
        if found is None:
            too_little = middle
        else:
            enough, root = middle, found
    return root, float(shares[enough]) if shares else 1.0


def _root_with(here: Curvature, share: float) -> np.ndarray | None:
    """Computes the Cholesky factor with this share of the missing information left in; None where there is none."""
    mixed = here.complete - (1.0 - share) * here.missing
    try:
        return np.asarray(np.linalg.cholesky(mixed))
    except np.linalg.LinAlgError:
        return None


def _made_positive(matrix: np.ndarray) -> np.ndarray:
    """Turns the directions of a symmetric matrix round in which it is negative, and floors those in which it is 0.

    A prior that learns its scale is not log-concave where components are nearly alike.
    """
    scales = np.sqrt(np.maximum(np.abs(np.diag(matrix)), np.finfo(np.float64).tiny))
    values, vectors = np.linalg.eigh(matrix / np.outer(scales, scales))
    positive = (vectors * np.maximum(np.abs(values), _FLATTEST)) @ vectors.T
    return positive * np.outer(scales, scales)
