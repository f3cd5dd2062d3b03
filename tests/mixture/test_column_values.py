"""Few values, a repeated one and heaps are found in columns made so, and not in columns that were measured."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris

from tfgmm.mixture.column_values import values_of, values_of_columns

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
    assert not found.is_few and found.repeated == () and found.heaped_share == 0.0


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


PRICES = [4.99, 9.99, 14.99, 19.99, 24.99, 29.99, 39.99, 49.99, 59.99, 79.99, 89.99, 99.99]


def test_prices_are_few_values_too():
    assert values_of(GENERATOR.choice(PRICES, 800)).is_few
    assert not values_of(GENERATOR.integers(18, 37, 800).astype(float)).is_few


@pytest.mark.parametrize("value", [0.0, 99.5])
@pytest.mark.parametrize("share", [0.05, 0.4])
def test_a_value_that_stands_for_something_else(value, share):
    column = np.where(np.arange(NUM_ROWS) < share * NUM_ROWS, value, AMOUNTS)
    found = values_of(column)
    assert (found.repeated, found.heaped_share) == (((value, share),), 0.0)
    few = np.where(np.arange(NUM_ROWS) < 9, value, AMOUNTS)  # ten rows are the fewest
    assert values_of(few).repeated == values_of(few[:100]).repeated == ()


def test_several_values_that_stand_for_something_else():
    """They are multiples of 3, and no heaps."""
    heights = np.round(np.where(np.arange(600) < 300, 50.0, 60.0) + GENERATOR.normal(size=600), 2)
    heights[:90], heights[300:390] = 0.0, -99.0
    found = values_of(heights)
    assert found.repeated == ((-99.0, 0.15), (0.0, 0.15)) and found.heap_step == 0.0
    assert found.step == pytest.approx(0.01)


UNREPEATED = {
    "a narrow group and a wide one": np.r_[GENERATOR.normal(1, 0.05, 150), GENERATOR.normal(6, 1.5, 250)].round(2),
    "many near zero": GENERATOR.beta(0.5, 3.0, 2000).round(3),
    "counts": GENERATOR.negative_binomial(1, 0.1, 1000).astype(float),
    "inches": (np.r_[GENERATOR.normal(10, 1, 300), GENERATOR.normal(14, 1, 300)] / 2.54).round(2),
}


@pytest.mark.parametrize("name", UNREPEATED)
def test_common_values_among_common_values_stand_for_themselves(name):
    assert values_of(UNREPEATED[name]).repeated == ()


@pytest.mark.parametrize(("step", "unit"), [(5.0, 1.0), (10.0, 1.0), (5.0, 2.54)])
def test_heaps_are_found_in_any_unit(step, unit):
    column = np.where(IS_ROUNDED, step * np.rint(AGES / step), AGES)
    found = values_of(unit * column)
    assert found.step == pytest.approx(unit) and found.heap_step == pytest.approx(step * unit)
    assert found.expected_share == pytest.approx(1.0 / step)
    assert found.heaped_share == pytest.approx((column % step == 0).mean())
    # A mean over rows of which some were rounded to one, others to the wider step
    errors = np.where(IS_ROUNDED, step * unit, unit) ** 2 / 12
    assert found.rounding_variance == pytest.approx(errors.mean(), rel=0.2)
    assert found.repeated == ()  # the heaps are many


def test_heaps_among_numbers_that_have_no_step_of_account():
    salaries = GENERATOR.lognormal(10.8, 0.4, NUM_ROWS)
    column = np.where(IS_ROUNDED, 1000.0 * np.rint(salaries / 1000), np.round(salaries, 2))
    found = values_of(column)
    assert (
        found.step == 0.0
        and found.heap_step == 1000.0
        and found.heaped_share == pytest.approx(IS_ROUNDED.mean(), abs=0.001)
    )


def groups(means, widths, number):
    return np.concatenate([GENERATOR.normal(mean, width, number) for mean, width in zip(means, widths)])


def rounded(values, step, share):
    return np.where(GENERATOR.random(len(values)) < share, step * np.rint(values / step), values)


def significant(values, digits):
    return np.array([float(f"{value:.{digits}g}") for value in values])


FINE = {
    "a narrow group beside rounded numbers": (
        np.concatenate([np.rint(GENERATOR.normal(50.0, 9.0, 400)), GENERATOR.normal(3.3, 0.01, 600)]),
        0.01,
    ),
    "five groups, some rounded": (np.rint(rounded(groups([37, 48, 62, 73, 86], [1] * 5, 200), 5.0, 0.25)), 1.0),
    "a narrow group among rounded ones": (rounded(groups([100, 112.3], [20, 0.6], 500), 10.0, 0.2).round(1), 0.6),
    "three digits, far apart": (significant(groups([2.2, 150], [0.15, 30], 300), 3), 0.15),
    "three digits, log-normal": (significant(np.exp(GENERATOR.normal(0.0, 1.5, 1000)), 3), 0.1),
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_measured_more_finely_than_its_spread_says_is_not_taken_for_rounded(name):
    """Rounding adds at most a tenth to the variance of the finest group."""
    column, width = FINE[name]
    assert values_of(column).rounding_variance <= 0.1 * width**2


def test_the_step_of_groups_measured_in_three_digits_is_that_of_the_finest():
    column = significant(groups([5.0, 50.0, 500.0], [0.05, 0.5, 50.0], 700), 3)
    assert values_of(column).step == pytest.approx(0.01)


@pytest.mark.parametrize("column", [np.zeros(0), np.array([3.0]), np.full(50, 7.0), np.array([1.0, 1.0, 1e150])])
def test_columns_that_say_nothing(column):
    found = values_of(column)
    assert not found.is_few and found.heaped_share == 0.0


COUNTS = np.random.default_rng(8).integers(1, 9, 900)
KINDS = {
    "measured": np.random.default_rng(9).normal(size=900),
    "few": np.random.default_rng(9).integers(0, 4, 900).astype(np.float64),
    "prices": np.random.default_rng(9).choice(np.geomspace(1.0, 3e4, 16).round(), 900),
    "rounded": np.random.default_rng(9).normal(size=900).round(1),
    "heaped": np.where(IS_ROUNDED, 5.0 * np.rint(AGES / 5.0), AGES)[:900],
    "repeated": np.where(np.arange(900) % 3, np.random.default_rng(9).normal(size=900), 0.0),
    "with gaps": np.where(np.arange(900) % 3, np.random.default_rng(9).normal(size=900).round(2), np.nan),
    "one": np.full(900, 3.0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_values_with_counts_are_those_of_repeated_rows(kind):
    column = KINDS[kind]
    found = values_of(column, COUNTS.astype(np.float64))
    assert found == values_of(np.repeat(column, COUNTS))
    assert found != values_of(column)
    if kind in ("few", "prices"):
        assert found.is_few
    if kind == "heaped":
        assert found.heap_step == 5.0
    if kind == "repeated":
        assert found.repeated
    [same] = values_of_columns(column[:, None], COUNTS.astype(np.float64))
    assert same == found != values_of_columns(column[:, None])[0]  # remembered with their counts


def test_a_column_without_values_has_none_whatever_they_count():
    assert values_of(np.full(5, np.nan), np.full(5, 2.0)) == values_of(np.full(5, np.nan))
