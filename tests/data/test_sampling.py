"""Choices among rows and orders of them depend on the seed and the rows alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tfgmm.data.blocks import RowBlock
from tfgmm.data.sampling import BLOCK_ORDER, ROW_ORDER, SAMPLE, RowSample, random_numbers, row_order

VALUES = np.arange(150_000.0)[:, None]


def sample_by(sizes: list[int], *, num_rows: int = 500, seed: int = 3) -> np.ndarray:
    sample = RowSample(num_rows, seed)
    for block in np.split(VALUES, np.cumsum(sizes)):
        sample.update(block)
    return sample.result()


def test_how_the_rows_are_cut_changes_nothing_in_the_sample() -> None:
    expected = sample_by([])
    assert expected.shape == (500, 1) and (np.diff(expected[:, 0]) > 0).all()
    for sizes in ([1, 2, 3], [65_536, 65_536], [7] * 1_000, [0, 149_999]):
        np.testing.assert_array_equal(sample_by(sizes), expected)
    assert not np.array_equal(sample_by([], seed=4), expected)


def test_every_row_has_the_same_chance() -> None:
    chosen = np.concatenate([sample_by([40_000], num_rows=1_000, seed=seed)[:, 0] for seed in range(20)])
    counts = np.histogram(chosen, bins=10, range=(0, len(VALUES)))[0]
    assert np.abs(counts - 2_000).max() < 5 * np.sqrt(2_000 * 0.9)


def test_few_rows_are_all_taken_in_float64_and_none_give_none() -> None:
    sample = RowSample(5, seed=0)
    assert sample.result().shape == (0, 0)
    sample.update(np.array([[3], [1]], np.int8))
    assert sample.result().tolist() == [[3.0], [1.0]] and sample.result().dtype == np.float64


def test_an_order_is_a_permutation_of_its_own_for_each_seed_epoch_and_block() -> None:
    orders = [row_order(*key, num_rows=1_000) for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(1_000))
    assert len({order.tobytes() for order in orders}) == 4
    np.testing.assert_array_equal(row_order(0, 1, 0, 1_000), orders[2])


@pytest.mark.parametrize("seed", [-1, 2**64 - 1, 2**70])
def test_any_whole_number_is_a_seed_and_no_two_purposes_share_numbers(seed: int) -> None:
    drawn = [random_numbers(seed, purpose).random() for purpose in (SAMPLE, BLOCK_ORDER, ROW_ORDER)]
    assert len(set(drawn)) == 3
    assert random_numbers(seed, SAMPLE).random() == random_numbers(seed % 2**64, SAMPLE).random()


def weighted_by(sizes: list[int], weights: np.ndarray, num_rows: int, seed: int = 3) -> RowBlock:
    sample = RowSample(num_rows, seed)
    whole = RowBlock(VALUES[: len(weights)], weights, VALUES[: len(weights)] / 2)
    for start, end in itertools.pairwise([0, *np.cumsum(sizes, dtype=int), len(weights)]):
        sample.update(whole.part(slice(start, end)))
    return sample.block(weights.sum())


def test_few_rows_are_all_there_with_their_weights() -> None:
    weights = np.linspace(0.5, 3.0, 100)
    for num_rows in (100, 101, 1_000):
        block = weighted_by([3, 40], weights, num_rows)
        np.testing.assert_array_equal(block.weights, weights)
        np.testing.assert_array_equal(block.values, VALUES[:100])
        np.testing.assert_array_equal(block.noise, VALUES[:100] / 2)


def test_the_sample_of_rows_with_weights_is_that_of_priorities_over_weights() -> None:
    weights = np.random.default_rng(1).gamma(0.3, 5.0, 70_000) + 1e-3
    keys = np.concatenate([random_numbers(3, SAMPLE, index=part).random(65_536) for part in (0, 1)])[:70_000] / weights
    order = np.argsort(keys)
    chosen = np.sort(order[:500])
    expected = np.maximum(weights[chosen], 1.0 / keys[order[500]])
    for sizes in ([], [1, 2, 3], [7] * 1_000, [0, 69_999]):
        block = weighted_by(sizes, weights, 500)
        np.testing.assert_array_equal(block.values[:, 0], chosen)
        np.testing.assert_allclose(block.weights, expected * (weights.sum() / expected.sum()), rtol=1e-13)
        np.testing.assert_array_equal(block.noise, block.values / 2)


def test_sums_over_the_weighted_sample_are_right_on_average() -> None:
    weights = np.random.default_rng(1).gamma(0.3, 5.0, 3_000) + 1e-3
    figures = VALUES[:3_000, 0] + 1_000.0 * weights
    samples = [weighted_by([], weights, 300, seed) for seed in range(60)]
    found = [block.weights @ figures[block.values[:, 0].astype(int)] for block in samples if block.weights is not None]
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - weights @ figures) < 4.0 * error
    assert error < 0.02 * (weights @ figures)
