"""Locations and precisions of independent columns near a reference; see `coordinates`.

delta (K, D) and t, (K, D) or 1 long on the axes along which precisions are shared. In a column, with u the root of the
precision there and y = u (x - mu^):

    mu = mu^ + exp(-t) delta / u        tau = u^2 exp(2 t)
    log Normal = log u + t - 1/2 log 2 pi - 1/2 (e^t y - delta)^2
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfgmm.families.exact import coupling
from tfgmm.families.independent import IndependentComponents, IndependentDraws
from tfgmm.mixture.parameters import Parameters


class IndependentPoint:
    """A reference of independent columns.

    Args:
        family: The components, with their priors.
        centre: (D,) what locations are measured from.
        locs: mu^, (K, D).
        roots: u, (K, D), data units.
    """

    def __init__(self, family: IndependentComponents, centre: np.ndarray, locs: np.ndarray, roots: np.ndarray) -> None:
        self.family, self.centre, self.locs, self.roots = family, centre, locs, roots
        self._num_locs, self.precision_axes = locs.size, family.precision_axes
        self.num_coordinates = self._num_locs + math.prod(self.precision_axes)
        self._row_variance = 0.0 if family.row_variance is None else np.square(roots) * family.row_variance

    @classmethod
    def at(cls, family: IndependentComponents, centre: np.ndarray, components: Parameters) -> IndependentPoint:
        """Makes the reference at these parameters."""
        roots = np.sqrt(np.broadcast_to(components["precisions"], family.shape))
        return cls(family, centre, np.asarray(components["locs"]), roots)

    def _parts(self, phi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Takes apart coordinates (S, P): delta (S, K, D), and t (S, K or 1, D or 1)."""
        of_locs, logarithms = phi[..., : self._num_locs], phi[..., self._num_locs :]
        return of_locs.reshape(-1, *self.locs.shape), logarithms.reshape(-1, *self.precision_axes)

    def _joined(self, of_locs: np.ndarray, logarithms: np.ndarray) -> np.ndarray:
        """Puts gradients together, (S, P); those of t, (S, K, D), are added where precisions are shared."""
        pooled = self.family.pooled(np.broadcast_to(logarithms, of_locs.shape))
        return np.concatenate([of_locs.reshape(len(of_locs), -1), pooled.reshape(len(of_locs), -1)], axis=-1)

    def are_near(self, phi: np.ndarray, farthest: float) -> np.ndarray:
        """Tells which phi have precisions near those of the reference, (S,) bool."""
        return (np.abs(phi[..., self._num_locs :]) <= farthest).all(axis=-1)

    def drawn(self, phi: np.ndarray) -> IndependentDraws:
        """Turns coordinates (S, P) into parameters."""
        deltas, logarithms = self._parts(phi)
        locs = self.locs + np.exp(-logarithms) * deltas / self.roots
        return IndependentDraws(locs, 2.0 * (np.log(self.roots) + logarithms))

    def rebased(self, phi: np.ndarray) -> IndependentPoint:
        """Makes the reference at phi, (P,)."""
        drawn = self.drawn(phi[None])
        return IndependentPoint(self.family, self.centre, drawn.locs[0], np.exp(0.5 * drawn.log_precisions[0]))

    def log_volume(self, phi: np.ndarray, drawn: IndependentDraws) -> np.ndarray:
        """Computes log |d parameters / d phi|, (S,): d tau = 2 tau dt, d mu = d delta / root of tau."""
        del phi
        own = self.family.own_log_precisions(drawn)
        of_precisions = (own + math.log(2.0)).sum(axis=(-2, -1))
        return of_precisions - 0.5 * drawn.log_precisions.sum(axis=(-2, -1))

    def prior_gradient(self, phi: np.ndarray, drawn: IndependentDraws) -> np.ndarray:
        """Computes the gradient of the log prior of the components with this volume, (S, P)."""
        deltas, logarithms = self._parts(phi)
        loc_precision, shape, rate = self.family.expected_priors_at(drawn, self.centre)
        pull = -loc_precision * (drawn.locs - (self.family.loc_mean - self.centre))
        of_locs = pull * np.exp(-logarithms) / self.roots
        joined = self._joined(of_locs, -of_locs * deltas - 1.0)
        own = np.exp(self.family.own_log_precisions(drawn))
        joined[:, self._num_locs :] += (2.0 * (shape - rate * own)).reshape(len(joined), -1)
        return joined

    def prior_information(self) -> np.ndarray:
        """Computes minus the second derivatives at 0 of the log prior with this volume, (P, P)."""
        drawn = self.drawn(np.zeros((1, self.num_coordinates)))
        loc_precision, _, rate = self.family.expected_priors_at(drawn, self.centre)
        precisions = np.broadcast_to(loc_precision, (1, *self.locs.shape))[0]
        away, own = self.locs - (self.family.loc_mean - self.centre), np.exp(self.family.own_log_precisions(drawn)[0])
        information = np.zeros((self.num_coordinates,) * 2)
        locs, places = np.arange(self._num_locs), self.places().ravel()
        information[locs, locs] = (precisions / np.square(self.roots)).ravel()
        information[locs, places] = information[places, locs] = (-precisions * away / self.roots).ravel()
        owners = np.arange(self._num_locs, self.num_coordinates)
        information[owners, owners] = (4.0 * rate * own).ravel()
        self._couple(information, away, own)
        return information

    def _couple(self, information: np.ndarray, away: np.ndarray, own: np.ndarray) -> None:
        """Takes what components have in common through what the prior learns from them."""
        family, number = self.family, self._num_locs
        if family.learned_locs is not None:
            scales = family.loc_scale**-2.0
            slope = (2.0 * scales * away / self.roots).ravel()
            second = coupling.of_locations(family.learned_locs, float((scales * np.square(away)).sum()))
            information[:number, :number] -= second * np.outer(slope, slope)
        if family.learned is not None:
            seconds = coupling.of_columns(family.learned, own.sum(axis=0), float(np.log(own).sum()))
            of_columns = np.eye(own.shape[1])[:, None, :] * (2.0 * own)  # (D, K, D)
            slopes = np.concatenate([np.full((1, own.size), 2.0), of_columns.reshape(own.shape[1], -1)])
            information[number:, number:] -= slopes.T @ seconds @ slopes

    def _whitened(self, sums: Any) -> tuple[np.ndarray, np.ndarray]:
        """Computes the sums of y and of y^2, (S, K, D)."""
        first = self.roots * (sums.first - sums.observed * self.locs)
        squares = sums.second - 2.0 * self.locs * sums.first + sums.observed * np.square(self.locs)
        return first, np.square(self.roots) * squares + sums.observed * self._row_variance

    def row_gradient(self, phi: np.ndarray, sums: Any) -> np.ndarray:
        """Computes the gradient of the log likelihood, (S, P); see `Coordinates.row_gradient`."""
        deltas, logarithms = self._parts(phi)
        first, second = self._whitened(sums)
        factors = np.exp(logarithms)
        of_locs = factors * first - sums.observed * deltas
        return self._joined(of_locs, sums.observed - factors * (factors * second - deltas * first))

    def complete_information(self, sums: Any) -> np.ndarray:
        """Computes the information at 0 with known components: N, -sum y, 2 sum y^2 in each column."""
        first, second = (values[0] for values in self._whitened(sums))
        of_locs, places = sums.observed[0].ravel(), self.places().ravel()
        information = np.zeros((self.num_coordinates,) * 2)
        locs = np.arange(self._num_locs)
        information[locs, locs] = of_locs
        information[locs, places] = information[places, locs] = -first.ravel()
        np.add.at(information, (places, places), 2.0 * second.ravel())
        return information

    def places(self) -> np.ndarray:
        """Lists where the t of each component and column stands among the coordinates, (K, D) int."""
        own = np.arange(self._num_locs, self.num_coordinates).reshape(self.precision_axes)
        return np.broadcast_to(own, self.locs.shape)

    def scores(self, values: np.ndarray, component: int) -> tuple[np.ndarray, np.ndarray]:
        """Computes the gradient of log Normal(row | k) at 0, (B, p), and where its p numbers stand.

        Args:
            values: (B, D) rows measured from the centre; a value that is NaN says nothing.
            component: k.
        """
        away = self.roots[component] * (values - self.locs[component])
        row_variance = np.broadcast_to(self._row_variance, self.locs.shape)[component]
        of_squares = np.where(np.isnan(away), 0.0, 1.0 - np.square(away) - row_variance)
        of_locs, num_features = np.where(np.isnan(away), 0.0, away), self.locs.shape[1]
        places = component * num_features + np.arange(num_features)
        if self.family.is_spherical:
            of_squares = of_squares.sum(axis=1, keepdims=True)
        own = self.places()[component][: of_squares.shape[1]]
        return np.concatenate([of_locs, of_squares], axis=1), np.concatenate([places, own])
