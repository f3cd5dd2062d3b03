"""Few values, a repeated one and heaps are found in columns made so, and not in columns that were measured."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris

from tfgmm.mixture.column_values import values_of

NUM_ROWS = 1000
GENERATOR = np.random.default_rng(0)
AGES = np.rint(GENERATOR.normal(45.0, 12.0, NUM_ROWS))
IS_ROUNDED = GENERATOR.random(NUM_ROWS) < 0.35
AMOUNTS = GENERATOR.lognormal(1.0, 1.0, NUM_ROWS)
MEASURED = {
    "ages": AGES,
    "normal": GENERATOR.normal(size=NUM_ROWS),
    "one decimal": np.round(GENERATOR.normal(size=NUM_ROWS), 1),
    "float32": GENERATOR.normal(size=NUM_ROWS).astype(np.float32).astype(float),
    "geometric": GENERATOR.geometric(0.1, NUM_ROWS).astype(float),
    "even numbers": 2.0 * np.rint(GENERATOR.normal(50.0, 12.0, NUM_ROWS)),
    "thirty of them": AGES[:30],
    "clusters at multiples": np.rint(np.repeat([0.0, 8.0], 500) + GENERATOR.normal(0.0, 1.0, NUM_ROWS)),
    "five clusters at multiples": np.rint(
        np.repeat([0.0, 8.0, 16.0, 40.0, 48.0], 200) + GENERATOR.normal(size=NUM_ROWS)
    ),
    "petals": load_iris().data[:, 2],
}


@pytest.mark.parametrize("name", MEASURED)
def test_measured_columns_are_none_of_these(name):
    found = values_of(MEASURED[name])
    assert not found.is_few and np.isnan(found.repeated) and found.heaped_share == 0.0


@pytest.mark.parametrize(
    ("values", "step"),
    [([0.0, 1.0], 1.0), ([2007.0, 2008.0, 2009.0], 1.0), ([0.0, 0.3333, 1.0], 0.3333), ([1.0, 2.5, 3.0], 0.5)],
)
def test_a_handful_of_values_that_rows_share(values, step):
    column = GENERATOR.choice(values, 60)
    found = values_of(column)
    assert found.is_few and found.num_values == len(values) and found.step == pytest.approx(step)
    assert not values_of(np.array(values)).is_few  # nothing is repeated
    assert not values_of(np.arange(11.0).repeat(20)).is_few


@pytest.mark.parametrize("value", [0.0, 99.5])
@pytest.mark.parametrize("share", [0.05, 0.4])
def test_a_value_that_stands_for_something_else(value, share):
    column = np.where(np.arange(NUM_ROWS) < share * NUM_ROWS, value, AMOUNTS)
    found = values_of(column)
    assert (found.repeated, found.repeated_share, found.heaped_share) == (value, share, 0.0)
    few = np.where(np.arange(NUM_ROWS) < 9, value, AMOUNTS)  # ten rows are the fewest
    assert np.isnan(values_of(few).repeated)
    assert np.isnan(values_of(few[:100]).repeated_share) or values_of(few[:100]).repeated_share == 0.0


@pytest.mark.parametrize(("step", "unit"), [(5.0, 1.0), (10.0, 1.0), (5.0, 2.54)])
def test_heaps_are_found_in_any_unit(step, unit):
    column = np.where(IS_ROUNDED, step * np.rint(AGES / step), AGES)
    found = values_of(unit * column)
    assert found.step == pytest.approx(step * unit)
    assert found.expected_share == pytest.approx(1.0 / step)
    assert found.heaped_share == pytest.approx((column % step == 0).mean())
    assert found.rounding_variance == pytest.approx((step * unit) ** 2 / 12)
    assert np.isnan(found.repeated)  # the heaps are many


def test_heaps_among_numbers_that_have_no_step_of_account():
    salaries = GENERATOR.lognormal(10.8, 0.4, NUM_ROWS)
    column = np.where(IS_ROUNDED, 1000.0 * np.rint(salaries / 1000), np.round(salaries, 2))
    found = values_of(column)
    assert found.step == 1000.0 and found.heaped_share == pytest.approx(IS_ROUNDED.mean(), abs=0.001)


def test_a_narrow_group_beside_rounded_numbers_is_no_rounding():
    column = np.where(IS_ROUNDED, np.rint(GENERATOR.normal(50.0, 9.0, NUM_ROWS)), GENERATOR.normal(3.3, 0.01, NUM_ROWS))
    assert values_of(column).heaped_share == 0.0


@pytest.mark.parametrize("column", [np.zeros(0), np.array([3.0]), np.full(50, 7.0), np.array([1.0, 1.0, 1e150])])
def test_columns_that_say_nothing(column):
    found = values_of(column)
    assert not found.is_few and found.heaped_share == 0.0
