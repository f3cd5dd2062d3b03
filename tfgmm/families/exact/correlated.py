"""Locations and precision matrices near a reference; see `coordinates`.

delta (K, D); then t (M, D) and T_ab, a < b by rows, (M, D (D - 1) / 2), for M = K precision matrices, or 1. With
y = U (x - mu^), log Normal = log |U| + sum_a t_a - D/2 log 2 pi - 1/2 |T y - delta|^2.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfgmm.families import triangular
from tfgmm.families.correlated import CorrelatedComponents, CorrelatedDraws
from tfgmm.families.exact import coupling
from tfgmm.mixture.features import matrices_of_products
from tfgmm.mixture.parameters import Parameters


class CorrelatedPoint:
    """A reference of correlated columns.

    Args:
        family: The components, with their priors.
        centre: (D,) what locations are measured from.
        locs: mu^, (K, D).
        roots: U, (K or 1, D, D), upper triangular.
    """

    def __init__(self, family: CorrelatedComponents, centre: np.ndarray, locs: np.ndarray, roots: np.ndarray) -> None:
        self.family, self.centre, self.locs, self.roots = family, centre, locs, roots
        self._num_locs, self._num_precisions, self._size = locs.size, len(roots), locs.shape[1]
        self._above = np.triu_indices(self._size, 1)
        self._num_above = len(self._above[0])
        self._ends = self._num_locs + self._num_precisions * self._size
        self.num_coordinates = self._ends + self._num_precisions * self._num_above
        self._inverses, self._log_determinants = np.linalg.inv(roots), np.linalg.slogdet(roots)[1]
        row_variance: Any = 0.0
        if family.row_variance is not None:
            row_variance = roots @ family.row_variance @ triangular.transposed(roots)
        self._row_variance = np.broadcast_to(row_variance, roots.shape)

    @classmethod
    def at(cls, family: CorrelatedComponents, centre: np.ndarray, components: Parameters) -> CorrelatedPoint:
        """Makes the reference at these parameters, with upper triangular whiteners: another root has another mode."""
        whiteners = np.asarray(components["whiteners"])
        roots = np.linalg.cholesky(triangular.transposed(whiteners) @ whiteners)
        return cls(family, centre, np.asarray(components["locs"]), triangular.transposed(roots))

    def _parts(self, phi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Takes apart coordinates (S, P): delta (S, K, D), and T (S, K or 1, D, D)."""
        of_matrices = len(phi), self._num_precisions
        deltas = phi[:, : self._num_locs].reshape(-1, *self.locs.shape)
        factors = np.zeros((*of_matrices, self._size, self._size))
        columns = np.arange(self._size)
        factors[..., columns, columns] = np.exp(phi[:, self._num_locs : self._ends].reshape(*of_matrices, self._size))
        factors[..., *self._above] = phi[:, self._ends :].reshape(*of_matrices, self._num_above)
        return deltas, factors

    def _joined(self, of_locs: np.ndarray, of_diagonals: np.ndarray, of_factors: np.ndarray) -> np.ndarray:
        """Puts gradients together, (S, P): of delta, of t (S, K, D) and of T (S, K, D, D), added where T is shared."""
        size, above = len(of_locs), of_factors[..., *self._above]
        if self.family.is_tied:
            of_diagonals, above = of_diagonals.sum(axis=1), above.sum(axis=1)
        return np.concatenate([part.reshape(size, -1) for part in (of_locs, of_diagonals, above)], axis=1)

    def are_near(self, phi: np.ndarray, farthest: float) -> np.ndarray:
        """Tells which phi have precisions near those of the reference, (S,) bool."""
        return (np.abs(phi[..., self._num_locs : self._ends]) <= farthest).all(axis=-1)

    def drawn(self, phi: np.ndarray) -> CorrelatedDraws:
        """Turns coordinates (S, P) into parameters."""
        deltas, factors = self._parts(phi)
        steps = triangular.times(self._inverses, triangular.times(_inverse(factors), deltas))
        logarithms = phi[:, self._num_locs : self._ends].reshape(len(phi), self._num_precisions, self._size)
        return CorrelatedDraws(
            self.locs + steps, factors @ self.roots, logarithms.sum(axis=-1) + self._log_determinants
        )

    def rebased(self, phi: np.ndarray) -> CorrelatedPoint:
        """Makes the reference at phi, (P,)."""
        drawn = self.drawn(phi[None])
        return CorrelatedPoint(self.family, self.centre, drawn.locs[0], drawn.whiteners[0])

    def log_volume(self, phi: np.ndarray, drawn: CorrelatedDraws) -> np.ndarray:
        """Computes log |d parameters / d phi|, (S,).

        Lambda = U' W U with W = T' T: |d Lambda / d W| = |U|^(D + 1), |d W / d T| = 2^D prod_a T_aa^(D + 1 - a),
        d T_aa = T_aa dt_a; and |d mu / d delta| = 1 / |T U|.
        """
        logarithms = phi[:, self._num_locs : self._ends].reshape(len(phi), self._num_precisions, self._size)
        powers = self._size + 1.0 - np.arange(self._size)
        of_each = (powers * logarithms).sum(axis=-1) + (self._size + 1.0) * self._log_determinants
        constant = self._num_precisions * self._size * math.log(2.0)
        shares = len(self.locs) // self._num_precisions
        return of_each.sum(axis=-1) + constant - shares * drawn.log_determinants.sum(axis=-1)

    def prior_gradient(self, phi: np.ndarray, drawn: CorrelatedDraws) -> np.ndarray:
        """Computes the gradient of the log prior of the components with this volume, (S, P)."""
        deltas, factors = self._parts(phi)
        inverses = _inverse(factors)
        loc_precision, degrees, inverse_scale = self.family.expected_priors_at(drawn, self.centre)
        pull = -triangular.times(loc_precision, drawn.locs - (self.family.loc_mean - self.centre))
        whitened = triangular.times(triangular.transposed(self._inverses), pull)
        of_locs = triangular.times(triangular.transposed(inverses), whitened)
        from_locs = -of_locs[..., :, None] * triangular.times(inverses, deltas)[..., None, :]
        matrices = self.roots @ inverse_scale @ triangular.transposed(self.roots)
        from_scales = -factors @ matrices
        shares = len(self.locs) // self._num_precisions
        of_factors = from_locs + from_scales / shares  # which is added up over all that share it
        diagonals = triangular.diagonal(factors) * triangular.diagonal(of_factors)
        lead = (np.asarray(degrees)[..., None] - np.arange(self._size)) / shares - 1.0
        return self._joined(of_locs, diagonals + lead, of_factors)

    def prior_information(self) -> np.ndarray:
        """Computes minus the second derivatives at 0 of the log prior with this volume, (P, P)."""
        drawn = self.drawn(np.zeros((1, self.num_coordinates)))
        loc_precision, _, inverse_scale = self.family.expected_priors_at(drawn, self.centre)
        shape = self.locs.shape[0], self._size, self._size
        transposed = triangular.transposed(self._inverses)
        away = self.locs - (self.family.loc_mean - self.centre)
        precisions = np.broadcast_to(loc_precision, (1, *shape))[0]
        of_locs = np.broadcast_to(transposed @ precisions @ self._inverses, shape)
        pulls = np.broadcast_to(triangular.times(transposed, -triangular.times(precisions, away)), away.shape)
        scales = np.reshape(inverse_scale, (-1, self._size, self._size))
        matrices = self.roots @ scales @ triangular.transposed(self.roots)
        information = np.zeros((self.num_coordinates,) * 2)
        for component in range(len(self.locs)):
            own = np.zeros((2 * self._size + self._num_above,) * 2)
            own[: self._size, : self._size] = of_locs[component]
            self._cross(own, pulls[component])
            places = np.concatenate(self.places(component))
            information[np.ix_(places, places)] += own
        for number in range(self._num_precisions):
            places = np.concatenate(self.places(number)[1:])
            information[np.ix_(places, places)] += self._of_factors(matrices[number])
        self._couple(information, away)
        return information

    def _cross(self, own: np.ndarray, pull: np.ndarray) -> None:
        """Writes what delta and T share through the location: delta_a with t_a: h_a; delta_b with T_ab: h_a."""
        rows, columns = self._above
        locs, others = np.arange(self._size), 2 * self._size + np.arange(self._num_above)
        own[locs, self._size + locs] = own[self._size + locs, locs] = pull
        own[columns, others] = own[others, columns] = pull[rows]

    def _of_factors(self, matrix: np.ndarray) -> np.ndarray:
        """Lays out C: t_a with itself 2 C_aa, t_a with T_ab C_ab, T_ab with T_ac C_bc."""
        rows, columns = self._above
        own = np.zeros((self._size + self._num_above,) * 2)
        diagonals, others = np.arange(self._size), self._size + np.arange(self._num_above)
        own[diagonals, diagonals] = 2.0 * np.diag(matrix)
        own[rows, others] = own[others, rows] = matrix[rows, columns]
        own[np.ix_(others, others)] = (rows[:, None] == rows) * matrix[np.ix_(columns, columns)]
        return own

    def _couple(self, information: np.ndarray, away: np.ndarray) -> None:
        """Takes what components have in common through what the prior learns from them."""
        family, number = self.family, self._num_locs
        if family.learned_locs is not None:
            pulled = triangular.times(family.prior_loc_precision, away)
            slope = 2.0 * triangular.times(triangular.transposed(self._inverses), pulled).ravel()
            second = coupling.of_locations(family.learned_locs, float((away * pulled).sum()))
            information[:number, :number] -= second * np.outer(slope, slope)
        if family.learned is not None:
            total = (triangular.transposed(self.roots) @ self.roots).sum(axis=0)
            seconds = coupling.of_matrices(family.learned, total, 2.0 * float(self._log_determinants.sum()))
            slopes = self._slopes()
            information[number:, number:] -= slopes.T @ seconds @ slopes

    def _slopes(self) -> np.ndarray:
        """Computes derivatives of T and of the entries of S in t and T_ab, (1 + D (D + 1) / 2, M D (D + 1) / 2)."""
        above, every = self._above, np.triu_indices(self._size)
        roots = self.roots  # d S / d t_a = 2 u_a u_a', d S / d T_ab = u_a u_b' + u_b u_a', with rows u of U
        of_diagonals = 2.0 * roots[:, :, every[0]] * roots[:, :, every[1]]
        first, second = roots[:, above[0]], roots[:, above[1]]
        of_factors = first[..., every[0]] * second[..., every[1]] + second[..., every[0]] * first[..., every[1]]
        parts = [part.reshape(-1, len(every[0])).T for part in (of_diagonals, of_factors)]
        twos = np.repeat([[2.0, 0.0]], [parts[0].shape[1], parts[1].shape[1]], axis=1)
        return np.concatenate([twos, np.concatenate(parts, axis=1)])

    def _whitened(self, sums: Any) -> tuple[np.ndarray, np.ndarray]:
        """Computes the sums of y, (S, K, D), and of y y', (S, K, D, D)."""
        first = triangular.times(self.roots, sums.first - sums.observed * self.locs)
        cross = sums.first[..., :, None] * self.locs[..., None, :]
        squares = matrices_of_products(sums.second, self._size) - cross - triangular.transposed(cross)
        squares += sums.counts[..., None, None] * (self.locs[..., :, None] * self.locs[..., None, :])
        second = self.roots @ squares @ triangular.transposed(self.roots)
        return first, second + sums.counts[..., None, None] * self._row_variance

    def row_gradient(self, phi: np.ndarray, sums: Any) -> np.ndarray:
        """Computes the gradient of the log likelihood, (S, P); see `Coordinates.row_gradient`."""
        deltas, factors = self._parts(phi)
        first, second = self._whitened(sums)
        of_locs = triangular.times(factors, first) - sums.observed * deltas
        of_factors = -(factors @ second - deltas[..., :, None] * first[..., None, :])
        diagonals = triangular.diagonal(factors) * triangular.diagonal(of_factors)
        return self._joined(of_locs, sums.observed + diagonals, of_factors)

    def complete_information(self, sums: Any) -> np.ndarray:
        """Computes the information at 0 with known components, (P, P), from N and the sums of y and y y'.

        delta_a with delta_a: N; with t_a: -sum y_a; with T_ab: -sum y_b. t_a with itself: 2 sum y_a^2; with T_ab:
        sum y_a y_b. T_ab with T_ac: sum y_b y_c.
        """
        first, second = (values[0] for values in self._whitened(sums))
        information, locs = np.zeros((self.num_coordinates,) * 2), np.arange(self._size)
        rows, columns = self._above
        for component in range(len(self.locs)):
            own = np.zeros((2 * self._size + self._num_above,) * 2)
            own[locs, locs] = sums.counts[0, component]
            own[locs, self._size + locs] = own[self._size + locs, locs] = -first[component]
            others = 2 * self._size + np.arange(self._num_above)
            own[rows, others] = own[others, rows] = -first[component, columns]
            own[self._size :, self._size :] = self._of_factors(second[component])
            places = np.concatenate(self.places(component))
            information[np.ix_(places, places)] += own
        return information

    def places(self, component: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lists where delta, t and T_ab of a component stand among the coordinates."""
        matrix = 0 if self._num_precisions == 1 else component
        return (
            component * self._size + np.arange(self._size),
            self._num_locs + matrix * self._size + np.arange(self._size),
            self._ends + matrix * self._num_above + np.arange(self._num_above),
        )

    def scores(self, values: np.ndarray, component: int) -> tuple[np.ndarray, np.ndarray]:
        """Computes the gradient of log Normal(row | k) at 0, (B, p), and where its p numbers stand.

        Args:
            values: (B, D) rows measured from the centre, complete.
            component: k.
        """
        matrix = 0 if self._num_precisions == 1 else component
        away, row_variance = (values - self.locs[component]) @ self.roots[matrix].T, self._row_variance[matrix]
        rows, columns = self._above
        of_squares = 1.0 - np.square(away) - triangular.diagonal(row_variance)
        products = -away[:, rows] * away[:, columns] - row_variance[rows, columns]
        return np.concatenate([away, of_squares, products], axis=1), np.concatenate(self.places(component))


def _inverse(factors: np.ndarray) -> np.ndarray:
    """Inverts upper triangular matrices (..., D, D)."""
    return triangular.transposed(triangular.inverse(triangular.transposed(factors)))
