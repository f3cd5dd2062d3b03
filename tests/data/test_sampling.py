"""Choices among rows and orders of them depend on the seed and the rows alone."""

from __future__ import annotations

import numpy as np
import pytest

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
