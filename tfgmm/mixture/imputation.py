"""Values for the gaps of rows, given what the rows have: conditional means, and draws."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tfgmm.common.threads import slices
from tfgmm.mixture.features import pairs
from tfgmm.mixture.integrands import Coefficients
from tfgmm.mixture.log_joints import exponentials
from tfgmm.mixture.parameters import LOCS, MixtureDensity, coefficients_of
from tfgmm.mixture.row_groups import RowGroups
from tfgmm.mixture.true_values import Patterns, TrueValues, behind_gaps, behind_noise, covariances_of, what_is_shown

if TYPE_CHECKING:
    from tfgmm.data.blocks import RowBlock

_CHUNK_NUMBERS = 2**20  # numbers in the matrices of the rows that are worked on together


class _Columns(NamedTuple):
    """B rows with gaps, of independent columns: a component says the same of a gap whatever the rest of the row is.

    rows: Their numbers in the block.
    is_missing: (B, D) bool.
    memberships: (K, B).
    locs: (K, D), centred.
    scales: (K, D), standard deviations.
    """

    rows: np.ndarray
    is_missing: np.ndarray
    memberships: np.ndarray
    locs: np.ndarray
    scales: np.ndarray

    def means(self) -> np.ndarray:
        """Computes the means of the true values, (B, D)."""
        return self.memberships.T @ self.locs

    def drawn(self, owners: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Computes true values (B, D) of components `owners` (B,) from standard normal noise (B, D)."""
        return self.locs[owners] + self.scales[owners] * noise


