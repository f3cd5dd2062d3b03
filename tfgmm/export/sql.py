"""One SELECT that scores the rows of a table, in the SQL that SQLite, DuckDB and PostgreSQL share. Text alone.

Every step is a table of its own, and `MATERIALIZED`: else planners copy the formula of a step to every place where the
next one has its result, and the work grows with each step.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from tfgmm.common.version import __version__
from tfgmm.common.words import counted, quoted
from tfgmm.export.score_file import score_columns
from tfgmm.mixture.parameters import MixtureDensity, StandardForm, standard_form

SQL_COLUMNS = ("log_prob", "assignment", "responsibilities")

_FARTHEST = float(np.finfo(np.float32).max)  # from the centre; other scorers have no score beyond it either
_LEAST_EXPONENT = -700  # PostgreSQL stops with an error where exp() gives 0
_PARTS = re.compile(r'(?:"(?:[^"]|"")+"|[^".]+)(?:\.(?:"(?:[^"]|"")+"|[^".]+))*')  # of the name of a table
_PART = re.compile(r'"(?:[^"]|"")+"|[^".]+')
_ORDINARY = "\n\t"  # control characters that names from spreadsheets have


class _Step(NamedTuple):
    """A SELECT: the name of its result, what it selects from, and its expressions, by the name of each.

    Args:
        name: Name of the result.
        source: What stands behind FROM.
        expressions: Name and text of every column.
    """

    name: str
    source: str
    expressions: dict[str, str]

    def select(self, indent: str = "") -> str:
        """Writes the SELECT, a line for each expression; a name for itself stands once."""
        columns = (text if text == name else f"{text} AS {name}" for name, text in self.expressions.items())
        between = f",\n{indent}  "
        return f"{indent}SELECT\n{indent}  {between.join(columns)}\n{indent}FROM {self.source}"


def select_of(
    mixture: MixtureDensity,
    column_names: Sequence[str] | None,
    table: str,
    columns: Sequence[str] = ("log_prob", "assignment"),
    key: Sequence[str] = (),
) -> str:
    """Writes a SELECT that scores the rows of a table under a mixture.

    It gives the columns `key` as they are, and then the scores, in the columns that `score_columns` lists. A row
    in which a column of the mixture is NULL, NaN or infinite gets NULL for every score.

    Args:
        mixture: One mixture (no leading axes), of any shape.
        column_names: Names of its D columns, which the table has too.
        table: Name of the table. Dots part it from its schema; what is in quotation marks is one name, with its dots.
        columns: Some of `SQL_COLUMNS`, each once, in the order of the result.
        key: Further columns of the result, by which the rows of the table are told apart.

    Returns:
        The text, with a semicolon at its end.

    Raises:
        ValueError: The columns of the mixture have no names; a name cannot be one in SQL, or cannot be told from
            another; there is no such score.

    Example:

    >>> components = {"locs": np.zeros((1, 1)), "precisions": np.ones((1, 1))}
    >>> mixture = MixtureDensity("diag", np.zeros(1), np.zeros(1), components)
    >>> print(select_of(mixture, ["width"], "parts", key=["id"]).partition(")\\n")[2])
    SELECT
      key_0 AS "id",
      largest + ln(total) AS log_prob,
      assignment
    FROM tfgmm_totals;
    """
    names = _check_names("column_names", column_names, len(mixture.centre))
    results = score_columns(_check_columns(columns), len(mixture.log_weights), names)
    keys = _check_key(key, results)
    *steps, last = _steps(mixture, names, keys, list(results), _table(table))
    tables = ",\n".join(f"{step.name} AS MATERIALIZED (\n{step.select('  ')}\n)" for step in steps)
    return f"{_comment(mixture)}\nWITH\n{tables}\n{last.select()};"


def _comment(mixture: MixtureDensity) -> str:
    """Says what the statement is; numbers and words of ours alone, since a name could end the comment."""
    components = counted(len(mixture.log_weights), "component")
    of_what = f"{components}, {counted(len(mixture.centre), 'column')}, {mixture.covariance}"
    gaps = "-- A row without a finite number in each of the mixture's columns gets NULL."
    return f"-- Scores under a Gaussian mixture ({of_what}), by tfgmm {__version__}. Densities are in nats.\n{gaps}"


# --- The steps


def _steps(
    mixture: MixtureDensity, names: Sequence[str], keys: Sequence[str], results: Sequence[str], table: str
) -> list[_Step]:
    """Lists the steps from the rows of the table to the scores. Every step hands on the columns of the key."""
    form, places = standard_form(mixture), range(len(mixture.log_weights))
    joints, shares = [f"joint_{k}" for k in places], [f"share_{k}" for k in places]
    handed_on = {f"key_{place}": f"key_{place}" for place in range(len(keys))}
    of_table = {f"key_{place}": f"t.{_name(key)}" for place, key in enumerate(keys)}
    of_rows = zip(names, mixture.centre)
    scores = {"log_prob": "largest + ln(total)", "assignment": "assignment"}
    scores |= {f"responsibility_{k}": f"share_{k} / total" for k in places}
    expressions = {
        "rows": of_table | {f"d_{place}": _difference(*column) for place, column in enumerate(of_rows)},
        "joints": handed_on | {joint: _joint(form, k) for k, joint in enumerate(joints)},
        "largest": handed_on | {joint: joint for joint in joints} | {"largest": _largest(joints)},
        "shares": handed_on
        | {"largest": "largest", "assignment": _assignment(joints)}
        | {share: _share(joint) for joint, share in zip(joints, shares)},
        "totals": handed_on
        | {name: name for name in ("largest", "assignment", *shares)}
        | {"total": _joined(shares, "+")},
        "scores": {_name(key): f"key_{place}" for place, key in enumerate(keys)}
        | {result: scores[result] for result in results},
    }
    prefix = "tfgmm_"
    while prefix in table.lower():  # no step may be called as the table is
        prefix += "_"
    sources = [f"{table} AS t", *(prefix + name for name in expressions)]
    return [_Step(prefix + name, source, texts) for (name, texts), source in zip(expressions.items(), sources)]


def _difference(name: str, centre: float) -> str:
    """Measures a column from the centre, where it has a number.

    A name without its table, and a text among numbers, are 0 to SQLite. It compares a text with a CAST as a number where
    it is one; any other text is larger than all numbers, as NaN is in DuckDB and PostgreSQL.
    """
    column = f"t.{_name(name)}"
    least, most = (f"CAST({_number(centre + sign * _FARTHEST)} AS DOUBLE PRECISION)" for sign in (-1.0, 1.0))
    difference = f"CAST({column} AS DOUBLE PRECISION) - {_number(centre)}"
    return f"CASE WHEN {column} BETWEEN {least} AND {most} THEN {difference} END"


def _joint(form: StandardForm, k: int) -> str:
    """Writes log weight + log density of component k: a constant minus half the squares of whitened differences."""
    num_features = form.locs.shape[1]
    factors = form.factors[min(k, len(form.factors) - 1)]
    whitened = _scaled(form.locs[k], factors[0]) if len(factors) == 1 else _whitened(form.locs[k], factors)
    squares = _joined([f"power({whitened[place]}, 2)" for place in range(num_features)], "+")
    return f"{_number(form.constants[k])} - 0.5e0 * {squares}"


def _scaled(locs: np.ndarray, factors: np.ndarray) -> list[str]:
    return [
        f"(d_{place} - {_number(loc)}) * {_number(factor)}" for place, (loc, factor) in enumerate(zip(locs, factors))
    ]


def _whitened(locs: np.ndarray, factors: np.ndarray) -> list[str]:
    """Writes the product of differences from `locs` (D,) and a triangle (D, D) of factors, column by column."""
    offsets = locs @ factors
    return [
        _joined([*(f"d_{row} * {_number(factors[row, column])}" for row in range(column + 1)), _number(-offset)], "+")
        for column, offset in enumerate(offsets)
    ]


def _largest(joints: Sequence[str]) -> str:
    """Finds the largest in one expression: engines call the function for it by different names."""
    *others, last = joints
    cases = (
        f"WHEN {_joined([f'{joint} >= {later}' for later in joints[place + 1 :]], 'AND')} THEN {joint}"
        for place, joint in enumerate(others)
    )
    return f"CASE {' '.join(cases)} ELSE {last} END" if others else last


def _assignment(joints: Sequence[str]) -> str:
    return f"CASE {' '.join(f'WHEN {joint} >= largest THEN {k}' for k, joint in enumerate(joints))} END"


def _share(joint: str) -> str:
    away = f"{joint} - largest"
    return f"CASE WHEN {away} < {_number(_LEAST_EXPONENT)} THEN 0e0 ELSE exp({away}) END"


def _joined(terms: Iterable[str], operator: str) -> str:
    """Joins terms two by two, so that parentheses go only log2(number) deep: SQLite takes 1000 levels."""
    terms = list(terms)
    while len(terms) > 1:
        pairs = [f"({first} {operator} {second})" for first, second in zip(terms[::2], terms[1::2])]
        terms = pairs + terms[2 * len(pairs) :]
    return terms[0]


def _number(value: float) -> str:
    """Writes a float64 with all its digits and an exponent, without which DuckDB takes it for a decimal fraction.

    Example:

    >>> _number(0.1), _number(-3e-20)
    ('0.1e0', '(-3e-20)')
    """
    text = repr(float(value))
    text = text if "e" in text else f"{text}e0"
    return f"({text})" if text.startswith("-") else text


# --- Names


def _name(name: str) -> str:
    """Writes a name as SQL has it, whatever stands in it.

    Example:

    >>> print(_name('a "long" name'))
    "a ""long"" name"
    """
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _table(table: str) -> str:
    """Writes the name of a table, part by part.

    Example:

    >>> _table('main."rows.2024"'), _table("my rows")
    ('"main"."rows.2024"', '"my rows"')
    """
    _check_characters("table", [table])
    if not _PARTS.fullmatch(table):
        raise ValueError(
            "`table` must be the name of a table, with a dot behind its schema where it has one. "
            f"Received: {table!r}. Put a part with dots or quotation marks into quotation marks, doubled inside."
        )
    parts = _PART.findall(table)
    return ".".join(part if part.startswith('"') else _name(part) for part in parts)


def _check_names(argument: str, names: Sequence[str] | None, number: int) -> list[str]:
    """Checks that the columns have names, each one of its own; SQL looks at no capitals in most engines."""
    wanted = f"`{argument}` must be the names of the mixture's {counted(number, 'column')}"
    if not names or len(names) != number:
        received = f"{len(names)} names" if names else "none"
        fix = "SQL finds columns by name: fit a table whose columns have names."
        raise ValueError(f"{wanted}. Received: {received}. {fix}")
    _check_characters(argument, names)
    twice = [name for place, name in enumerate(names) if name.lower() in {other.lower() for other in names[:place]}]
    if twice:
        fix = "Rename a column, and fit again."
        raise ValueError(f"{wanted}, which differ by more than capitals. Received: {twice[0]!r} twice. {fix}")
    return list(names)


def _check_characters(argument: str, names: Sequence[str]) -> None:
    for name in names:
        if not name or not all(character.isprintable() or character in _ORDINARY for character in name):
            wanted = f"`{argument}` must be of characters that can be seen"
            raise ValueError(f"{wanted}. Received: {name!r}. Rename it.")


def _check_columns(columns: Sequence[str]) -> list[str]:
    wanted = f"`columns` must be some of {', '.join(SQL_COLUMNS)}, each once"
    unknown = [name for name in columns if name not in SQL_COLUMNS]
    if unknown:
        fix = "Other scores need `tfgmm score`, or `Scorer` in Python."
        raise ValueError(f"{wanted}. Received: {unknown[0]!r}. {fix}")
    if not columns or len(set(columns)) < len(columns):
        raise ValueError(f"{wanted}. Received: {quoted(columns)}. Name each score that you want once.")
    return list(columns)


def _check_key(key: Sequence[str], results: Iterable[str]) -> list[str]:
    _check_characters("key", key)
    seen = {result.lower() for result in results}
    for name in key:
        if name.lower() in seen:
            wanted = "`key` must be columns with other names than the scores, each once"
            raise ValueError(f"{wanted}. Received: {name!r}. Leave it out, or rename it in the table.")
        seen.add(name.lower())
    return list(key)
