"""Two mixtures compared on the same rows, block by block: which describes them better, and whether clusters agree."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from tfgmm.data.blocks import RowBlock
from tfgmm.data.summary import centre as centre_rows
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.scoring.devices import BlockScorer, block_scorer

_FEWEST = 2  # rows that have a standard error
_CLEAR = 2.0  # standard errors beyond which a difference is called one
_ROUNDING = 1e-6  # nats per row: two exports of one model may differ by this much


class RowsCompared(NamedTuple):
    """What rows say of two mixtures, a and b.

    Args:
        num_rows: Number of rows that are compared; N is this, or the sum of their weights.
        num_bad: Number of rows that are left out, since they have an infinite value or none at all.
        mean_a, mean_b: Mean log density of a row, nats.
        difference: Mean of b's log density minus a's, nats per row.
        standard_error: Standard error of the difference: standard deviation over the rows / sqrt(N).
        adjusted_rand: Agreement of the two clusterings: 1 for the same, 0 on average for unrelated ones.
        share_same: Share of rows in the same cluster, once each of a's has been paired with at most one of b's.
        num_incomplete: Number of rows that are compared by the values that they have.
        total: N where the rows have weights; else None.
    """

    num_rows: int
    num_bad: int
    mean_a: float
    mean_b: float
    difference: float
    standard_error: float
    adjusted_rand: float
    share_same: float
    num_incomplete: int = 0
    total: float | None = None


def compare_over_rows(
    mixture_a: MixtureDensity,
    mixture_b: MixtureDensity,
    blocks: Iterable[RowBlock],
    order_of_b: np.ndarray,
    progress: Callable[[int], None] = lambda num_rows: None,
    name: str = "blocks",
) -> RowsCompared:
    """Compares two mixtures on the same rows; takes the memory of one block.

    Args:
        mixture_a, mixture_b: Mixtures of K and L components in the same D columns.
        blocks: Rows, columns in a's order, with weights and noise or without. One with gaps, NaN, is compared by the
            densities of the values that it has; one with an infinite value, or without any value, is counted and left
            out.
        order_of_b: (D,) int, where b's columns stand among a's.
        progress: Function that is called with the number of rows of each block, once it has been compared.
        name: What error messages call the rows.

    Raises:
        ValueError: Fewer than two rows can be compared, or their weights add up to 1 or less.
    """
    num_rows = num_bad = num_incomplete = 0
    total, means, squares, has_weights = 0.0, np.zeros(3), 0.0, False
    table = np.zeros((len(mixture_a.log_weights), len(mixture_b.log_weights)))
    scorers = block_scorer(mixture_a), block_scorer(mixture_b)
    for block in blocks:
        rows = block.part(_has_values(block.values))
        weights = np.ones(len(rows.values)) if rows.weights is None else rows.weights
        has_weights = has_weights or rows.weights is not None
        num_rows, num_bad = num_rows + len(weights), num_bad + len(block.values) - len(weights)
        num_incomplete += int(np.isnan(rows.values).any(axis=1).sum())
        if weights.sum() > 0.0:
            found_of = [_scored(scorer, block) for scorer, block in zip(scorers, (rows, _in_order(rows, order_of_b)))]
            densities = [scores["log_density"] for scores in found_of]
            figures = np.stack([*densities, densities[1] - densities[0]])
            # Chan, Golub and LeVeque 1979, equation 2.1, of the differences
            added, middles = weights.sum(), figures @ weights / weights.sum()
            steps, before, total = middles - means, total, total + added
            squares += weights @ (figures[2] - middles[2]) ** 2 + steps[2] ** 2 * before * added / total
            means = means + steps * added / total
            np.add.at(table, tuple(scores["assignment"] for scores in found_of), weights)
        progress(len(block.values))
    if num_rows < _FEWEST or total <= 1.0:
        fix = "Give more rows with finite numbers."
        raise ValueError(f"`{name}` must have two rows at least to compare with. Received: {num_rows} finite. {fix}")
    error = math.sqrt(squares / (total - 1.0) / total)
    mean_a, mean_b, difference = (float(mean) for mean in means)
    found = RowsCompared(num_rows, num_bad, mean_a, mean_b, difference, error, adjusted_rand(table), share_same(table))
    return found._replace(num_incomplete=num_incomplete, total=total if has_weights else None)


def _in_order(block: RowBlock, order: np.ndarray) -> RowBlock:
    """Puts the columns of rows, and of their noise, into another order."""
    noise = block.noise
    if noise is not None:
        noise = noise[:, order] if noise.ndim == 2 else noise[:, order[:, None], order]
    return block._replace(values=block.values[:, order], noise=noise)


def _scored(scorer: BlockScorer, block: RowBlock) -> dict[str, np.ndarray]:
    """Computes log densities and assignments of rows.

    Raises:
        ValueError: A finite value is infinite in float32.
    """
    scores, num_bad = scorer.scores(block, ["log_density", "assignment"])
    if num_bad:
        centre_rows(block.values, scorer.centre)
    return scores


def _has_values(values: np.ndarray) -> np.ndarray:
    """Tells which rows, (B, D), have a value, and no infinite one."""
    is_bad: np.ndarray = np.isinf(values).any(axis=1) | np.isnan(values).all(axis=1)
    return ~is_bad


def adjusted_rand(table: np.ndarray) -> float:
    """Computes the adjusted Rand index of two clusterings.

    Pairs of rows that are together in both, beyond what chance gives, over the most that could be. Two clusterings
    of one cluster each agree: 1.

    Args:
        table: (K, L), number of rows in each pair of clusters, or the sum of their weights.

    Source: Hubert and Arabie 1985, "Comparing partitions", equation 5.

    Example:

    >>> adjusted_rand(np.array([[0, 3], [4, 0]]))
    1.0
    """
    both, first, second, every = (
        math.fsum(count * (count - 1) / 2 for count in np.ravel(counts).tolist())
        for counts in (table, table.sum(axis=1), table.sum(axis=0), table.sum())
    )
    expected, most = first * second / every, 0.5 * (first + second)
    return 1.0 if most == expected else (both - expected) / (most - expected)


def share_same(table: np.ndarray) -> float:
    """Computes the share of rows in clusters that are each other's partners, with clusters paired in the best way.

    Args:
        table: (K, L), number of rows in each pair of clusters, or the sum of their weights.

    Example:

    >>> share_same(np.array([[1, 3], [4, 0], [0, 2]]))
    0.7
    """
    from scipy.optimize import linear_sum_assignment  # a fifth of a second to import: only when it is used

    return float(table[linear_sum_assignment(table, maximize=True)].sum() / table.sum())


def verdict(comparison: RowsCompared) -> str:
    """Says in plain words which of two mixtures describes the rows better, if the rows can show it.

    Example:

    >>> verdict(RowsCompared(100, 0, -4.0, -3.9, 0.1, 0.021, 1.0, 1.0))
    'B describes these rows better, by 0.100 ± 0.021 nats per row'
    """
    size, error = abs(comparison.difference), comparison.standard_error
    if size < _ROUNDING:
        return "no difference: both describe these rows equally well"
    decimals = max(0, 1 - math.floor(math.log10(max(error, _ROUNDING))))  # two digits of the error
    amount = f"{size:.{decimals}f} ± {error:.{decimals}f} nats per row"
    better = "B" if comparison.difference > 0 else "A"
    if size <= _CLEAR * error:
        return f"no difference that these rows can show: {better} is ahead by {amount}"
    return f"{better} describes these rows better, by {amount}"
