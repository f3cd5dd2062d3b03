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
from tfgmm.mixture.parameters import LOCS, MixtureDensity, coefficients_from
from tfgmm.mixture.true_values import Patterns, TrueValues, behind_gaps, behind_noise, covariances_of, what_is_shown

if TYPE_CHECKING:
    from tfgmm.data.blocks import RowBlock

_CHUNK_NUMBERS = 2**20  # numbers in the matrices of the rows that are worked on together


class _Known(NamedTuple):
    """What is known of B rows, K components of all mixtures together.

    rows: Their numbers in the block.
    values: (B, D) float64, centred, 0 in gaps. is_missing: (B, D) bool.
    memberships: (K, B). means: (B, K, D), of the true values. patterns: (B,), numbers into the following.
    spreads: (G, K, D, D), covariances of the true values.
    """

    rows: np.ndarray
    values: np.ndarray
    is_missing: np.ndarray
    memberships: np.ndarray
    means: np.ndarray
    patterns: np.ndarray
    spreads: np.ndarray


class Imputer:
    """Fills the gaps of rows by what a mixture says of them, given the values that they have.

    A row without any value is one from the mixture itself. In a row with an infinite value, gaps stay NaN.

    Args:
        mixture: One mixture, or S of them, whose average it is.
    """

    def __init__(self, mixture: MixtureDensity) -> None:
        self._centre = np.asarray(mixture.centre, np.float64)
        self._coefficients = _as_correlated(mixture)
        self._num_components = self._coefficients[1].size

    def means(self, block: RowBlock) -> np.ndarray:
        """Computes the rows with the conditional mean of each value that is missing, (B, D) float64, data units.

        Args:
            block: (B, D) rows, data units, NaN where a row has no value. With their noise, what is given is the true
                values behind those that are there; these stay as they are.
        """
        filled = np.array(block.values, np.float64)
        for known in self._known(block):
            means = np.einsum("kb,bkd->bd", known.memberships, known.means) + self._centre
            filled[known.rows] = np.where(known.is_missing, means, filled[known.rows])
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
            roots = _roots(known.spreads)
            for number in range(num_draws):
                for_component, *for_values = uniform[known.rows, number].T
                owners = _owners(known.memberships, for_component)
                noise = ndtri(np.stack(for_values, axis=1))[..., None]
                away = (roots[known.patterns, owners] @ noise)[..., 0]
                drawn = known.means[np.arange(len(owners)), owners] + away + self._centre
                filled[number, known.rows] = np.where(known.is_missing, drawn, filled[number, known.rows])
        return filled

    def _uniform(self, shape: tuple[int, int, int], seed: int, first_row: int) -> np.ndarray:
        """Draws D + 1 numbers between 0 and 1 for each row and draw, (B, S, D + 1)."""
        num_draws, num_rows, num_columns = shape
        source = np.random.PCG64(np.random.SeedSequence(seed))
        source.advance(first_row * num_draws * (num_columns + 1))  # each number takes one step
        drawn = np.random.Generator(source).random((num_rows, num_draws, num_columns + 1))
        return np.maximum(drawn, 2.0**-54)  # 0 has no quantile

    def _known(self, block: RowBlock) -> Iterator[_Known]:
        """Yields what is known of the rows that have gaps, some rows at a time."""
        values = np.asarray(block.values, np.float64) - self._centre
        is_missing = np.isnan(values)
        rows = np.flatnonzero(is_missing.any(axis=1) & ~np.isinf(values).any(axis=1))
        num_columns = values.shape[1]
        size = max(1, _CHUNK_NUMBERS // (self._num_components * num_columns**2))
        for part in slices(0, len(rows), size) if len(rows) else []:
            chosen = rows[part]
            yield self._known_of(block.part(chosen), chosen, values[chosen], is_missing[chosen])

    def _known_of(self, block: RowBlock, rows: np.ndarray, values: np.ndarray, is_missing: np.ndarray) -> _Known:
        places, patterns, _ = what_is_shown(block)
        (linear, constants), true_values = self._behind(block.part(places), is_missing[places])
        values = np.where(is_missing, 0.0, values)
        first, second = pairs(values.shape[1])
        features = np.concatenate([values, values[:, first] * values[:, second]], axis=1)
        joints = (np.einsum("bfk,bf->bk", linear[patterns, 0], features) + constants[patterns, 0]).T
        _, (norms,) = exponentials(joints[None])
        gains, offsets, spreads = (value[:, 0] for value in true_values)
        means = (gains[patterns] @ values[:, None, :, None])[..., 0] + offsets[patterns]
        return _Known(rows, values, is_missing, joints / norms, means, patterns, spreads)

    def _behind(self, block: RowBlock, is_missing: np.ndarray) -> tuple[Coefficients, TrueValues]:
        """Computes coefficients of G patterns, (G, 1, F, K), and the true values behind them; a row of each."""
        observed, num_columns = (~is_missing).astype(np.float64), is_missing.shape[1]
        if block.noise is None:
            return behind_gaps(self._coefficients, num_columns)(Patterns(observed, None))
        noise = covariances_of(block.noise)
        return behind_noise(self._coefficients, num_columns)(Patterns(observed, noise))


def _as_correlated(mixture: MixtureDensity) -> Coefficients:
    """Computes the coefficients of all components of all mixtures side by side, (1, D + P, S K) and (1, S K)."""
    log_weights = np.asarray(mixture.log_weights) - math.log(math.prod(np.shape(mixture.log_weights)[:-1]))
    locs = np.asarray(mixture.components[LOCS], np.float64)
    num_columns = locs.shape[-1]
    whiteners = np.asarray(mixture.components[mixture.form.precision_name], np.float64)
    if mixture.form.name == "independent":
        whiteners = np.sqrt(whiteners)[..., None] * np.eye(num_columns)
    shape = (*locs.shape, num_columns)
    components = {
        LOCS: locs.reshape(1, -1, num_columns),
        "whiteners": np.broadcast_to(whiteners, shape).reshape(1, -1, num_columns, num_columns),
    }
    return coefficients_from("correlated", log_weights.reshape(1, -1), components)


def _roots(spreads: np.ndarray) -> np.ndarray:
    """Computes square roots of covariances, some of whose columns are 0."""
    sizes, vectors = np.linalg.eigh(spreads)
    return vectors * np.sqrt(np.maximum(sizes, 0.0))[..., None, :]


def _owners(memberships: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Draws a component for each row, (B,), by its memberships (K, B)."""
    return np.minimum((np.cumsum(memberships, axis=0) <= uniform).sum(axis=0), len(memberships) - 1)
