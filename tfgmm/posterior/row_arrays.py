"""Rows beside draws: read, with their log likelihoods, and data sets that could have been seen in their place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tfgmm.common.checks import check_count, check_seed
from tfgmm.common.words import counted
from tfgmm.data.blocks import RowBlock, together
from tfgmm.data.errors import check_gaps, no_rows_left_error
from tfgmm.data.sources import check_ends, open_source
from tfgmm.posterior.drawn_rows import replicates
from tfgmm.posterior.row_likelihoods import log_likelihoods

if TYPE_CHECKING:
    from tfgmm.posterior.draws import Draws

# Numbers in the log likelihoods of all rows under all draws, and in simulated data sets: 1 GiB of float64
LARGEST = 2**27
# As many curves as a picture can hold
_NUM_SETS = 100


class RowArrays(NamedTuple):
    """What draws say of N rows that were seen.

    numbers: (N,), which of the caller's rows they are.
    observed: (N, D), data units, NaN at gaps.
    log_likelihoods: (C, S, N), nats.
    simulated_draws: (P,), the draws of each chain that a data set was simulated from; () for none.
    simulated: (C, P, N, D), data units.
    """

    numbers: np.ndarray
    observed: np.ndarray
    log_likelihoods: np.ndarray
    simulated_draws: np.ndarray
    simulated: np.ndarray


def row_arrays(draws: Draws, rows: Any, noise: Any, predictive: int | None, seed: int) -> RowArrays:
    """Computes what draws say of rows; see `Draws.to_arviz` for the arguments and the errors."""
    seed = check_seed(seed)
    if predictive is not None:
        predictive = check_count("predictive", predictive, least=0)
    numbers, block = read_observed(draws, rows, noise)
    chosen, simulated = np.zeros(0, np.int64), np.zeros((draws.num_chains, 0, *block.values.shape))
    if predictive != 0:
        chosen, simulated = replicates(draws, _num_sets(draws, predictive, block.values.size), block, seed)
    return RowArrays(numbers, block.values, log_likelihoods(draws, block), chosen, simulated)


def read_observed(draws: Draws, rows: Any, noise: Any) -> tuple[np.ndarray, RowBlock]:
    """Reads rows that draws are to be asked about: NaN is a gap, and rows without any value are left out.

    Args:
        draws: Draws from the posterior.
        rows: N rows of any kind, data units.
        noise: Their measurement noise, as `open_source` takes it.

    Returns:
        The numbers of the rows that have a value, (N,), and these, float64, with their noise.

    Raises:
        ValueError: The columns are others, there are no rows, too many for the draws, or infinite values.
        TypeError: The rows are not numbers, or have weights.
    """
    if draws.num_features == 1:
        rows, noise = _as_column(rows), _as_column(noise)
    # As rows to be scored: none is left out, so that their numbers are those of the caller's rows
    how: dict[str, Any] = {"noise": noise, "missing": "integrate", "allow_empty": True}
    source = open_source(rows, "rows", draws.num_features, draws.column_names, **how)
    if source.has_weights:
        raise TypeError(
            "`rows` must be rows alone: a row that counts twice is two rows to be left out. Received: rows with "
            "weights. Repeat them where the weights are whole, as np.repeat(rows, weights, axis=0) does."
        )
    check_ends(source, None, "Take some of its batches, as rows.take(100) does.")
    _check_few(draws, source.num_data or 0)
    blocks, num_rows = [], 0
    for block in source.blocks():
        num_rows += len(block.values)
        _check_few(draws, num_rows)
        check_gaps("rows", source.column_names, block.values, "integrate", num_rows - len(block.values))
        blocks.append(block._replace(values=np.asarray(block.values, np.float64)))
    if not num_rows:
        raise ValueError("`rows` must hold at least one row. Received: none. Pass the rows of the fit.")
    block = together(blocks)
    numbers = np.flatnonzero(~np.isnan(block.values).all(axis=1))
    if not len(numbers):
        raise no_rows_left_error("rows", 0, num_rows)
    return numbers, block.part(numbers)


def _as_column(values: Any) -> Any:
    """Gives numbers (N,) of any kind a second axis; others stay as they are."""
    is_list = isinstance(values, (list, tuple)) and len(values) > 0 and np.ndim(values[0]) == 0
    return np.asarray(values)[:, None] if is_list or len(getattr(values, "shape", ())) == 1 else values


def _check_few(draws: Draws, num_rows: int) -> None:
    """Checks the number of rows: Raises ValueError where there are too many for the number of draws."""
    num_draws = draws.num_chains * draws.num_draws
    if num_rows * num_draws > LARGEST:
        raise ValueError(
            f"`rows` must be {counted(LARGEST // num_draws, 'row')} at most for {counted(num_draws, 'draw')}: the log "
            f"likelihood of each row under each draw is kept, {LARGEST:,} numbers (1 GiB) at most. Received: "
            f"{num_rows:,} rows. Thin the draws, as draws.thinned(10) does, or pass some of the rows, chosen at random."
        )


def _num_sets(draws: Draws, predictive: int | None, num_values: int) -> int:
    """Computes how many data sets are simulated: Raises ValueError where more are asked for than memory may hold."""
    most = max(draws.num_chains, LARGEST // num_values)
    if predictive is None:
        return min(_NUM_SETS, most)
    if predictive > most:
        raise ValueError(
            f"`predictive` must be {most:,} at most for {counted(num_values, 'value')}: every data set is kept, "
            f"{LARGEST:,} numbers (1 GiB) at most. Received: {predictive:,}. A hundred are enough for a picture."
        )
    return predictive
