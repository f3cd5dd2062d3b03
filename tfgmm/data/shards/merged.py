"""What the parts say of their rows, put together in the order of the parts: a summary, a sample, and what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfgmm.common.words import listed
from tfgmm.data.accumulator import SummaryAccumulator
from tfgmm.data.sampling import SAMPLE_ROWS, RowSample
from tfgmm.data.shards.part import SEAL_ROWS, PartFacts, ShardRules


class Counts(NamedTuple):
    """Counts over all parts.

    num_used: Rows that are used.
    num_empty, num_weightless: Rows without any value, and of weight 0, that were left out.
    """

    num_used: int
    num_empty: int
    num_weightless: int


def check_parts(facts: Sequence[PartFacts]) -> None:
    """Checks what parts say of their rows: Raises TypeError or ValueError for the first part with a fault."""
    faults = [(one.number, one.fault) for one in facts if one.fault is not None]
    if faults:
        (_, first), *others = faults
        numbers = listed([str(number) for number, _ in faults], 20)
        more = f" Partitions with such rows: {numbers}." if others else ""
        raise (TypeError if first.is_kind else ValueError)(first.words + more)


def merged_summary(facts: Sequence[PartFacts], rules: ShardRules) -> SummaryAccumulator:
    """Merges the summaries of the parts in their order.

    Raises:
        ValueError: A spread is beyond float64.
    """
    accumulator = SummaryAccumulator(name=rules.name, column_names=rules.column_names, missing=rules.missing)
    for one in facts:
        accumulator.merge(one.kept)
    return accumulator


def merged_counts(facts: Sequence[PartFacts]) -> Counts:
    """Adds the counts of the parts."""
    return Counts(
        *(sum(counts) for counts in zip(*((one.num_used, one.num_empty, one.num_weightless) for one in facts)))
    )


def merged_seal(facts: Sequence[PartFacts]) -> np.ndarray:
    """Adds the seals of the parts, (4,); whole numbers, so that their order does not matter."""
    return np.sum([one.seal for one in facts], axis=0, initial=0.0) if facts else np.zeros(SEAL_ROWS)


def merged_sample(facts: Sequence[PartFacts], seed: int) -> RowSample:
    """Chooses the rows with the smallest priorities of all parts, in the order of the parts and their rows."""
    sample = RowSample(SAMPLE_ROWS, seed)
    for one in facts:
        if len(one.priorities):
            sample.add(one.priorities, one.rows)
    return sample


def too_few_from(facts: Sequence[PartFacts], sample: RowSample) -> frozenset[int]:
    """Finds the parts that may have further rows of the sample of all, which they did not give.

    A part has none where it gave all its rows, or one whose priority is not below the largest that was chosen.
    """
    limit = sample.limit
    return frozenset(one.number for one in facts if len(one.priorities) < one.num_used and one.priorities.max() < limit)
