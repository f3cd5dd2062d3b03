"""The SELECT of a mixture gives in SQLite and DuckDB what SciPy and our own scorers give, whatever names there are."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import duckdb
import numpy as np
import pytest
from any_mixtures import any_mixture, scipy_scores

from tfgmm.export.sql.names import SQL_SCORES
from tfgmm.export.sql.select import select_of
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.mixture.registry import COVARIANCES
from tfgmm.scoring.scores import score_data

ENGINES = ["sqlite", "duckdb"]


def run(
    engine: str,
    text: str,
    names: Sequence[str],
    rows: Any,
    table: str = '"rows"',
    kind: str = "DOUBLE PRECISION",
) -> dict[str, np.ndarray]:
    """Puts rows into a table with a column `id`, runs a SELECT and returns its columns by name, in the rows' order."""
    connection: Any = sqlite3.connect(":memory:") if engine == "sqlite" else duckdb.connect()
    columns = ", ".join('"' + name.replace('"', '""') + f'" {kind}' for name in names)
    connection.execute(f'CREATE TABLE {table} ("id" INTEGER, {columns})')
    values = [[place, *row] for place, row in enumerate(rows.tolist() if isinstance(rows, np.ndarray) else rows)]
    # the last row first: only the key says which is which
    connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * (len(names) + 1))})", values[::-1])
    cursor = connection.execute(text)
    titles = [column[0] for column in cursor.description]
    found = sorted(cursor.fetchall())
    return {title: np.array(values) for title, values in zip(titles, zip(*found))}


def names_of(mixture: MixtureDensity) -> list[str]:
    return [f"x{place}" for place in range(len(mixture.centre))]


def run_all(engine: str, mixture: MixtureDensity, rows: Any, **options: Any) -> dict[str, np.ndarray]:
    names = names_of(mixture)
    return run(engine, select_of(mixture, names, "rows", SQL_SCORES, ["id"]), names, rows, **options)


def shares_in(found: dict[str, np.ndarray]) -> np.ndarray:
    return np.stack([values for name, values in found.items() if name.startswith("responsibility_")], axis=1)


def check(found: dict[str, np.ndarray], mixture: MixtureDensity, rows: np.ndarray) -> None:
    densities, shares = scipy_scores(mixture, rows)
    np.testing.assert_array_equal(found["id"], range(len(rows)))
    np.testing.assert_allclose(found["log_prob"].astype(float), densities, rtol=1e-9)
    np.testing.assert_allclose(shares_in(found).astype(float), shares, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(found["assignment"], shares.argmax(axis=1))


def some_rows(mixture: MixtureDensity, number: int = 20, spread: float = 3.0) -> np.ndarray:
    return mixture.centre + np.random.default_rng(7).normal(scale=spread, size=(number, len(mixture.centre)))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize("sizes", [(1, 1), (3, 1), (1, 2), (5, 3)])
def test_every_shape_is_scored_as_by_scipy(engine: str, covariance: str, sizes: tuple[int, int]) -> None:
    mixture = any_mixture(covariance, *sizes)
    rows = some_rows(mixture)
    check(run_all(engine, mixture, rows), mixture, rows)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_scores_are_those_of_our_own_scorers(engine: str, covariance: str) -> None:
    mixture = any_mixture(covariance, 4, 3)._replace(centre=np.zeros(3))
    rows = some_rows(mixture).astype(np.float32).astype(np.float64)  # which our scorers round to
    found = run_all(engine, mixture, rows)
    np.testing.assert_allclose(found["log_prob"], score_data(mixture, rows, "log_density"), rtol=1e-9)
    np.testing.assert_allclose(shares_in(found), score_data(mixture, rows, "responsibilities"), atol=1e-7)
    np.testing.assert_array_equal(found["assignment"], score_data(mixture, rows, "assignment"))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("covariance", "sizes"),
    [
        ("full", (32, 4)),
        ("full", (2, 32)),
        ("diag", (16, 32)),
        pytest.param("full", (32, 32), marks=pytest.mark.slow),
        pytest.param("tied", (32, 32), marks=pytest.mark.slow),
        pytest.param("spherical", (32, 32), marks=pytest.mark.slow),
        pytest.param("diag", (2, 900), marks=pytest.mark.slow),
    ],
)
def test_many_components_and_columns_are_within_the_limits_of_engines(
    engine: str, covariance: str, sizes: tuple[int, int]
) -> None:
    mixture = any_mixture(covariance, *sizes)
    rows = some_rows(mixture, 4)
    check(run_all(engine, mixture, rows), mixture, rows)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_rows_far_away_and_large_offsets_keep_their_digits(engine: str, covariance: str) -> None:
    mixture = any_mixture(covariance, 3, 2)
    far = mixture.centre + np.array([[1e3, 0.0], [0.0, -1e5], [1e8, 1e8], [-1e30, 1e30]])
    densities, _ = scipy_scores(mixture, far)
    found = run_all(engine, mixture, far)
    np.testing.assert_allclose(found["log_prob"], densities, rtol=1e-9)
    np.testing.assert_allclose(shares_in(found).sum(axis=1), 1.0, rtol=1e-12)
    offset = mixture._replace(centre=mixture.centre + 1e9)
    rows = np.round(some_rows(offset), 3)
    near = rows - offset.centre  # exact: the two are close to each other
    check(run_all(engine, offset, rows), mixture._replace(centre=np.zeros(2)), near)


