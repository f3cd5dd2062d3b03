"""Gaps of rows of any kind filled, block by block: with conditional means, or with draws. No TensorFlow."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import numpy as np

from tfgmm.common.checks import check_count, check_seed
from tfgmm.data.blocks import RowBlock
from tfgmm.mixture.imputation import Imputer
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.scoring.scores import mapped_over_data


class Filling(NamedTuple):
    """How gaps are filled.

    Args:
        num_draws: Number of completed copies; None for means.
        seed: Seed of the draws.
    """

    num_draws: int | None
    seed: int

    @classmethod
    def checked(cls, num_draws: Any, seed: Any) -> Filling:
        """Checks the arguments of `impute`; without a seed, draws are others each time.

        Raises:
            ValueError: `num_draws` is no number of 1 or more, `seed` none of 0 or more, or it is there for means.
        """
        if num_draws is None and seed is not None:
            raise ValueError(
                f"`seed` must be left out where means are computed. Received: {seed!r} without `num_draws`. "
                "Pass num_draws=5, for example, or take it out."
            )
        num_draws = None if num_draws is None else check_count("num_draws", num_draws)
        return cls(num_draws, random.randrange(2**31) if seed is None else check_seed(seed))


def filled_data(
    mixture: MixtureDensity,
    data: Any,
    filling: Filling,
    column_names: tuple[str, ...] | None,
    noise: Any = None,
    is_given: np.ndarray | None = None,
) -> np.ndarray:
    """Fills the gaps of rows of any kind, (N, D) float64, data units; for draws (S, N, D).

    Args:
        mixture: One mixture, or several, whose average gives the means; a copy is drawn from one of them.
        data, column_names: As in `score_data`.
        filling: How gaps are filled.
        noise: Measurement noise of the rows, as `open_source` takes it.
        is_given: (D,) bool. All other columns count as gaps then, and rows stay NaN where one of these is not finite.
    """
    fill, first_row = _filler(mixture, filling), 0

    def of_block(block: RowBlock) -> dict[str, np.ndarray]:
        nonlocal first_row
        filled = fill(block if is_given is None else _given_only(block, is_given), first_row)
        if is_given is not None:
            is_known = np.isfinite(block.values[:, is_given]).all(axis=1)
            filled[..., ~is_known, :] = np.nan
        first_row += len(block.values)
        return {"filled": filled if filling.num_draws is None else filled.swapaxes(0, 1)}

    filled = mapped_over_data(np.asarray(mixture.centre), data, of_block, column_names, noise)["filled"]
    return filled if filling.num_draws is None else np.ascontiguousarray(filled.swapaxes(0, 1))


def _filler(mixture: MixtureDensity, filling: Filling) -> Any:
    """Makes the function from a block and the number of its first row to filled rows."""
    num_draws, seed = filling
    if num_draws is None:
        imputer = Imputer(mixture)
        return lambda block, first_row: imputer.means(block)
    if np.ndim(mixture.log_weights) == 1:
        imputer = Imputer(mixture)
        return lambda block, first_row: imputer.draws(block, num_draws, seed, first_row)
    # Parameters first, one set for a whole copy: what rows have in common then varies from copy to copy
    generator = np.random.default_rng(seed)
    chosen = generator.choice(len(mixture.log_weights), num_draws, replace=num_draws > len(mixture.log_weights))
    seeds = generator.integers(2**63 - 1, size=num_draws).tolist()
    imputers = [Imputer(mixture.part(number)) for number in chosen.tolist()]

    def copies(block: RowBlock, first_row: int) -> np.ndarray:
        pairs = zip(imputers, seeds)
        return np.concatenate([imputer.draws(block, 1, of_copy, first_row) for imputer, of_copy in pairs])

    return copies


def _given_only(block: RowBlock, is_given: np.ndarray) -> RowBlock:
    """Takes the values of all other columns out, and their noise."""
    values = np.where(is_given, block.values, np.nan)
    if block.noise is None:
        return RowBlock(values)
    both = is_given if block.noise.ndim == 2 else is_given[:, None] & is_given
    return RowBlock(values, None, np.where(both, block.noise, 0.0))
