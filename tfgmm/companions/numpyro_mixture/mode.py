"""Where chains start: at posterior modes, with the Gaussian that fits the posterior there, or at random."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from tfgmm.companions.numpyro_mixture.densities import Array, Parameters
from tfgmm.companions.numpyro_mixture.model import MarginalModel
from tfgmm.companions.numpyro_mixture.rows import TableOfRows, moments_of
from tfgmm.mixture.starts import distinct_rows, start_locs

import jax  # isort: skip  after `model`, whose error says how to install it
from numpyro.infer.util import potential_energy

# Rows among which starts are chosen, and starts that are followed to their modes.
_SAMPLE, _NUM_STARTS = 20_000, 8
# Step of the differences of gradients that make the Hessian, in units of about a posterior deviation; their error is a
# millionth.
_DIFFERENCE = 1e-3
# Curvatures below this, in the same units, count as none.
_LEAST_CURVATURE = 1e-6
_NEVER = 1e30


@dataclasses.dataclass(frozen=True, eq=False)
class Target:
    """The posterior of a model as a function of one vector of P unconstrained coordinates, as NumPyro maps them.

    Args:
        model: Model of the rows.
        rows: Rows (N, D) float64, or `ObservedRows`, on JAX's device.
    """

    model: MarginalModel
    rows: Array

    potential: Callable[[Array, Array], Array] = dataclasses.field(init=False, repr=False)
    value_and_gradient: Callable[[Array, Array], tuple[Array, Array]] = dataclasses.field(init=False, repr=False)
    unconstrained: Callable[[dict[str, Array]], dict[str, Array]] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        # A compiled function within what calls it, so that NumPyro's handlers run once, not in every branch of a tree
        object.__setattr__(self, "potential", jax.jit(self._potential))
        object.__setattr__(self, "value_and_gradient", jax.jit(jax.value_and_grad(self._potential)))
        object.__setattr__(self, "unconstrained", jax.jit(self.model.unconstrained))

    def _potential(self, vector: Array, rows: Array) -> Array:
        return potential_energy(self.model, (rows,), {}, self.split(vector))

    @property
    def num_coordinates(self) -> int:
        """Number of unconstrained coordinates, P."""
        return sum(math.prod(shape) for shape in self.model.coordinate_shapes().values())

    def at(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """Computes minus the log posterior density, nats, up to a constant, and its gradient (P,)."""
        value, gradient = self.value_and_gradient(vector, self.rows)
        return float(value), np.asarray(gradient)

    def split(self, vector: Array) -> dict[str, Array]:
        """Splits one vector (P,) into the unconstrained coordinates of each site."""
        shapes = self.model.coordinate_shapes()
        ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
        return {
            name: vector[end - math.prod(shape) : end].reshape(shape)
            for (name, shape), end in zip(shapes.items(), ends.tolist())
        }

    def joined(self, coordinates: Mapping[str, Any]) -> np.ndarray:
        """Joins the unconstrained coordinates of each site into one vector (P,), in the order of `split`."""
        parts = [np.asarray(coordinates[name], np.float64) for name in self.model.coordinate_shapes()]
        return np.concatenate([part.reshape(-1) for part in parts])

    def parameters(self, vectors: Array) -> Parameters:
        """Computes the parameters of the mixture at each of S vectors, (S, P)."""

        def at_one(vector: Array) -> Parameters:
            return self.model.parameters(self.model.constrained(self.split(vector)))

        return jax.jit(jax.vmap(at_one))(vectors)


class Gaussian(NamedTuple):
    """Coordinates `offset + factor @ z` (P,): for standard normal z, draws from an approximation of the posterior."""

    offset: np.ndarray
    factor: np.ndarray


class _Start(NamedTuple):
    """Coordinates (P,), and the widths there in which the posterior looks alike in all directions, (P,)."""

    vector: np.ndarray
    widths: np.ndarray


class _Optimum(NamedTuple):
    """Where a start led: coordinates (P,), the potential there, and the widths of the start (P,)."""

    vector: np.ndarray
    potential: float
    widths: np.ndarray


def gaussian_at_best_mode(target: Target, rows: TableOfRows, seed: int, progress: bool = False) -> Gaussian:
    """Finds the best mode that starts by k-means++ lead to: Returns the Laplace approximation there.

    A component that shrinks onto one row makes the density grow without end, and there is no mode. So the best of the
    starts that ended at a maximum is taken.

    Args:
        target: Posterior.
        rows: Rows, N of them.
        seed: Seed of k-means++.
        progress: Whether a bar is shown on stderr, where that is a terminal.

    Warns:
        UserWarning: no start ended at a maximum.
    """
    generator = np.random.default_rng(seed)
    sample = _sample_of(rows, generator)
    centre, num_components = rows.moments()[0], target.model.num_components
    distinct = distinct_rows(sample.values - centre)
    num_starts = 1 if num_components == 1 else _NUM_STARTS
    optima = []
    seeds = generator.integers(2**31, size=num_starts).tolist()
    for own_seed in tqdm(seeds, desc="posterior mode", unit="start", disable=None if progress else True):
        locs = centre + start_locs("k-means++", distinct, num_components, centre, own_seed, is_distinct=True)
        optima.append(_optimum_from(target, _start(target, sample, locs)))
    optima.sort(key=lambda optimum: optimum.potential)
    for optimum in optima:
        gaussian, is_maximum = _laplace(target, optimum)
        if is_maximum:
            return gaussian
    warnings.warn(
        "no start led to a maximum of the posterior: a component shrinks without end, or the rows do not determine it. "
        "Look for constant columns and repeated rows, ask for fewer components, or pass a scale_prior that leaves "
        "nothing near 0, such as LogNormal.",
        stacklevel=6,  # the caller of sample_nuts
    )
    return _laplace(target, optima[0])[0]


def gaussian_near(target: Target, rows: TableOfRows, locs: np.ndarray, seed: int) -> Gaussian:
    """Finds the mode that component locations (K, D), data units, lead to: Returns the Laplace approximation there."""
    sample = _sample_of(rows, np.random.default_rng(seed))
    return _laplace(target, _optimum_from(target, _start(target, sample, locs)))[0]


class _Sample(NamedTuple):
    """Rows (n, D) without gaps, their weights (n,), or None, and the sum of the weights of all rows."""

    values: np.ndarray
    weights: np.ndarray | None
    total_weight: float


def _sample_of(rows: TableOfRows, generator: np.random.Generator) -> _Sample:
    values, weights = rows.filled(), rows.block.weights
    if len(values) > _SAMPLE:
        chosen = generator.choice(len(values), _SAMPLE, replace=False)
        values, weights = values[chosen], None if weights is None else weights[chosen]
    return _Sample(values, weights, rows.total_weight)


def _start(target: Target, sample: _Sample, locs: np.ndarray) -> _Start:
    """Computes coordinates from the weights, means and scales of the rows that are nearest to each location."""
    model, rows = target.model, sample.values
    if model.ordered:
        locs = locs[np.argsort(locs[:, 0], kind="stable")]
    spread = moments_of(rows, sample.weights)[1]
    spread = np.where(spread > 0, spread, np.maximum(1e-3 * np.abs(rows).max(axis=0), 1e-300) if rows.any() else 1.0)
    squares = np.stack([np.square((rows - loc) / spread).sum(axis=1) for loc in locs], axis=1)
    member = np.eye(len(locs))[squares.argmin(axis=1)]
    if sample.weights is not None:
        member *= sample.weights[:, None]
    counts = member.sum(axis=0)
    variances = np.stack([own @ np.square(rows - loc) for own, loc in zip(member.T, locs)])
    # As if each component had one more row at the spread of all rows, so that none is empty or has no width
    scales = np.sqrt((variances + 0.01 * np.square(spread)) / (counts[:, None] + 0.01))
    weights = (counts + 1) / (counts + 1).sum()
    if model.ordered:  # equal locations would have no logarithm of their distance
        locs = locs.copy()
        locs[:, 0] += 1e-3 * spread[0] * np.arange(len(locs)) / len(locs)
    values = model.values(weights, locs, scales)
    vector = target.joined(target.unconstrained(values))
    of_all_rows = (counts + 1) * (sample.total_weight / counts.sum())
    return _Start(vector, target.joined(posterior_widths(model, scales, of_all_rows)))


def posterior_widths(model: MarginalModel, scales: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """Estimates the posterior deviation of each coordinate, as if the components were well apart.

    In such units the posterior looks alike in all directions, so that the first step does not lead to another mode.
    """
    shares = 1 / np.sqrt(counts)
    errors = scales * shares[:, None]
    widths = {
        "weights": shares[:-1],
        "locs": errors,
        "first_locs": np.concatenate([errors[:1, 0], shares[1:]]),
        "other_locs": errors[:, 1:],
    }
    others = {
        name: np.broadcast_to(shares.reshape(-1, *[1] * (len(shape) - 1)), shape)
        for name, shape in model.coordinate_shapes().items()
        if name not in widths
    }
    widths |= others
    return {name: widths[name].reshape(shape) for name, shape in model.coordinate_shapes().items()}


def _optimum_from(target: Target, start: _Start) -> _Optimum:
    """Minimises the potential by BFGS, in coordinates that are alike in width: Returns the optimum."""
    from scipy.optimize import minimize

    def scaled(steps: np.ndarray) -> tuple[float, np.ndarray]:
        potential, gradient = target.at(start.vector + start.widths * steps)
        if not (math.isfinite(potential) and np.isfinite(gradient).all()):
            return _NEVER, np.zeros_like(gradient)  # too far: the line search turns back
        return potential, start.widths * gradient

    result = minimize(scaled, np.zeros_like(start.vector), jac=True, method="BFGS", options={"maxiter": 1_000})
    return _Optimum(start.vector + start.widths * result.x, float(result.fun), start.widths)


def _laplace(target: Target, optimum: _Optimum) -> tuple[Gaussian, bool]:
    """Computes the Gaussian with the curvature of the posterior at an optimum, and whether that is a maximum.

    The Hessian comes from differences of the compiled gradient, whose derivatives would take a second compilation.
    """
    size = len(optimum.vector)
    hessian = np.empty((size, size))
    for index in range(size):
        step = np.zeros(size)
        step[index] = _DIFFERENCE * optimum.widths[index]
        ahead, behind = target.at(optimum.vector + step)[1], target.at(optimum.vector - step)[1]
        hessian[index] = optimum.widths * (ahead - behind) / (2 * _DIFFERENCE)
    if not np.isfinite(hessian).all():
        return Gaussian(optimum.vector, np.diag(optimum.widths)), False
    curvatures, directions = np.linalg.eigh((hessian + hessian.T) / 2)
    is_maximum = bool(curvatures[0] > _LEAST_CURVATURE) if size else True
    sizes = 1 / np.sqrt(np.where(curvatures > _LEAST_CURVATURE, curvatures, 1.0))
    return Gaussian(optimum.vector, optimum.widths[:, None] * directions * sizes), is_maximum


def dispersed(target: Target, gaussian: Gaussian, generator: np.random.Generator) -> np.ndarray:
    """Draws standard coordinates z (P,) from the Gaussian, where the posterior density is not far lower.

    Where the posterior has thinner tails than the Gaussian, a draw is moved nearer to the middle.
    """
    z = generator.standard_normal(len(gaussian.offset))
    lowest = target.at(gaussian.offset)[0]
    for _ in range(50):
        potential, gradient = target.at(gaussian.offset + gaussian.factor @ z)
        if potential - lowest < 0.5 * z @ z + 20.0 and np.isfinite(gradient).all():
            return z
        z = z / 2
    return np.zeros_like(z)


def anywhere(target: Target, generator: np.random.Generator) -> np.ndarray:
    """Draws coordinates (P,), each uniform in (-2, 2), as NumPyro does, until the density is finite there.

    Raises:
        FloatingPointError: the density is finite at none of 100 draws.
    """
    for _ in range(100):
        vector = generator.uniform(-2.0, 2.0, target.num_coordinates)
        potential, gradient = target.at(vector)
        if math.isfinite(potential) and np.isfinite(gradient).all():
            return vector
    raise FloatingPointError(
        "the posterior density is not finite at any of 100 random starts. Look at the priors and the units of `data`, "
        'or take start="mode".'
    )
