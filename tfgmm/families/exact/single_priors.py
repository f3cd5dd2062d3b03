"""What one component by itself may be with no row, or with one: drawn, and weighed in coordinates near a reference.

Its precision is from its prior. Its location is from its prior too, or about a row, as far away as its precision says.
Where priors learn their scale, what the components share is drawn for each of them anew, which makes tails heavier.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfgmm.families import log_densities, triangular
from tfgmm.families.exact.coordinates import Coordinates
from tfgmm.families.exact.independent import IndependentPoint
from tfgmm.families.records import Drawn


class SinglePriors:
    """The priors of single components around a reference.

    Args:
        coordinates: Coordinates around the reference.
        rows: (n, D) complete rows, measured from the centre, that a component may have to itself; n may be 0.
    """

    def __init__(self, coordinates: Coordinates, rows: np.ndarray) -> None:
        self._rows = rows
        self._coordinates, point = coordinates, coordinates.point
        self._precisions: Any = (_Columns if isinstance(point, IndependentPoint) else _Matrices)(coordinates)
        family: Any = point.family
        self._mean = family.loc_mean - coordinates.posterior.centre
        is_independent = isinstance(point, IndependentPoint)
        self._root = np.diag(family.loc_scale) if is_independent else family.prior_loc_cholesky
        learned = family.learned_locs
        self._multiples = np.ones(1) if learned is None else learned.precisions**-0.5
        self.are_shared = self._precisions.num_precisions < len(point.locs)

    def places(self, component: int) -> np.ndarray:
        """Lists the coordinates that belong to one component alone, int."""
        own = [] if self.are_shared else [self._precisions.places(component)]
        return np.concatenate([self._of_locs(component), *own])

    def _of_locs(self, component: int) -> np.ndarray:
        num_features = len(self._mean)
        return self._coordinates.num_breaks + component * num_features + np.arange(num_features)

    def draw_into(self, phi: np.ndarray, components: tuple[int, ...], generator: np.random.Generator) -> None:
        """Draws the coordinates of some components from their priors, into phi (S, P); the others are there."""
        if not self.are_shared:
            for component in components:
                phi[:, self._precisions.places(component)] = self._precisions.draw(component, len(phi), generator)
        whiteners = self._precisions.whiteners(self._coordinates.drawn(phi), components)
        for number, component in enumerate(components):
            away = self._locs(whiteners[:, number], generator) - self._coordinates.point.locs[component]
            phi[:, self._of_locs(component)] = triangular.times(whiteners[:, number], away)

    def _locs(self, whiteners: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Draws locations, (S, D): from the prior, and half of them about rows, where there are rows."""
        normals = generator.standard_normal((len(whiteners), len(self._mean)))
        multiples = generator.choice(self._multiples, (len(whiteners), 1))
        locs = self._mean + multiples * (normals @ self._root.T)
        if len(self._rows):
            near = self._rows[generator.integers(len(self._rows), size=len(whiteners))]
            near = near + triangular.times(np.linalg.inv(whiteners), normals)
            locs = np.where(generator.random((len(whiteners), 1)) < 0.5, near, locs)
        return np.asarray(locs)

    def log_densities(self, phi: np.ndarray, drawn: Drawn, components: Sequence[int]) -> np.ndarray:
        """Computes the log density of the coordinates of k components, (S, k) nats, given those that all share.

        Args:
            phi: (S, P).
            drawn: The parameters there.
            components: Their numbers.
        """
        locs = np.asarray(drawn.components.locs)[:, list(components)]
        # d mu / d delta is 1 over the root of the precision
        of_locs = self._log_priors(locs) - self._precisions.log_determinants(drawn, components)
        if len(self._rows):
            away = self._rows - locs[:, :, None]  # (S, k, n, D)
            of_locs = np.logaddexp(of_locs, self._about_rows(self._precisions.squares(drawn, components, away)))
            of_locs -= math.log(2.0)
        if self.are_shared:
            return of_locs
        return of_locs + np.stack([self._precisions.log_density(k, phi, drawn) for k in components], axis=1)

    @property
    def numbers_per_component(self) -> int:
        """Numbers that the density of one component at one point takes."""
        return max(1, len(self._rows)) * len(self._mean)

    def _log_priors(self, locs: np.ndarray) -> np.ndarray:
        """Computes the log prior density of each location, (S, K) nats."""
        away = triangular.times(triangular.inverse(self._root), locs - self._mean)
        squares = np.square(away).sum(axis=-1)[..., None] / np.square(self._multiples)
        of_each = -0.5 * squares - len(self._mean) * np.log(self._multiples)
        constant = 0.5 * len(self._mean) * math.log(2.0 * math.pi) + float(triangular.log_determinants(self._root))
        return np.asarray(np.logaddexp.reduce(of_each, axis=-1) - math.log(len(self._multiples)) - constant)

    def _about_rows(self, squares: np.ndarray) -> np.ndarray:
        """Computes the log density of delta of each location if it is about one of the rows, (S, k) nats.

        Args:
            squares: Squared distances of locations from the rows, in units of the precisions, (S, k, n).
        """
        nearest = squares.min(axis=-1)
        total = np.log(np.exp(-0.5 * (squares - nearest[..., None])).sum(axis=-1)) - 0.5 * nearest
        constant = 0.5 * len(self._mean) * math.log(2.0 * math.pi)
        return np.asarray(total - math.log(len(self._rows)) - constant)


