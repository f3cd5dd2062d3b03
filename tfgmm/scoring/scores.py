"""Rows of any kind scored under a mixture at known parameters: for the model, exports and commands.

Rows are scored in blocks, so that no N x K array exists, except for responsibilities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tfgmm.data.blocks import RowBlock
from tfgmm.data.readers import Rows
from tfgmm.data.sources import check_ends, open_source
from tfgmm.data.summary import centre as centre_rows
from tfgmm.mixture import outliers
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.mixture.row_scores import Score
from tfgmm.mixture.sampling import sample_rows
from tfgmm.posterior.draws import Draws
from tfgmm.scoring.devices import BlockScorer, block_scorer

Scores = dict[str, np.ndarray]

# Numbers scored at a time. With fewer, cores wait for each other at the end of each block.
_BLOCK_VALUES = 2**22


def as_draws(mixture: MixtureDensity, column_names: tuple[str, ...] | None = None) -> Draws:
    """Turns one mixture, or S of them, into draws of a single chain, data units."""
    scales, covariances = mixture.form.covariances(mixture.components)
    locs = np.asarray(mixture.components["locs"]) + mixture.centre
    axes = (1,) * (3 - np.ndim(mixture.log_weights))  # in front: of chains; for one mixture, of draws too

    def chain(values: np.ndarray) -> np.ndarray:
        return values.reshape(*axes, *values.shape)

    return Draws(
        weights=chain(np.exp(mixture.log_weights)),
        locs=chain(locs),
        scales=chain(np.broadcast_to(scales, locs.shape)),  # tied ones are repeated for each component
        covariances=None if covariances is None else chain(covariances),
        column_names=column_names,
    )


def score_data(
    mixture: MixtureDensity,
    data: Any,
    score: Score,
    column_names: tuple[str, ...] | None = None,
    by_graph: bool | None = None,
) -> np.ndarray:
    """Computes one figure, or one line of figures, per row.

    Args:
        mixture: The mixture, or S of them, whose average is scored.
        data: N rows of any kind that `open_source` takes, data units.
        score: "log_prob" (N,) float32 nats, "log_density" the same in float64, "responsibilities" (N, K) float32,
            "memberships" the same in float64, or "assignment" (N,) int64.
        column_names: Names of the training columns: columns with names are put in that order.
        by_graph: Whether TensorFlow scores, with the operations that an export has; by default where there is a GPU.

    Rows with gaps, NaN, are scored by the columns that they have. Those without any value or with an infinite one get
    NaN (assignment -1); their neighbours are untouched. Rows are rounded to float32 once centred; the products are in
    float64: exact to 1e-6 nats for components down to 1e-4 of the range of the rows (to 1e-3 nats down to 1e-6 of it),
    at any offset. A log density below -3.4e38 is raised to that.

    Raises:
        ValueError: The columns are wrong, or a finite value is beyond float32 (3.4e38) once centred.
    """
    return scored(block_scorer(mixture, by_graph), data, score, column_names)


def scored(
    scorer: BlockScorer, data: Any, score: Score, column_names: tuple[str, ...] | None, noise: Any = None
) -> np.ndarray:
    """Computes one score of rows of any kind, block by block; see `score_data`, and `open_source` for the noise."""

    def of_block(block: RowBlock) -> Scores:
        scores, num_bad = scorer.scores(block, [score])
        check_range(block, num_bad, scorer.centre, name_of(data))
        return scores

    return mapped_over_data(scorer.centre, data, of_block, column_names, noise)[score]


def check_range(block: RowBlock, num_bad: int, centre: np.ndarray, name: str) -> None:
    """Checks rows some of which have no score: Raises ValueError for a finite value beyond float32, and says where."""
    if num_bad:
        centre_rows(block.values, centre, name=name)


def name_of(data: Any) -> str:
    """Says what the caller calls rows that are scored: those opened before have a name."""
    return data.name if isinstance(data, Rows) else "x"


def mapped_over_data(
    centre: np.ndarray,
    data: Any,
    function: Callable[[RowBlock], Scores],
    column_names: tuple[str, ...] | None,
    noise: Any = None,
) -> Scores:
    """Stacks the arrays by name that `function` computes for blocks of rows (n, D), data units, in their order.

    Args:
        centre: (D,) float64, data units; what rows are measured from.
        data, column_names: As in `score_data`.
        function: Function from a block to arrays with one entry per row.
        noise: Measurement noise of the rows, as `open_source` takes it.
    """
    source = open_source(data, "x", len(centre), column_names, allow_empty=True, noise=noise)
    return _stacked([function(block) for block in _blocks(source, len(centre))])


def _blocks(source: Any, num_features: int) -> Iterator[RowBlock]:
    """Yields the rows of a source in blocks, at least one; the blocks of rows in memory are large."""
    if isinstance(source, Rows):
        size = max(1, _BLOCK_VALUES // num_features)
        whole = RowBlock(source.values, None, source.noise)
        yield from (whole.part(slice(start, start + size)) for start in range(0, max(len(source.values), 1), size))
        return
    check_ends(source, None, "Use .take(n) to score its first n batches.")
    yield RowBlock(np.zeros((0, num_features)))
    yield from source.blocks()


def _stacked(blocks: list[Scores]) -> Scores:
    return blocks[0] if len(blocks) == 1 else {name: np.concatenate([b[name] for b in blocks]) for name in blocks[0]}


def outlier_table(
    mixture: MixtureDensity, is_seen: np.ndarray | None = None, num_samples: int = outliers.NUM_SAMPLES
) -> np.ndarray:
    """Computes quantiles of the log density over 100,000 rows that the mixture draws; see `outliers.table_of`.

    They are scored as any rows are, by NumPy on every machine. They are drawn around 0, where float64 is most precise.

    Args:
        mixture: One mixture.
        is_seen: (D,) bool, the columns whose density it is; None for all.
        num_samples: Number of rows.
    """
    around_zero = mixture._replace(centre=np.zeros_like(mixture.centre))
    size = max(1, _BLOCK_VALUES // len(mixture.centre))
    blocks = []
    for part, start in enumerate(range(0, num_samples, size)):
        rows = sample_rows(around_zero, min(size, num_samples - start), outliers.SEED, part)
        if is_seen is not None:
            rows[:, ~is_seen] = np.nan
        blocks.append(score_data(around_zero, rows, "log_density", by_graph=False))
    return outliers.table_of(np.concatenate(blocks))