@pytest.mark.parametrize("engine", ENGINES)
def test_shares_too_small_for_exp_are_0_and_a_tie_goes_to_the_first(engine: str) -> None:
    locs = np.array([[0.0], [0.0], [1e4]])
    apart = MixtureDensity(
        "diag", np.zeros(1), np.log([0.25, 0.25, 0.5]), {"locs": locs, "precisions": np.ones((3, 1))}
    )
    rows = np.array([[0.0], [1e4], [5e3]])
    found = run_all(engine, apart, rows)
    check(found, apart, rows)
    np.testing.assert_array_equal(shares_in(found)[:2], [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    assert found["assignment"].tolist() == [0, 2, 2]


@pytest.mark.parametrize("engine", ENGINES)
def test_row_without_a_finite_number_everywhere_gets_null(engine: str) -> None:
    mixture = any_mixture("full", 2, 2)
    inf, nan = float("inf"), float("nan")
    rows = [[0.1, 0.2], [None, 0.2], [0.1, None], [nan, 0.2], [inf, 0.2], [0.1, -inf], [None, nan], [1e39, 0.0]]
    found = run_all(engine, mixture, rows)
    for name, values in found.items():
        if name != "id":
            assert values[0] is not None and values[1:].tolist() == [None] * 7


@pytest.mark.parametrize("kind", ["REAL", "TEXT", "NUMERIC", "INTEGER", ""])
def test_sqlite_takes_no_text_for_0(kind: str) -> None:
    mixture = any_mixture("diag", 2, 1)
    rows = [["3"], [3], [3.0], [""], ["abc"], ["3 m"], [b"3"]]
    densities = run_all("sqlite", mixture, rows, kind=kind)["log_prob"]
    expected, _ = scipy_scores(mixture, np.array([[3.0]]))
    np.testing.assert_allclose(densities[:3].astype(float), expected[0], rtol=1e-12)
    assert densities[3:].tolist() == [None] * 4


@pytest.mark.parametrize("kind", ["INTEGER", "DECIMAL(12, 3)", "REAL", "BIGINT"])
def test_duckdb_takes_numbers_of_any_kind(kind: str) -> None:
    mixture = any_mixture("full", 2, 2)
    rows = np.array([[3.0, -2.0], [0.0, 1.0]])
    check(run_all("duckdb", mixture, rows, kind=kind), mixture, rows)


def test_duckdb_refuses_columns_of_text() -> None:
    with pytest.raises(duckdb.BinderException, match="VARCHAR"):
        run_all("duckdb", any_mixture("full", 2, 2), [["3", "2"]], kind="VARCHAR")


# --- Names

ODD_NAMES = [
    "select",
    "two words",
    'in "quotes"',
    "it's",
    'x"; DROP TABLE "rows"; --',
    "*/ -- %s {} ?",
    "größe\n(cm)",
    "d_0",
    "joint_1",
    "largest",
    "key_0",
]


@pytest.mark.parametrize("engine", ENGINES)
def test_any_name_is_a_name_and_nothing_else(engine: str) -> None:
    mixture = any_mixture("diag", 2, len(ODD_NAMES))
    rows = some_rows(mixture, 5)
    text = select_of(mixture, ODD_NAMES, "rows", SQL_SCORES, ["id", *ODD_NAMES])
    found = run(engine, text, ODD_NAMES, rows)
    check(found, mixture, rows)
    np.testing.assert_array_equal(np.stack([found[name] for name in ODD_NAMES], axis=1), rows)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("table", "in_sql"),
    [
        ("order", '"order"'),
        ("my table; DROP TABLE x", '"my table; DROP TABLE x"'),
        ('"a.b"', '"a.b"'),
        ('main."rows ""of"" 2024"', 'main."rows ""of"" 2024"'),
        ("tfgmm_rows", "tfgmm_rows"),
        ("TFGMM__joints", "TFGMM__joints"),
    ],
)
def test_table_of_any_name_is_found(engine: str, table: str, in_sql: str) -> None:
    mixture = any_mixture("full", 2, 2)
    rows = some_rows(mixture, 5)
    text = select_of(mixture, names_of(mixture), table, SQL_SCORES, ["id"])
    check(run(engine, text, names_of(mixture), rows, table=in_sql), mixture, rows)


@pytest.mark.parametrize("engine", ENGINES)
def test_column_that_is_not_there_is_an_error(engine: str) -> None:
    mixture = any_mixture("full", 2, 2)
    text = select_of(mixture, ["x0", "another"], "rows")
    with pytest.raises((sqlite3.OperationalError, duckdb.BinderException), match="another"):
        run(engine, text, ["x0", "x1"], some_rows(mixture, 5))


def test_scores_and_key_are_the_columns_of_the_result() -> None:
    mixture = any_mixture("full", 2, 2)
    rows = some_rows(mixture, 5)

    def titles(*arguments: Any) -> list[str]:
        return list(run("sqlite", select_of(mixture, ["x0", "x1"], "rows", *arguments), ["x0", "x1"], rows))

    assert titles() == ["log_prob", "assignment"]
    assert titles(["responsibilities", "log_prob"]) == ["responsibility_0", "responsibility_1", "log_prob"]
    assert titles(["assignment"], ["x1", "id"]) == ["x1", "id", "assignment"]


def test_text_says_what_it_is_in_numbers_and_words_of_ours() -> None:
    first, second, *_ = select_of(any_mixture("full", 2, 3), ["a", "b", "c\nDROP"], "rows").split("\n")
    assert first.startswith("-- ") and "2 components, 3 columns, full" in first
    assert second.startswith("-- ") and "NULL" in second


NAMES = ["a", "b"]
REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "no names": ((None, "rows"), "`column_names` must name the mixture's 2 columns. Received: none. Fit a table"),
    "too few names": ((["a"], "rows"), "must name the mixture's 2 columns. Received: 1 name."),
    "one name to SQL": ((["a", "A"], "rows"), "that differ by more than capitals. Received: 'A' twice. Rename"),
    "control characters": ((["a", "b\x1b[2J"], "rows"), "without control characters, and not empty. Received: 'b\\x1b"),
    "an empty name": ((["a", ""], "rows"), "`column_names` must be without control characters, and not empty."),
    "an empty table": ((NAMES, ""), "`table` must be without control characters, and not empty. Received: ''."),
    "half of a quotation": ((NAMES, 'a"b'), "`table` must be the name of a table"),
    "a dot at the end": ((NAMES, "main."), "Received: 'main.'. Put a part with dots or quotation marks into"),
    "another score": ((NAMES, "rows", ["outlier"]), "`columns` must be some of log_prob,assignment,responsibilities"),
    "a score twice": ((NAMES, "rows", ["log_prob"] * 2), "each once. Received: 'log_prob', 'log_prob'. Name each"),
    "no score": ((NAMES, "rows", []), "Received: none. Name each score that you want once."),
    "a key twice": ((NAMES, "rows", ["log_prob"], ["id", "ID"]), "`key` must be columns of other names"),
    "a key like a score": ((NAMES, "rows", ["log_prob"], ["Log_prob"]), "Received: 'Log_prob'. Leave it out"),
    "a key like a share": ((NAMES, "rows", ["responsibilities"], ["responsibility_7"]), "`key` must be columns of"),
    "an empty key": ((NAMES, "rows", ["log_prob"], [""]), "`key` must be without control characters"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused(case: str) -> None:
    arguments, words = REFUSED[case]
    with pytest.raises(ValueError) as caught:
        select_of(any_mixture("full", 2, 2), *arguments)
    assert words in str(caught.value) and "Received: " in str(caught.value) and str(caught.value).isprintable()


def test_key_may_be_called_as_a_score_that_is_not_asked_for() -> None:
    text = select_of(any_mixture("full", 2, 2), NAMES, "rows", ["log_prob"], ["assignment", "responsibility_0"])
    assert 'key_0 AS "assignment"' in text and 'key_1 AS "responsibility_0"' in text
