"""One SELECT that scores the rows of a table, in the SQL that SQLite, DuckDB and PostgreSQL share. Text alone.

Every step is a table of its own, and `MATERIALIZED`: else planners copy the formula of a step to every place where the
next one has its result, and the work grows with each step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from tfgmm.common.version import __version__
from tfgmm.common.words import counted
from tfgmm.export.sql.names import as_name, as_table, check_asked, check_columns
from tfgmm.mixture.parameters import MixtureDensity, StandardForm, standard_form
from tfgmm.scoring.table_columns import score_columns

_FARTHEST = float(np.finfo(np.float32).max)  # from the centre; other scorers have no score beyond it either
_LEAST_CONSTANT = -1e300  # of a component without weight: no engine reads an infinite number
_LEAST_EXPONENT = -700  # PostgreSQL stops with an error where exp() gives 0


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
    scores: Sequence[str] = ("log_prob", "assignment"),
    key: Sequence[str] = (),
) -> str:
    """Writes a SELECT that scores the rows of a table under a mixture.

    It gives the columns `key` as they are, and then the scores, in the columns that `score_columns` lists. A row
    in which a column of the mixture is NULL, NaN or infinite gets NULL for every score.

    Args:
        mixture: One mixture (no leading axes), of any shape.
        column_names: Names of its D columns, which the table has too.
        table: Name of the table. Dots part it from its schema; what is in quotation marks is one name, with its dots.
        scores: Some of `SQL_SCORES`, each once, in the order of the result.
        key: Further columns of the result, by which the rows of the table are told apart.

    Returns:
        The text, without a semicolon, so that it can stand within another statement: SELECT ... FROM (text).

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
    FROM tfgmm_totals
    """
    check_asked(table, scores, key)
    names = check_columns(column_names, len(mixture.centre))
    *steps, last = _steps(mixture, names, as_table(table), scores, key)
    tables = ",\n".join(f"{step.name} AS MATERIALIZED (\n{step.select('  ')}\n)" for step in steps)
    return f"{_comment(mixture)}\nWITH\n{tables}\n{last.select()}"


def _comment(mixture: MixtureDensity) -> str:
    """Says what the statement is; numbers and words of ours alone, since a name could end the comment."""
    components = counted(len(mixture.log_weights), "component")
    of_what = f"{components}, {counted(len(mixture.centre), 'column')}, {mixture.covariance}"
    gaps = "-- A row without a finite number in each of the mixture's columns gets NULL."
    return f"-- Scores under a Gaussian mixture ({of_what}), by tfgmm {__version__}. Densities are in nats.\n{gaps}"


# --- The steps


def _steps(
    mixture: MixtureDensity, names: Sequence[str], table: str, scores: Sequence[str], key: Sequence[str]
) -> list[_Step]:
    """Lists the steps from the rows of the table to the scores. Every step hands on the columns of the key."""
    form, num_components = standard_form(mixture), len(mixture.log_weights)
    joints, shares = _numbered("joint", num_components), _numbered("share", num_components)
    keys, differences = _numbered("key", len(key)), _numbered("d", len(names))
    expressions = {
        "rows": dict(zip(keys, (f"t.{as_name(name)}" for name in key)))
        | dict(zip(differences, map(_difference, names, mixture.centre))),
        "joints": _same(keys) | {joint: _joint(form, k) for k, joint in enumerate(joints)},
        "largest": _same([*keys, *joints]) | {"largest": _largest(joints)},
        "shares": _same([*keys, "largest"])
        | {"assignment": _assignment(joints)}
        | {share: _share(joint) for joint, share in zip(joints, shares)},
        "totals": _same([*keys, "largest", "assignment", *shares]) | {"total": _joined(shares, "+")},
        "scores": dict(zip(map(as_name, key), keys)) | _results(scores, shares),
    }
    prefix = "tfgmm_"
    while prefix in table.lower():  # no step may be called as the table is
        prefix += "_"
    sources = [f"{table} AS t", *(prefix + name for name in expressions)]
    return [_Step(prefix + name, source, texts) for (name, texts), source in zip(expressions.items(), sources)]


def _numbered(name: str, number: int) -> list[str]:
    return [f"{name}_{place}" for place in range(number)]


def _same(names: Iterable[str]) -> dict[str, str]:
    """Hands on columns as they are."""
    return {name: name for name in names}


def _results(scores: Sequence[str], shares: Sequence[str]) -> dict[str, str]:
    """Writes the scores, named as in every table of ours."""
    texts = {"log_prob": "largest + ln(total)", "assignment": "assignment"}
    texts |= zip(_numbered("responsibility", len(shares)), (f"{share} / total" for share in shares))
    return {name: texts[name] for name in score_columns(scores, len(shares), [])}


def _difference(name: str, centre: float) -> str:
    """Measures a column from the centre, where it has a number.

    SQLite takes an unknown name for a text where its table is not said, and CAST makes 0 of a text. Compared with a
    CAST, a text is a number where it can be one; else it is larger than all of them, as NaN is to other engines.
    """
    column = f"t.{as_name(name)}"
    least, most = (f"CAST({_number(centre + sign * _FARTHEST)} AS DOUBLE PRECISION)" for sign in (-1.0, 1.0))
    difference = f"CAST({column} AS DOUBLE PRECISION) - {_number(centre)}"
    return f"CASE WHEN {column} BETWEEN {least} AND {most} THEN {difference} END"


def _joint(form: StandardForm, k: int) -> str:
    """Writes log weight + log density of component k: a constant minus half the squares of whitened differences."""
    num_features = form.locs.shape[1]
    factors = form.factors[min(k, len(form.factors) - 1)]
    whitened = _scaled(form.locs[k], factors[0]) if len(factors) == 1 else _whitened(form.locs[k], factors)
    squares = _joined([f"power({whitened[place]}, 2)" for place in range(num_features)], "+")
    constant = max(float(form.constants[k]), _LEAST_CONSTANT)
    return f"{_number(constant)} - 0.5e0 * {squares}"


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
