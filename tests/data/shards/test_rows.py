"""Rows in parts: surveyed, sampled, held and summed, against the same rows in memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from array_engine import rows_in_parts

from tfgmm.data.blocks import RowBlock
from tfgmm.data.rows import Rows
from tfgmm.data.shards import part as parts_module
from tfgmm.data.shards.part import SEAL_ROWS, rows_and_seal
from tfgmm.data.survey import survey_rows

NAMES = ["a", "b", "c"]


@pytest.fixture(autouse=True)
def small_parts() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* partitions of ")
        yield


def skewed(num_rows: int, seed: int = 0) -> tuple[np.ndarray, list[np.ndarray]]:
    """Makes rows, and cuts them into parts of which one is empty and one has most of the rows."""
    rows = np.random.default_rng(seed).normal([1e4, -3.0, 0.5], [1.0, 2.0, 1e-3], (num_rows, 3))
    return rows, np.split(rows, [10, 10, 500, 900])


def test_summary_is_that_of_the_rows_in_memory() -> None:
    rows, parts = skewed(5000)
    found = rows_in_parts(parts, NAMES)[0].survey(0).summary
    known = survey_rows(Rows(rows, tuple(NAMES), missing="integrate"), None, 0).summary
    assert (found.num_data, found.column_names, found.fingerprint) == (5000, tuple(NAMES), known.fingerprint)
    assert (found.minimum, found.maximum) == (known.minimum, known.maximum)
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.scale, rows.std(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(survey_rows(rows_in_parts(parts, NAMES)[0], None, 0).sample, rows)


def test_summary_with_weights_and_gaps_is_that_of_the_rows_in_memory() -> None:
    rows, _ = skewed(3000)
    rng = np.random.default_rng(1)
    rows[:400, 0] = np.nan  # a part without a value in a column
    rows[rng.random(rows.shape) < 0.1] = np.nan
    rows[5] = np.nan
    weights = rng.integers(0, 4, 3000).astype(float)
    parts = np.split(np.column_stack([rows, weights]), [400, 401, 2000])
    found = rows_in_parts(parts, NAMES, weights="count")[0].survey(0).summary
    import tfgmm.data.sources as sources

    known = survey_rows(
        sources.open_source(rows, "x", None, sample_weight=weights, missing="integrate"), None, 0
    ).summary
    for field in ("num_data", "num_rows", "gaps", "num_incomplete", "num_empty", "num_weightless", "fingerprint"):
        assert getattr(found, field) == getattr(known, field), field
    assert found.weights_name == "count"
    np.testing.assert_allclose(found.mean, known.mean, rtol=1e-13)
    np.testing.assert_allclose(found.scale, known.scale, rtol=1e-12)


def test_sample_of_one_part_is_that_of_the_rows_in_memory() -> None:
    rows, _ = skewed(30_000)
    np.testing.assert_array_equal(
        rows_in_parts([rows], NAMES)[0].survey(7).sample, survey_rows(Rows(rows), None, 7).sample
    )


def priorities_by_hand(sizes: Sequence[int], seed: int) -> np.ndarray:
    """Draws the priority of each row by its part and its number, with numbers of their own for each 65,536 rows."""
    found = []
    for part, size in enumerate(sizes):
        for chunk in range(0, size, 65_536):
            counter = np.array([0, chunk // 65_536, part, 0], np.uint64)
            generator = np.random.Generator(np.random.Philox(key=np.array([seed, 0], np.uint64), counter=counter))
            found.append(generator.random(min(65_536, size - chunk)))
    return np.concatenate(found)


def test_sample_is_exactly_uniform_whatever_the_parts() -> None:
    numbers = np.arange(250_000.0)[:, None]
    ends = [10, 10, 5_000, *range(5_100, 15_000, 100), 200_000]  # 102 small parts, one large one that is asked again
    parts = np.split(numbers, ends)
    rows, engine = rows_in_parts(parts, ["number"], block_rows=30_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts_module, "_SAMPLE_BYTES", 0)
        sample = rows.survey(5).sample[:, 0]
    assert engine.calls == ["survey", "survey"]
    smallest = np.sort(np.argsort(priorities_by_hand([len(part) for part in parts], 5))[:20_000])
    np.testing.assert_array_equal(sample, smallest)


def plain_sums(number: int, blocks: Iterator[RowBlock]) -> np.ndarray:
    """Adds the rows of a part, and counts them."""
    del number
    totals, seal = np.zeros(4), np.zeros(SEAL_ROWS)
    for block in rows_and_seal(blocks):
        if isinstance(block, RowBlock):
            assert block.values.dtype == np.float32
            totals += [*block.values.sum(axis=0, dtype=np.float64), len(block.values)]
        else:
            seal = block
    return np.concatenate([totals, seal])


def test_held_rows_are_centred_and_cut_alike_whatever_blocks_they_come_in() -> None:
    rows, parts = skewed(70_000)
    found = []
    for block_rows in (999, 70_000):
        shards, engine = rows_in_parts(parts, NAMES, block_rows=block_rows)
        shards.hold(np.array(shards.survey(0).summary.centre))
        found.append(shards.sums(plain_sums))
        assert engine.held is not None
        assert [len(part) for part in engine.held] == [2, 1, 2, 2, 3]  # blocks of 65,536 rows, and the seal
        shards.release()
        assert engine.held is None
    assert found[0].tobytes() == found[1].tobytes()
    centred = (rows - np.array(shards.survey(0).summary.centre)).astype(np.float32)
    np.testing.assert_allclose(found[0][:3], centred.sum(axis=0, dtype=np.float64), rtol=1e-9)
    assert found[0][3] == 70_000


@pytest.mark.parametrize("change", ["value", "order", "row", "parts"])
def test_rows_that_change_are_refused(change: str) -> None:
    rows, parts = skewed(2000)
    passes = 0

    def changing() -> list[np.ndarray]:
        nonlocal passes
        passes += 1
        now = [part.copy() for part in parts]
        if passes > 2:  # after the survey and the first hold
            now[2] = {"value": now[2] + 1e-9, "order": now[2][::-1], "row": now[2][:-1], "parts": now[2]}[change]
        return [*now[:3], now[4], now[3]] if passes > 2 and change == "parts" else now

    shards, _ = rows_in_parts(changing, NAMES)
    shards.hold(np.array(shards.survey(0).summary.centre))
    assert passes == 2
    np.testing.assert_allclose(shards.sums(plain_sums)[3], 2000)
    shards.release()
    shards.hold(np.zeros(3))
    with pytest.raises(
        ValueError,
        match="`data` must give the same rows in the same order.*write it to Parquet".replace("write", "Write"),
    ):
        shards.sums(plain_sums)
