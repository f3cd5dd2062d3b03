"""Names in SQL text: of tables, of columns and of scores, checked and in quotation marks."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tfgmm.common.words import counted, quoted

SQL_SCORES = ("log_prob", "assignment", "responsibilities")

_PART = re.compile(r'"(?:[^"]|"")+"|[^".]+')  # of the name of a table: as SQL has it, or bare
_TABLE = re.compile(rf"(?:{_PART.pattern})(?:\.(?:{_PART.pattern}))*")
_ORDINARY = "\n\t"  # control characters that names from spreadsheets have


def as_name(name: str) -> str:
    """Writes a name as SQL has it, whatever stands in it.

    Example:

    >>> print(as_name('a "long" name'))
    "a ""long"" name"
    """
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def as_table(table: str) -> str:
    """Writes the name of a table that `check_asked` has seen, part by part.

    Example:

    >>> as_table('main."rows.2024"'), as_table("my rows")
    ('"main"."rows.2024"', '"my rows"')
    """
    return ".".join(part if part.startswith('"') else as_name(part) for part in _PART.findall(table))


def check_asked(table: str, scores: Sequence[str], key: Sequence[str]) -> None:
    """Checks what is asked of a SELECT, as far as that can be told without a mixture.

    Raises:
        ValueError: `table` is not the name of a table; one of `scores` is none of `SQL_SCORES`, or is there twice; or
            the result would have two columns of one name.
    """
    _check_characters("table", [table])
    if not _TABLE.fullmatch(table):
        raise ValueError(
            "`table` must be the name of a table, with a dot behind its schema where it has one. "
            f"Received: {table!r}. Put a part with dots or quotation marks into quotation marks, doubled inside."
        )
    _check_scores(scores)
    _check_characters("key", key)
    taken = {name for name in scores if name != "responsibilities"}
    for place, name in enumerate(key):
        is_share = "responsibilities" in scores and re.fullmatch(r"responsibility_\d+", name.lower())
        if is_share or name.lower() in taken | {other.lower() for other in key[:place]}:
            wanted = "`key` must be columns of other names than the scores, each once"
            raise ValueError(f"{wanted}. Received: {name!r}. Leave it out, or rename it in the table.")


def _check_scores(scores: Sequence[str]) -> None:
    wanted = f"`columns` must be some of {','.join(SQL_SCORES)}, each once"
    unknown = [name for name in scores if name not in SQL_SCORES]
    if unknown:
        raise ValueError(f"{wanted}. Received: {unknown[0]!r}. Ask tfgmm.load_scorer for other scores.")
    if not scores or len(set(scores)) < len(scores):
        raise ValueError(f"{wanted}. Received: {quoted(scores)}. Name each score that you want once.")


def check_columns(names: Sequence[str] | None, number: int) -> list[str]:
    """Checks the names of a mixture's columns: most engines take names that differ by capitals alone for one.

    Raises:
        ValueError: There are none, or another number; one has control characters; two are one to SQL.
    """
    wanted = f"`column_names` must name the mixture's {counted(number, 'column')}"
    if not names or len(names) != number:
        received = counted(len(names), "name") if names else "none"
        raise ValueError(f"{wanted}. Received: {received}. Fit a table whose columns have names; SQL needs them.")
    _check_characters("column_names", names)
    lower = [name.lower() for name in names]
    for place, name in enumerate(names):
        if name.lower() in lower[:place]:
            fix = "Rename one of the two, and fit again."
            raise ValueError(f"{wanted}, by names that differ by more than capitals. Received: {name!r} twice. {fix}")
    return list(names)


def _check_characters(argument: str, names: Sequence[str]) -> None:
    for name in names:
        if not name or not all(character.isprintable() or character in _ORDINARY for character in name):
            wanted = f"`{argument}` must be without control characters, and not empty"
            raise ValueError(f"{wanted}. Received: {name!r}. Rename it.")