class _Columns:
    """Priors of the precisions of independent columns."""

    def __init__(self, coordinates: Coordinates) -> None:
        point: Any = coordinates.point
        self._family, self._point, self._before = point.family, point, coordinates.num_breaks
        self.num_precisions = self._family.precision_axes[0]
        self._reference = self._own(coordinates.drawn(np.zeros((1, coordinates.num_coordinates))))[0]
        self._law: Any = None if self._family.learned is None else self._family.learned.of_one()

    def _own(self, drawn: Drawn) -> np.ndarray:
        return np.asarray(self._family.own_log_precisions(drawn.components))

    def places(self, component: int) -> np.ndarray:
        """Lists the coordinates of the precisions of one component, int."""
        return self._before + np.unique(self._point.places()[component])

    def _log_precisions(self, drawn: Drawn, chosen: Sequence[int]) -> np.ndarray:
        components: Any = drawn.components
        return np.asarray(components.log_precisions[:, list(chosen)])

    def whiteners(self, drawn: Drawn, chosen: Sequence[int]) -> np.ndarray:
        """Computes roots of the precisions of k components, (S, k, D, D)."""
        logarithms = self._log_precisions(drawn, chosen)
        return np.exp(0.5 * logarithms)[..., None] * np.eye(logarithms.shape[-1])

    def log_determinants(self, drawn: Drawn, chosen: Sequence[int]) -> np.ndarray:
        """Computes log |U| of k components, (S, k)."""
        return np.asarray(0.5 * self._log_precisions(drawn, chosen).sum(axis=-1))

    def squares(self, drawn: Drawn, chosen: Sequence[int], away: np.ndarray) -> np.ndarray:
        """Computes |U v|^2, (S, k, n), of vectors v, (S, k, n, D), by the precisions of k components."""
        precisions = np.exp(self._log_precisions(drawn, chosen))
        return np.asarray((np.square(away) @ precisions[..., None])[..., 0])

    def draw(self, component: int, num_draws: int, generator: np.random.Generator) -> np.ndarray:
        """Draws t, (S, D or 1): half the logarithm of the ratio to the precision of the reference."""
        shape, rate = self._family.precision_shape, self._family.precision_rate
        size = num_draws, self._reference.shape[1]
        if self._law is not None:
            degrees = generator.choice(self._law.degrees, (num_draws, 1))
            half = 0.5 * self._law.hyper_degrees
            scales = generator.gamma(half, self._law.expected / half, size)
            shape, rate = 0.5 * degrees, 0.5 * degrees * scales
        log_gammas = np.log(np.maximum(generator.gamma(shape, size=size), np.finfo(np.float64).tiny))
        return np.asarray(0.5 * (log_gammas - np.log(rate) - self._reference[component]))

    def log_density(self, component: int, phi: np.ndarray, drawn: Drawn) -> np.ndarray:
        """Computes the log density of t of one component, (S,) nats; d tau = 2 tau dt."""
        own = self._own(drawn)[:, [component]]
        volume = (own + math.log(2.0)).sum(axis=(-2, -1))
        if self._law is not None:
            return np.asarray(volume + self._law.log_density_of(np.exp(own), own))
        return volume + log_densities.of_gammas(own, self._family.precision_shape, self._family.precision_rate)


