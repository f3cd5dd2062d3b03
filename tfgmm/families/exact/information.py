"""The observed information of the exact posterior at the reference: minus the second derivatives of its logarithm.

    I = prior + complete - missing
    missing = sum_i w_i [ sum_k r_ik s_ik s_ik' - g_i g_i' ],        g_i = sum_k r_ik s_ik

with s_ik the gradient of log theta_k Normal(row i | k). Rows that belong to one component miss nothing. Where values
are hidden from rows, by gaps in correlated columns or by noise, the gradient is differenced instead.

Source: Louis 1982, "Finding the observed information matrix when using the EM algorithm", equation 3.1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from tfgmm.families.exact.coordinates import Coordinates, differences
from tfgmm.families.exact.target import Target, added
from tfgmm.mixture.integrands import Coefficients
from tfgmm.mixture.log_joints import exponentials
from tfgmm.mixture.row_groups import RowGroups
from tfgmm.mixture.statistics import RowSums
from tfgmm.mixture.true_values import has_gaps

# Rows that a component has all but this share of say nothing of how memberships are in doubt: of few rows, and of many
_CERTAIN, _CERTAIN_OF_MANY, _MANY_NUMBERS = 1e-9, 1e-6, 1e10
# Numbers in a chunk of the gradients of rows
_CHUNK_NUMBERS = 2**22
_STEP, _MIXTURES_AT_A_TIME = 1e-4, 32
# Products of numbers in the time of a log joint of a row with gaps or noise, and the features that it has room for
_WORK_OF_JOINT, _FEATURES_PER_JOINT = 300.0, 32.0


# Numbers of rows, and their memberships (B, K)
_InDoubt = tuple[np.ndarray, np.ndarray]


class Curvature(NamedTuple):
    """The exact log posterior at the reference, and around it.

    log_density: log p(rows, reference), nats.
    gradient: (P,).
    complete: Prior information and that of rows with known components, (P, P), positive definite.
    missing: What the doubt about memberships takes from it, (P, P); zeros, (1, 1), where it would have cost too much.
    work: Products of numbers that it takes.
    """

    log_density: float
    gradient: np.ndarray
    complete: np.ndarray
    missing: np.ndarray
    work: float = 0.0

    @property
    def information(self) -> np.ndarray:
        """The observed information, (P, P)."""
        return self.complete - self.missing


def curvature(target: Target, coordinates: Coordinates, most_work: float = math.inf) -> Curvature:
    """Computes value, gradient and curvature at the reference; the rows are read once.

    Args:
        target: The exact posterior.
        coordinates: Coordinates around the reference.
        most_work: Work above which the missing information is not computed, but only its work; with 0 not even that.
    """
    origin = np.zeros((1, coordinates.num_coordinates))
    drawn = coordinates.drawn(origin)
    sums, missing = _passed(target, coordinates, target.coefficients(drawn), most_work)
    gradient = coordinates.row_gradient(origin, drawn, target.split(sums.statistics))
    gradient += coordinates.prior_gradient(origin, drawn)
    log_density = sums.log_likelihood[0] + coordinates.log_prior(origin, drawn)[0]
    complete = coordinates.prior_information()
    complete += _complete(target, coordinates, sums)
    found = missing.found() if 0.0 < most_work and missing.work <= most_work else np.zeros((1, 1))
    return Curvature(float(log_density), gradient[0], complete, found, missing.work)


def _passed(
    target: Target, coordinates: Coordinates, coefficients: Coefficients, most_work: float
) -> tuple[RowSums, _Missing]:
    """Passes over the rows once."""
    sums: RowSums | None = None
    missing = _Missing(target, coordinates, coefficients, most_work)
    for groups in target.groups():
        if not most_work:
            sums = added(sums, groups.sums(coefficients))
            continue
        showing, hiding = _by_what_they_show(groups)
        if showing is not None:
            sums = added(sums, showing.sums(coefficients))
            missing.add_shown(showing)
        if hiding is not None:
            of_hidden = hiding.sums(coefficients)
            sums = added(sums, of_hidden)
            missing.add_hidden(hiding, of_hidden)
    if sums is None:
        raise ValueError("`data` must have rows. Received: none. Pass those that the mixture was fitted to.")
    return sums, missing


class _Missing:
    """The missing information of rows, batch after batch, until it has cost too much; then its work alone.

    Args:
        target: The exact posterior.
        coordinates: Coordinates around the reference.
        coefficients: Those of rows at the reference.
        most_work: Work above which nothing is computed.
    """

    def __init__(self, target: Target, coordinates: Coordinates, coefficients: Coefficients, most_work: float) -> None:
        self.work = 0.0
        self._target, self._coordinates, self._coefficients = target, coordinates, coefficients
        self._most_work, self._size = most_work, coordinates.num_coordinates + 1
        # With a logarithm for each of K weights
        self._extended = np.zeros((self._size, self._size) if most_work else (1, 1))
        self._hidden: RowSums | None = None
        self._differenced = np.zeros((1, 1))

    def add_shown(self, groups: RowGroups) -> None:
        """Adds rows that show what they say."""
        values, weights = groups.block.values, groups.block.weights
        certain = _CERTAIN if len(values) * self._size**2 < _MANY_NUMBERS else _CERTAIN_OF_MANY
        in_doubt = _uncertain(groups, self._coefficients, certain)
        for rows, memberships in _gathered(in_doubt, max(1, _CHUNK_NUMBERS // self._size)):
            if self._affords(len(rows) * float(self._size) ** 2):
                of_part = None if weights is None else weights[rows]
                _add_rows(self._extended, values[rows].astype(np.float64), memberships, of_part, self._coordinates)

    def add_hidden(self, groups: RowGroups, sums: RowSums) -> None:
        """Adds rows that do not show all, with their sums at the reference."""
        num_features, num_components = self._coefficients[0].shape[1:]
        joints = 2.0 * self._size * len(groups) * num_components * (1.0 + num_features / _FEATURES_PER_JOINT)
        if self._affords(_WORK_OF_JOINT * joints):
            self._hidden = added(self._hidden, sums)
            self._differenced = self._differenced + _differenced(self._target, self._coordinates, groups)

    def _affords(self, work: float) -> bool:
        self.work += work
        return self.work <= self._most_work

    def found(self) -> np.ndarray:
        """Computes the missing information, (P, P)."""
        missing = _reduced(self._extended, self._coordinates)
        if self._hidden is not None:
            missing += _complete(self._target, self._coordinates, self._hidden)
            missing -= self._differenced
        return missing


def _complete(target: Target, coordinates: Coordinates, sums: RowSums) -> np.ndarray:
    return coordinates.complete_information(target.split(sums.statistics))


def _by_what_they_show(groups: RowGroups) -> tuple[RowGroups | None, RowGroups | None]:
    """Parts rows that show what they say from those with noise, or with gaps in correlated columns; None for none."""
    block, hides = groups.block, np.zeros(len(groups), bool)
    if block.noise is not None:
        hides |= np.any(block.noise, axis=tuple(range(1, block.noise.ndim)))
    if groups.form == "correlated" and has_gaps(block.values):
        hides |= np.isnan(block.values).any(axis=1)
    if not hides.any():
        return groups, None
    if hides.all():
        return None, groups
    showing, hiding = (RowGroups(groups.form, block.part(part), groups.gap_columns) for part in (~hides, hides))
    return showing, hiding


def _gathered(parts: Iterable[_InDoubt], num_rows: int) -> Iterator[_InDoubt]:
    """Puts few rows together, and cuts many, to up to `num_rows`: a product of each part takes as long as of many."""
    rows, memberships = np.zeros(0, np.intp), np.zeros((0, 0))
    for more_rows, more in parts:
        rows, memberships = np.append(rows, more_rows), more if not len(rows) else np.concatenate([memberships, more])
        while len(rows) >= num_rows:
            yield rows[:num_rows], memberships[:num_rows]
            rows, memberships = rows[num_rows:], memberships[num_rows:]
    if len(rows):
        yield rows, memberships


def _uncertain(groups: RowGroups, coefficients: Coefficients, certain: float) -> Iterator[_InDoubt]:
    """Yields the rows of which no component has all but this share, and their memberships (B, K), chunk by chunk."""
    num_components = coefficients[1].shape[-1]

    def of_chunk(rows: slice | np.ndarray, joints: np.ndarray) -> _InDoubt:
        by_posterior = joints.reshape(1, num_components, -1)
        norms = exponentials(by_posterior)[1]
        in_doubt = np.flatnonzero(1.0 < norms[0] * (1.0 - certain))
        numbers = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        return numbers[in_doubt], (by_posterior[0][:, in_doubt] / norms[0, in_doubt]).T

    return groups.mapped(coefficients, of_chunk)


def _add_rows(
    total: np.ndarray,
    values: np.ndarray,
    memberships: np.ndarray,
    weights: np.ndarray | None,
    coordinates: Coordinates,
) -> None:
    """Adds sum_i w_i [ sum_k r_ik s_ik s_ik' - g_i g_i' ] to (1 + P, 1 + P)."""
    num_components = memberships.shape[1]
    gradients = np.zeros((len(values), len(total)))
    gradients[:, :num_components] = memberships
    for component in range(num_components):
        scores, places = coordinates.point.scores(values, component)
        scores = np.concatenate([np.ones((len(values), 1)), scores], axis=1)
        places = np.concatenate([[component], num_components + places])
        weighted = scores * memberships[:, component, None]
        gradients[:, places[1:]] += weighted[:, 1:]
        total[np.ix_(places, places)] += scores.T @ (weighted if weights is None else weighted * weights[:, None])
    if weights is not None:
        gradients *= np.sqrt(weights)[:, None]
    total -= gradients.T @ gradients


def _reduced(extended: np.ndarray, coordinates: Coordinates) -> np.ndarray:
    """Turns logarithms of K weights into the K - 1 coordinates of weights, (P, P), in the memory of the first."""
    num_components, basis = len(coordinates.basis), coordinates.basis
    of_both = basis.T @ extended[:num_components, num_components:]
    of_weights = basis.T @ extended[:num_components, :num_components] @ basis
    extended[1:num_components, num_components:], extended[num_components:, 1:num_components] = of_both, of_both.T
    extended[1:num_components, 1:num_components] = of_weights
    return extended[1:, 1:]


def _differenced(target: Target, coordinates: Coordinates, groups: RowGroups) -> np.ndarray:
    """Computes the information of rows that do not show all by central differences of their gradient, (P, P)."""

    def gradient(phi: np.ndarray) -> np.ndarray:
        drawn = coordinates.drawn(phi)
        statistics = groups.sums(target.coefficients(drawn)).statistics
        return coordinates.row_gradient(phi, drawn, target.split(statistics))

    return differences(gradient, coordinates.num_coordinates, _STEP, _MIXTURES_AT_A_TIME)
