"""Names and numbers as people read them; untrusted text cannot steer a terminal."""

from __future__ import annotations

import numpy as np
import pytest

from tfgmm.common.words import beside, counted, printable, quoted, shown, shown_number, with_and


def test_numbers_get_the_digits_their_spread_supports() -> None:
    assert shown_number(80.00213, 0.003) == "80.0021"
    assert shown_number(1.5, 20.0) == "2"
    assert float(shown_number(1.23456e-9, 1e-11)) == pytest.approx(1.23e-9, rel=0.01)


@pytest.mark.parametrize("spread", [1e-300, 1e-7, 0.001, 0.01, 0.1, 1.0, 9.999, 1000.0, 1e15, 1e300])
@pytest.mark.parametrize("value", [0.0, -1.0, 123.456, -9.87654321e6, 1e7, 1e-12, 1e305])
def test_numbers_of_any_size_are_right_to_a_tenth_of_their_spread(value: float, spread: float) -> None:
    # seventeen digits are all that a float64 has
    assert abs(float(shown_number(value, spread)) - value) <= max(spread / 10.0, abs(value) * 1e-15)
    assert shown_number(np.float64(value), np.float64(spread)) == shown_number(value, spread)


def test_text_loses_its_control_characters() -> None:
    assert printable("a\x1b[31mb\nc") == "a?[31mb?c" and printable("größe") == "größe"
    assert shown("x\n" * 200) == "x?" * 100 and shown("abc", 2) == "ab"


def test_names_stand_in_quotes_the_first_twenty_of_them() -> None:
    assert quoted([]) == "none" and quoted(["a", "b"]) == "'a', 'b'"
    names = quoted([str(number) for number in range(22)])
    assert names.startswith("'0', '1'") and names.endswith("'19' and 2 more")


def test_lists_and_counts_read_as_sentences_do() -> None:
    assert (with_and([4]), with_and([4, 5]), with_and([4, 5, 6])) == ("4", "4 and 5", "4, 5 and 6")
    assert (counted(0, "row"), counted(1, "row"), counted(1000, "row")) == ("0 rows", "1 row", "1,000 rows")


@pytest.mark.parametrize(
    ("value", "limit", "text"),
    [
        (1.0132, 1.01, "1.013"),
        (1.01 + 1e-9, 1.01, "1.010000001"),
        (1.01, 1.01, "1.01"),
        (99.7, 100.0, "99.7"),
        (99.99, 100.0, "99.99"),
        (12.3456, 100.0, "12.3"),
        (1.5, 1.01, "1.5"),
        (1234.7, 100.0, "1,235"),
    ],
)
def test_a_number_beside_a_limit_stands_on_its_own_side(value: float, limit: float, text: str) -> None:
    assert beside(value, limit) == text
    assert (float(text.replace(",", "")) > limit) == (value > limit)
