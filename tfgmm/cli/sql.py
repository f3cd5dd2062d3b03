"""`tfgmm score --sql`: the SELECT that scores a table. Loads what it needs inside its functions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tfgmm.cli import shared
from tfgmm.cli.shared import UsageError

_TABLE = "rows"
_OF_FILES = ("in", "out", "noise", "workers", "keep", "overwrite", "delimiter", "decimal", "encoding", "skip-rows")


def select_text(model: Path, table: str | None, columns: str, key: str | None, of_files: Sequence[object]) -> str:
    """Writes the SELECT for the mixture in a folder.

    Args:
        model: The folder.
        table: Name of the table; None for "rows".
        columns: Scores that the result has, with commas between.
        key: Further columns of the result, with commas between; None for none.
        of_files: What the options about files are, in the order of `_OF_FILES`: nothing may have been given.

    Raises:
        UsageError: An option is something else.
        OSError, ValueError: The folder is none of ours, or its columns cannot be asked for in SQL.
    """
    from tfgmm.export.sql.names import check_asked
    from tfgmm.export.sql.select import select_of

    # 0 lines to skip are something given
    given = [name for name, value in zip(_OF_FILES, of_files, strict=True) if value or type(value) is int]
    if given:
        fix = "The SELECT reads the table that --table names; > puts it into a file."
        raise UsageError(f"`--{given[0]}` must be left out with --sql. Received: both. {fix}")
    asked = _TABLE if table is None else table, shared.split_names(columns), shared.split_names(key or "")
    try:
        check_asked(*asked)
    except ValueError as error:
        raise UsageError(re.sub(r"`(\w+)`", lambda name: f"`{shared.as_option(name[1])}`", str(error))) from None
    export = shared.read_model(model)
    return select_of(export.density, export.column_names, *asked)


def check_no_sql(table: str | None, key: str | None) -> None:
    """Checks that the options of --sql are left out where --sql is.

    Raises:
        UsageError: One is there.
    """
    for name, value in (("--table", table), ("--key", key)):
        if value is not None:
            raise UsageError(f"`{name}` must be left out without --sql. Received: {value}. Pass --sql with it.")
