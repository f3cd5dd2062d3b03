"""What columns were rounded to is found in any unit, and numbers that were not rounded have no step."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris

from tfgmm.mixture.rounding import steps_of

GENERATOR = np.random.default_rng(0)
NUMBERS = GENERATOR.normal(size=400)


def step_of(values):
    [step] = steps_of(np.asarray(values, np.float64)[:, None])
    return step


@pytest.mark.parametrize("step", [1.0, 5.0, 0.1, 0.25, 0.01])
def test_the_step_of_rounded_numbers_is_found_in_any_unit_and_at_any_offset(step):
    values = np.rint(20.0 * NUMBERS) * step
    assert step_of(values) == pytest.approx(step, rel=1e-9)
    assert step_of(np.pi * values) == pytest.approx(np.pi * step, rel=1e-9)  # no decimals any more
    assert step_of(1e-9 * values) == pytest.approx(1e-9 * step, rel=1e-9)
    assert step_of(1e5 + values) == pytest.approx(step, rel=1e-6)


def test_decimals_that_were_written_in_float32_keep_their_step():
    assert step_of(np.round(NUMBERS, 1).astype(np.float32)) == pytest.approx(0.1, rel=1e-5)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_numbers_that_were_not_rounded_have_none(dtype):
    assert step_of(NUMBERS.astype(dtype)) == 0.0
    assert step_of(NUMBERS[:3].astype(dtype)) == 0.0


def test_a_step_far_below_the_range_is_of_no_account():
    assert step_of(np.rint(1e6 * NUMBERS) / 1e6) == 0.0


def test_few_rows_do_not_take_their_distances_for_a_step():
    assert step_of([0.0, 0.7, 1.6]) == pytest.approx(0.1)


def test_one_value_has_none():
    assert step_of([3.0, 3.0]) == 0.0


def test_each_column_has_its_own():
    rows = np.column_stack([np.rint(10 * NUMBERS), NUMBERS, np.round(NUMBERS, 2)])
    np.testing.assert_allclose(steps_of(rows), [1.0, 0.0, 0.01], rtol=1e-9)
    np.testing.assert_allclose(steps_of(load_iris().data), 0.1, rtol=1e-9)  # millimetres, in centimetres


@pytest.mark.parametrize("step", [1.0, 0.1, 0.01, 0.001, 2.54, 1 / 3])
def test_few_values_have_the_largest_step_that_divides_them(step):
    """By whole numbers; steps that were found from steps carry their errors along."""
    generator = np.random.default_rng(1)
    for number in (3, 4, 8, 30):
        for most in (10, 100, 1000):
            multiples = np.unique(generator.integers(0, most, number))
            expected = np.gcd.reduce(np.diff(multiples)) * step
            assert step_of(10.0 + multiples * step) == pytest.approx(expected, rel=1e-6)


def test_a_value_beyond_float32_has_no_step_and_no_warning():
    assert step_of([1e39, *NUMBERS]) == 0.0


def test_numbers_that_differ_in_the_last_digits_alone_are_one():
    values = [0.1 + 0.2, 0.3, 0.5, 0.6, 1.1 - 0.2]
    assert 0.1 + 0.2 != 0.3
    assert step_of(values) == pytest.approx(0.1)


def test_values_that_are_all_there_is_have_the_distance_of_neighbours():
    """0.8713 of whole dollars, in cents: these are multiples of a cent, of which few are ever there."""
    dollars = np.round(0.8713 * np.rint(20.0 + 3.0 * NUMBERS), 2)
    assert len(np.unique(dollars)) < len(dollars) / 5
    assert step_of(dollars) == pytest.approx(0.87)
    assert step_of(np.unique(dollars)) == pytest.approx(0.01)  # each once: cents may be all there is to it