class _Matrices:
    """Priors of precision matrices."""

    def __init__(self, coordinates: Coordinates) -> None:
        self._point: Any = coordinates.point
        self._family: Any = self._point.family
        self._before = coordinates.num_breaks
        self.num_precisions, self._size = len(self._point.roots), self._point.locs.shape[1]
        self._law: Any = None if self._family.learned is None else self._family.learned.of_one()

    def places(self, component: int) -> np.ndarray:
        """Lists the coordinates of the precision matrix of one component, int."""
        _, diagonals, above = self._point.places(component)
        return self._before + np.concatenate([diagonals, above])

    def whiteners(self, drawn: Drawn, chosen: Sequence[int]) -> np.ndarray:
        """Takes U with Lambda = U' U of k components, (S, k, D, D)."""
        components: Any = drawn.components
        return np.broadcast_to(components.whiteners, (*components.locs.shape, self._size))[:, list(chosen)]

    def log_determinants(self, drawn: Drawn, chosen: Sequence[int]) -> np.ndarray:
        """Takes log |U| of k components, (S, k)."""
        components: Any = drawn.components
        return np.broadcast_to(components.log_determinants, components.locs.shape[:2])[:, list(chosen)]

    def squares(self, drawn: Drawn, chosen: Sequence[int], away: np.ndarray) -> np.ndarray:
        """Computes |U v|^2, (S, k, n), of vectors v, (S, k, n, D), by the precisions of k components."""
        whitened = away @ triangular.transposed(self.whiteners(drawn, chosen))
        return np.einsum("...d,...d->...", whitened, whitened)

    def draw(self, component: int, num_draws: int, generator: np.random.Generator) -> np.ndarray:
        """Draws t and T_ab, (S, D + D (D - 1) / 2), of T = U U^-1, in which the second is that of the reference."""
        matrices = self._matrices(num_draws, generator)
        roots = triangular.transposed(np.linalg.cholesky(matrices))
        factors = roots @ np.linalg.inv(self._point.roots[component])
        above = factors[..., *np.triu_indices(self._size, 1)]
        return np.concatenate([np.log(triangular.diagonal(factors)), above], axis=1)

    def _matrices(self, num_draws: int, generator: np.random.Generator) -> np.ndarray:
        if self._law is None:
            inverse_roots = np.broadcast_to(self._family.prior_scale_cholesky, (num_draws, self._size, self._size))
            return wisharts(np.full(num_draws, self._family.prior_degrees), inverse_roots, generator)
        degrees, half = generator.choice(self._law.degrees, num_draws), 0.5 * self._law.hyper_degrees
        columns = generator.gamma(half, np.diag(self._law.expected) / half, (num_draws, self._size))
        scales = columns[..., None] * np.eye(self._size)
        is_matrix = generator.choice([name == "matrix" for name in self._law.structures], num_draws)
        if is_matrix.any():
            before = self._law.hyper_degrees + self._size - 1.0
            inverse = np.linalg.cholesky(before * np.linalg.inv(self._law.expected))
            roots = np.broadcast_to(inverse, (int(is_matrix.sum()), self._size, self._size))
            scales[is_matrix] = wisharts(np.full(len(roots), before), roots, generator)
        return wisharts(degrees, np.linalg.cholesky(degrees[:, None, None] * scales), generator)

    def log_density(self, component: int, phi: np.ndarray, drawn: Drawn) -> np.ndarray:
        """Computes the log density of t and T_ab of one component, (S,) nats; see `CorrelatedPoint.log_volume`."""
        components: Any = drawn.components
        own = components.whiteners[:, [component]], components.log_determinants[:, [component]]
        logarithms = phi[:, self.places(component)[: self._size]]
        volume = ((self._size + 1.0 - np.arange(self._size)) * logarithms).sum(axis=1) + self._size * math.log(2.0)
        volume += (self._size + 1.0) * np.linalg.slogdet(self._point.roots[component])[1]
        if self._law is not None:
            return np.asarray(volume + self._law.log_density_of(*own))
        prior = np.array([self._family.prior_degrees]), self._family.prior_scale_cholesky[None]
        return volume + log_densities.of_wisharts(*own, *prior)


def wisharts(degrees: np.ndarray, inverse_roots: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draws one matrix from each Wishart, (S, D, D), by Bartlett's decomposition.

    Args:
        degrees: (S,).
        inverse_roots: C with W^-1 = C C', (S, D, D).
        generator: Source of the draws.
    """
    size = inverse_roots.shape[-1]
    factors = np.tril(generator.standard_normal(inverse_roots.shape), -1)
    diagonal = np.arange(size)
    squares = generator.chisquare(degrees[:, None] - diagonal)
    factors[:, diagonal, diagonal] = np.sqrt(np.maximum(squares, np.finfo(np.float64).tiny))
    turned = triangular.transposed(triangular.inverse(inverse_roots)) @ factors
    return turned @ triangular.transposed(turned)