class _Matrices(NamedTuple):
    """B rows with gaps, of correlated columns, K components of all mixtures together.

    rows, is_missing, memberships: As `_Columns`.
    of_components: (B, K, D), means of the true values, centred.
    patterns: (B,), numbers into the following.
    spreads: (G, K, D, D), covariances of the true values.
    """

    rows: np.ndarray
    is_missing: np.ndarray
    memberships: np.ndarray
    of_components: np.ndarray
    patterns: np.ndarray
    spreads: np.ndarray

    def means(self) -> np.ndarray:
        """Computes the means of the true values, (B, D)."""
        return np.asarray(np.einsum("kb,bkd->bd", self.memberships, self.of_components))

    def drawn(self, owners: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Computes true values (B, D) of components `owners` (B,) from standard normal noise (B, D)."""
        sizes, vectors = np.linalg.eigh(self.spreads[self.patterns, owners])  # some columns are 0
        roots = vectors * np.sqrt(np.maximum(sizes, 0.0))[:, None, :]
        away: np.ndarray = (roots @ noise[..., None])[..., 0]
        return self.of_components[np.arange(len(owners)), owners] + away


class Imputer:
    """Fills the gaps of rows by what a mixture says of them, given the values that they have.

    A row without any value is one from the mixture itself. In a row with an infinite value, gaps stay NaN.

    Args:
        mixture: One mixture, or S of them, whose average it is.
    """

    def __init__(self, mixture: MixtureDensity) -> None:
        self._centre = np.asarray(mixture.centre, np.float64)
        self._joined = _joined(mixture)
        self._coefficients = tuple(value[None] for value in coefficients_of(self._joined))

    def means(self, block: RowBlock) -> np.ndarray:
        """Computes the rows with the conditional mean of each value that is missing, (B, D) float64, data units.

        Args:
            block: (B, D) rows, data units, NaN where a row has no value. With their noise, what is given is the true
                values behind those that are there; these stay as they are.
        """
        filled = np.array(block.values, np.float64)
        for known in self._known(block):
            filled[known.rows] = np.where(known.is_missing, known.means() + self._centre, filled[known.rows])
        return filled

    def draws(self, block: RowBlock, num_draws: int, seed: int, first_row: int = 0) -> np.ndarray:
        """Draws what is missing S times: a component by the memberships of the row, then its normal.

        A pure function of the seed and of the number of each row among all, whatever blocks they come in.

        Args:
            block: As for `means`.
            num_draws: S.
            seed: Seed of the draws, 0 or more.
            first_row: Number of the first row of the block.

        Returns:
            (S, B, D) float64, data units.
        """
        from scipy.special import ndtri  # takes a while to load, and only draws need it

        filled = np.repeat(np.array(block.values, np.float64)[None], num_draws, axis=0)
        uniform = self._uniform(filled.shape, seed, first_row)
        for known in self._known(block):
            for number in range(num_draws):
                for_component, *for_values = uniform[known.rows, number].T
                owners = _owners(known.memberships, for_component)
                drawn = known.drawn(owners, ndtri(np.stack(for_values, axis=1))) + self._centre
                filled[number, known.rows] = np.where(known.is_missing, drawn, filled[number, known.rows])
        return filled

    def _uniform(self, shape: tuple[int, int, int], seed: int, first_row: int) -> np.ndarray:
        """Draws D + 1 numbers between 0 and 1 for each row and draw, (B, S, D + 1)."""
        num_draws, num_rows, num_columns = shape
        source = np.random.PCG64(np.random.SeedSequence(seed))
        source.advance(first_row * num_draws * (num_columns + 1))  # each number takes one step
        drawn = np.random.Generator(source).random((num_rows, num_draws, num_columns + 1))
        return np.maximum(drawn, 2.0**-54)  # 0 has no quantile

    def _known(self, block: RowBlock) -> Iterator[_Columns | _Matrices]:
        """Yields what is known of the rows that have gaps, some rows at a time."""
        values = np.asarray(block.values, np.float64) - self._centre
        is_missing = np.isnan(values)
        rows = np.flatnonzero(is_missing.any(axis=1) & ~np.isinf(values).any(axis=1))
        (num_components, num_columns), is_independent = self._joined.components[LOCS].shape, self._is_independent
        size = max(1, _CHUNK_NUMBERS // (num_components * num_columns ** (1 if is_independent else 2)))
        for part in slices(0, len(rows), size) if len(rows) else []:
            chosen = rows[part]
            known = block.part(chosen), chosen, is_missing[chosen], values[chosen]
            yield self._columns(*known) if is_independent else self._matrices(*known)

    @property
    def _is_independent(self) -> bool:
        return self._joined.form.name == "independent"

    def _columns(self, block: RowBlock, rows: np.ndarray, is_missing: np.ndarray, values: np.ndarray) -> _Columns:
        memberships = np.empty((self._coefficients[1].size, len(rows)))

        def write(part: slice | np.ndarray, joints: np.ndarray) -> None:
            _, (norms,) = exponentials(joints[None])
            memberships[:, part] = joints / norms

        groups = RowGroups("independent", block._replace(values=values, weights=None))
        for _ in groups.mapped(self._coefficients, write):
            pass
        scales, _ = self._joined.form.covariances(self._joined.components)
        return _Columns(rows, is_missing, memberships, self._joined.components[LOCS], scales)

    def _matrices(self, block: RowBlock, rows: np.ndarray, is_missing: np.ndarray, values: np.ndarray) -> _Matrices:
        places, patterns, _ = what_is_shown(block)
        (linear, constants), true_values = self._behind(block.part(places), is_missing[places])
        values = np.where(is_missing, 0.0, values)
        first, second = pairs(values.shape[1])
        features = np.concatenate([values, values[:, first] * values[:, second]], axis=1)
        joints = (np.einsum("bfk,bf->bk", linear[patterns, 0], features) + constants[patterns, 0]).T
        _, (norms,) = exponentials(joints[None])
        gains, offsets, spreads = (value[:, 0] for value in true_values)
        means = (gains[patterns] @ values[:, None, :, None])[..., 0] + offsets[patterns]
        return _Matrices(rows, is_missing, joints / norms, means, patterns, spreads)

    def _behind(self, block: RowBlock, is_missing: np.ndarray) -> tuple[Coefficients, TrueValues]:
        """Computes coefficients of G patterns, (G, 1, F, K), and the true values behind them; a row of each."""
        observed, num_columns = (~is_missing).astype(np.float64), is_missing.shape[1]
        if block.noise is None:
            return behind_gaps(self._coefficients, num_columns)(Patterns(observed, None))
        noise = covariances_of(block.noise)
        return behind_noise(self._coefficients, num_columns)(Patterns(observed, noise))


def _joined(mixture: MixtureDensity) -> MixtureDensity:
    """Puts the components of S mixtures into one, with S K components; one mixture stays."""
    *leading, num_components = np.shape(mixture.log_weights)
    log_weights = np.asarray(mixture.log_weights, np.float64) - math.log(math.prod(leading))
    name, locs = mixture.form.precision_name, np.asarray(mixture.components[LOCS], np.float64)
    precisions = np.asarray(mixture.components[name], np.float64)
    if mixture.form.name == "correlated":  # a tied matrix stands once
        precisions = np.broadcast_to(precisions, (*locs.shape, locs.shape[-1]))
    own = len(leading) + 1
    components = {
        LOCS: locs.reshape(-1, *locs.shape[own:]),
        name: np.broadcast_to(precisions, (*leading, num_components, *precisions.shape[own:])).reshape(
            -1, *precisions.shape[own:]
        ),
    }
    covariance = "diag" if mixture.form.name == "independent" else "full"
    return MixtureDensity(covariance, mixture.centre, log_weights.reshape(-1), components)


def _owners(memberships: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Draws a component for each row, (B,), by its memberships (K, B)."""
    return np.minimum((np.cumsum(memberships, axis=0) <= uniform).sum(axis=0), len(memberships) - 1)
