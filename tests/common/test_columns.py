"""Labels of columns: the names they have, else their places."""

from __future__ import annotations

import pytest

from tfgmm.common.columns import column_labels


@pytest.mark.parametrize("names", [("a", "b"), ["a", "b"]])
def test_names_are_kept_as_they_are(names: list[str]) -> None:
    assert column_labels(names, 2) == ("a", "b")


def test_columns_without_names_are_counted_from_0() -> None:
    assert column_labels(None, 2) == ("column 0", "column 1")
    assert column_labels((), 1) == ("column 0",)


def test_names_for_files_have_no_spaces() -> None:
    assert column_labels(None, 2, "_") == ("column_0", "column_1")
