"""Columns of a table are drawn under the names that the draws have for them, wherever they stand in the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pictures import bars_of

from tfgmm import Draws, plot

pytestmark = pytest.mark.usefixtures("no_figures_left")

LOCS = np.array([[0.0, 100.0], [4.0, 110.0]])
DRAWS = Draws(np.full((1, 3, 2), 0.5), np.tile(LOCS, (1, 3, 1, 1)), np.ones((1, 3, 2, 2)), ("a", "b"))
ROWS = np.random.default_rng(0).normal(size=(40, 2)) + LOCS[np.arange(40) % 2]
FRAME = pd.DataFrame({"b": ROWS[:, 1], "kind": "x", "a": ROWS[:, 0]})
DRAWN: dict[str, Callable[[Any], Any]] = {
    "column_density": lambda rows: plot.column_density(DRAWS, rows, column="a"),
    "pairs": lambda rows: plot.pairs(DRAWS, rows, num_points=4)[0, 0],
}


def assert_same_bars(found: Any, expected: Any) -> None:
    for one, other in zip(bars_of(found), bars_of(expected), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("kind", [pd.DataFrame, pa.table])
def test_tables_are_drawn_as_their_columns_in_the_order_of_the_draws(name: str, kind: Callable[[Any], Any]) -> None:
    assert_same_bars(DRAWN[name](kind(FRAME)), DRAWN[name](ROWS))


def test_checks_of_predictions_take_the_column_by_its_name() -> None:
    for draw in (plot.predictive_check, lambda *args, **kwargs: plot.predictive_statistic(*args, 0.5, **kwargs)):
        found, expected = (draw(rows, DRAWS, column="a") for rows in (FRAME, ROWS))
        assert [text.get_text() for text in found.texts] == [text.get_text() for text in expected.texts]
        for one, other in zip(found.lines, expected.lines, strict=True):
            np.testing.assert_array_equal(one.get_xydata(), other.get_xydata())
        assert found.get_xlim() == expected.get_xlim()


def test_gaps_of_tables_stay_gaps_and_infinite_values_are_refused() -> None:
    gaps = FRAME.assign(a=FRAME["a"].where(FRAME.index > 4).astype("Float64"))
    labels = plot.column_density(DRAWS, gaps, column="a").get_legend_handles_labels()[1]
    assert "35 rows (5 lack a value)" in labels
    with pytest.raises(ValueError, match="`rows` must hold no infinite number. Received: 1 of 80 values"):
        plot.column_density(DRAWS, FRAME.assign(a=[np.inf, *ROWS[1:, 0]]))


def test_a_table_that_lacks_a_column_is_refused_by_its_name() -> None:
    for lacking, missing in (({"a": "depth"}, "'a'"), ({"a": "depth", "b": "width"}, "'a', 'b'")):
        with pytest.raises(
            ValueError, match=f"`rows` must have the columns .*: 'a', 'b'. Received: missing: {missing}"
        ):
            plot.pairs(DRAWS, FRAME.rename(columns=lacking))


def test_without_names_on_either_side_columns_are_taken_by_their_place() -> None:
    unnamed = Draws(DRAWS.weights, DRAWS.locs, DRAWS.scales)
    expected = plot.column_density(unnamed, ROWS, column=0)
    assert_same_bars(plot.column_density(unnamed, FRAME[["a", "b"]], column=0), expected)
    assert_same_bars(plot.column_density(DRAWS, pd.DataFrame(ROWS), column="a"), expected)
    with_one = Draws(DRAWS.weights, DRAWS.locs[..., :1], DRAWS.scales[..., :1], ("a",))
    assert_same_bars(plot.column_density(with_one, FRAME["a"].rename("other")), expected)
