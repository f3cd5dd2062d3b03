"""Hamiltonian chains side by side, in coordinates in which the target is roughly a standard normal.

Source: Neal 2011, "MCMC using Hamiltonian dynamics"; many short chains that share their steps, as in Hoffman and
Sountsov 2022, "Tuning-free generalized Hamiltonian Monte Carlo".
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from tfgmm.common import checks
from tfgmm.common.threads import one_thread_each
from tfgmm.posterior import FEWEST_DRAWS

DensityAndGradient = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

MOST_STEPS = 40  # of a path
# A path of pi / 2 on a standard normal forgets its start, one of pi ends opposite to it. Measured: at 1.8, means and
# standard deviations are known equally well. Chance keeps paths off resonances.
_LENGTH, _SPREAD_OF_LENGTHS, _SPREAD_OF_STEPS = 1.8, 0.3, 0.1
_WANTED_ACCEPTANCE, _GAIN = 0.8, 0.5
# Harmonic mean, of probabilities held above the least: on a normal it is 0.7 where the mean is 0.8. One chain of 64
# that is stuck where the target is narrow halves it, though it hardly moves the mean.
_WANTED_HARMONIC, _LEAST_PROBABILITY = 0.7, 0.01
_SHORTEST_STAGE = 4  # paths of warm-up between two measurements of the covariance, below which there is none
_DRAWS_PER_COORDINATE = 2.0  # for which the covariance of the draws and the identity count alike
# Energy that a path may gain, nats, and the largest slope: a path beyond them is lost
_MOST_ENERGY, _STEEPEST = 1_000.0, 1e100


@dataclasses.dataclass(frozen=True, eq=False)
class Chains:
    """What the chains have visited since the warm-up.

    Args:
        xi: Draws of C chains, (C, S, P) float64, whitened coordinates.
        acceptance: Mean probability with which the end of a path was accepted, between 0 and 1.
        step: Step of the paths, in coordinates that the warm-up has whitened again.
        num_gradients: Calls of the density so far, the warm-up included; each is for C points.
    """

    xi: np.ndarray
    acceptance: float
    step: float
    num_gradients: int


class _Places(NamedTuple):
    """Where the chains are: xi and gradient (C, P), log density (C,)."""

    xi: np.ndarray
    log_density: np.ndarray
    gradient: np.ndarray

    def where(self, is_new: np.ndarray, new: _Places) -> _Places:
        """Moves the chains that `is_new`, (C,), names to their new places."""
        column = is_new[:, None]
        return _Places(
            np.where(column, new.xi, self.xi),
            np.where(is_new, new.log_density, self.log_density),
            np.where(column, new.gradient, self.gradient),
        )


class _Motion(NamedTuple):
    """How chains move: their step, and the root of the covariance that it is measured by, (P, P) lower triangular."""

    step: float
    root: np.ndarray
    most_steps: int


class _Counted:
    """The density, which counts how often it is asked.

    Args:
        log_density_and_gradient: As in `chains`.
    """

    def __init__(self, log_density_and_gradient: DensityAndGradient) -> None:
        self.log_density_and_gradient, self.num_calls = log_density_and_gradient, 0

    def __call__(self, xi: np.ndarray) -> _Places:
        self.num_calls += 1
        log_density, gradient = self.log_density_and_gradient(xi)
        return _Places(xi, np.asarray(log_density, np.float64), np.asarray(gradient, np.float64))


def chains(
    log_density_and_gradient: DensityAndGradient,
    starts: np.ndarray,
    generator: np.random.Generator,
    *,
    num_warmup: int = 30,
    num_kept: int = 40,
    most_steps: int = MOST_STEPS,
    tell: Callable[[int], object] = lambda num_paths: None,
) -> Iterator[Chains]:
    """Moves C Hamiltonian chains, and yields what they have visited after each `num_kept` paths.

    All chains share the length and the steps of a path, so that every step is one call of the density with C points.
    The warm-up fits the step so that about 0.8 of the paths are accepted, and no chain is stuck, and twice measures the
    covariance of all chains, in whose coordinates paths go on; after it nothing is fitted any more. The caller decides
    when to stop.

    Args:
        log_density_and_gradient: Computes log densities, (C,), nats, up to a constant, and their gradients, (C, P), at
            the points xi, (C, P) float64. Where one is not finite, the path is rejected.
        starts: Where the chains start, (C, P); best drawn roughly from the target. The density must be finite there.
        generator: Where chance comes from: all draws follow from its state.
        num_warmup: Paths of the warm-up, which are not kept.
        num_kept: Paths between two results.
        most_steps: Most steps of a path. So the first result takes at most 1 + (num_warmup + num_kept) most_steps
            calls of the density, and each later one num_kept most_steps.
        tell: Called after each path with the number of paths so far.

    Returns:
        Results without end, each with all draws since the warm-up.

    Raises:
        ValueError: If an argument is out of its range, or the density is not finite at a start.

    Example:

    >>> from tfgmm.posterior import bulk_sizes, r_hats
    >>> generator = np.random.default_rng(0)
    >>> normal = lambda xi: (-0.5 * np.square(xi).sum(axis=1), -xi)
    >>> found = next(chains(normal, generator.normal(size=(64, 3)), generator))
    >>> found.xi.shape, (r_hats(found.xi) < 1.05).tolist(), (bulk_sizes(found.xi) > 400).tolist()
    ((64, 40, 3), [True, True, True], [True, True, True])
    """
    starts = np.array(starts, np.float64)
    _check(starts, num_warmup, num_kept, most_steps)
    density = _Counted(log_density_and_gradient)
    places = density(starts)
    _check_density(_is_usable(places))
    paths = _Paths(density, places, generator, tell)
    return _results(paths, num_warmup, num_kept, most_steps)


def _check(starts: np.ndarray, num_warmup: int, num_kept: int, most_steps: int) -> None:
    if starts.ndim != 2 or not starts.size or not np.isfinite(starts).all():
        raise ValueError(
            f"`starts` must be finite numbers, one row for each chain, (C, P). Received: shape {starts.shape}"
            f"{'' if np.isfinite(starts).all() else ', NaN or infinite ones among them'}. Pass points of the target."
        )
    checks.check_count("num_warmup", num_warmup, least=0)
    checks.check_count("num_kept", num_kept, least=FEWEST_DRAWS)
    checks.check_count("most_steps", most_steps)


def _check_density(is_usable: np.ndarray) -> None:
    if not is_usable.all():
        raise ValueError(
            "`starts` must be where the density and its gradient are finite. Received: "
            f"{np.count_nonzero(~is_usable):,} of {len(is_usable):,} where they are not. Start elsewhere."
        )


def _first_step(num_coordinates: int) -> float:
    """Returns a step whose ends are mostly accepted where the target is a standard normal."""
    return float(num_coordinates**-0.25)


class _Paths:
    """The chains on their way: where they are, and all that a path needs.

    Args:
        density: The density that is asked.
        places: Where the chains start.
        generator: Where chance comes from.
        tell: Called after each path with the number of paths so far.
    """

    def __init__(
        self, density: _Counted, places: _Places, generator: np.random.Generator, tell: Callable[[int], object]
    ) -> None:
        self.density, self.places, self.generator, self.tell = density, places, generator, tell
        self.num_paths = 0

    def go(self, motion: _Motion) -> np.ndarray:
        """Moves each chain to the end of a path, or leaves it; returns the probabilities of going, (C,)."""
        of_length, of_step = self.generator.uniform(-1.0, 1.0, 2)
        length, longest = 1 + _SPREAD_OF_LENGTHS * of_length, motion.step * (1 + _SPREAD_OF_STEPS * of_step)
        num_steps = _num_steps(longest, length, motion.most_steps)
        step = min(longest, _LENGTH * length / num_steps)  # ends where it should
        momenta = self.generator.standard_normal(self.places.xi.shape)
        thresholds = np.log1p(-self.generator.random(len(momenta)))
        ends, gains = _end_of_path(self.density, self.places, momenta, step * motion.root, num_steps)
        self.places = self.places.where(thresholds < -gains, ends)
        self.num_paths += 1
        self.tell(self.num_paths)
        probabilities: np.ndarray = np.exp(np.minimum(-gains, 0.0))
        return probabilities


def _results(paths: _Paths, num_warmup: int, num_kept: int, most_steps: int) -> Iterator[Chains]:
    num_coordinates = paths.places.xi.shape[1]
    start = _Motion(_first_step(num_coordinates), np.eye(num_coordinates), most_steps)
    with one_thread_each():  # a product is rounded by how many threads share it
        motion = _warmed_up(paths, start, num_warmup)
    kept, acceptances = [], []
    while True:
        with one_thread_each():
            for _ in range(num_kept):
                acceptances.append(paths.go(motion).mean())
                kept.append(paths.places.xi)
        xi = np.stack(kept, axis=1)
        yield Chains(xi, float(np.mean(acceptances)), motion.step, paths.density.num_calls)


def _num_steps(step: float, length: float, most_steps: int) -> int:
    """Computes the steps of a path whose length is this many times the usual one."""
    return max(1, min(math.ceil(_LENGTH * length / step), most_steps))


def _warmed_up(paths: _Paths, motion: _Motion, num_warmup: int) -> _Motion:
    """Moves the chains along the paths of the warm-up; returns the motion that suits them.

    Source: Hoffman, Radul and Sountsov 2021, "An adaptive-MCMC scheme for setting trajectory lengths in Hamiltonian
    Monte Carlo", for the harmonic mean. Over the chains it is steady enough to follow it at a constant gain.
    """
    stage = num_warmup // 3
    ends_of_stages = (stage, 2 * stage) if stage >= _SHORTEST_STAGE else ()
    visited: list[np.ndarray] = []
    for path in range(1, num_warmup + 1):
        excess = _excess_acceptance(paths.go(motion), motion)
        motion = motion._replace(step=motion.step * math.exp(_GAIN * excess))
        visited.append(paths.places.xi)
        if path in ends_of_stages:
            is_first = path == stage
            root = _pooled_root(np.concatenate(visited[-(stage // 2) :] if is_first else visited))
            motion = motion._replace(root=root, step=_first_step(len(root)) if is_first else motion.step)
            visited = []
    return motion


def _excess_acceptance(probabilities: np.ndarray, motion: _Motion) -> float:
    """Computes by how much more is accepted than is wanted, so that steps may grow; negative where they must shrink.

    Where steps are so short that paths are cut, the mean counts alone: an edge of the target rejects at any step.
    """
    if motion.step * motion.most_steps < _LENGTH:
        return float(probabilities.mean()) - _WANTED_ACCEPTANCE
    return float(1.0 / np.mean(1.0 / np.maximum(probabilities, _LEAST_PROBABILITY))) - _WANTED_HARMONIC


def _pooled_root(draws: np.ndarray) -> np.ndarray:
    """Computes the Cholesky factor of the covariance of draws, (n, P), drawn towards the identity where n is small."""
    num_draws, num_coordinates = draws.shape
    trust = num_draws / (num_draws + _DRAWS_PER_COORDINATE * num_coordinates)
    centred = draws - draws.mean(axis=0)
    covariance = trust / num_draws * (centred.T @ centred)
    return np.linalg.cholesky(covariance + (1.0 - trust) * np.eye(num_coordinates))


def _end_of_path(
    density: _Counted, places: _Places, momenta: np.ndarray, scale: np.ndarray, num_steps: int
) -> tuple[_Places, np.ndarray]:
    """Follows the paths, by leapfrog; returns their ends, and what energy each has gained, (C,) nats.

    Paths that get lost gain infinitely much; they wait at their starts, so that the density is asked for finite points.
    `scale` is the step times the root.
    """
    energies = _energies(places, momenta)
    is_lost = np.zeros(len(momenta), dtype=bool)
    ends, gains, half_kicks = places, np.zeros(len(momenta)), 0.5 * places.gradient @ scale
    for _ in range(num_steps):
        halfway = momenta + half_kicks
        ends = density(ends.xi + halfway @ scale.T)
        is_usable = _is_usable(ends)
        half_kicks = 0.5 * np.where(is_usable[:, None], ends.gradient, 0.0) @ scale
        momenta = halfway + half_kicks
        gains = _energies(ends, momenta) - energies
        is_lost |= ~is_usable | ~(gains < _MOST_ENERGY)
        ends = ends.where(is_lost, places)
        momenta, half_kicks = (np.where(is_lost[:, None], 0.0, values) for values in (momenta, half_kicks))
    return ends, np.where(is_lost, np.inf, gains)


def _is_usable(places: _Places) -> np.ndarray:
    """Tells where density and gradient are finite, (C,), with a gradient whose square is finite too."""
    return np.isfinite(places.log_density) & (np.abs(places.gradient) < _STEEPEST).all(axis=1)


def _energies(places: _Places, momenta: np.ndarray) -> np.ndarray:
    return 0.5 * np.square(momenta).sum(axis=1) - places.log_density
