"""What is asked of a frame, and how it fits the frame: checked by names and types alone, before any row is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tfgmm.common.words import quoted
from tfgmm.data.files.kinds import not_numbers_error
from tfgmm.data.scored_table import ScoredColumns, scored_columns
from tfgmm.scoring.frames.part import NAME, PartScorer
from tfgmm.scoring.numpy_scorer import NumpyScorer
from tfgmm.scoring.queries import Queries
from tfgmm.scoring.table_columns import COLUMNS, feature_names, score_columns


class Request(NamedTuple):
    """Which scores are asked for, of which mixture.

    Args:
        queries: What the mixture is asked.
        names: Some of `COLUMNS`, in the order of the columns.
        noise: For columns of the model, the names of those with the standard deviations of their measurement noise.
    """

    queries: Queries
    names: tuple[str, ...]
    noise: Mapping[str, str]

    @property
    def num_features(self) -> int:
        """D."""
        return len(self.queries.plug_in().centre)

    @property
    def features(self) -> tuple[str, ...]:
        """D names of the columns of the model, numbers where they have none."""
        return feature_names(self.queries.column_names, self.num_features)

    def columns_of(self, labels: Sequence[str], is_named: bool = True, any_case: bool = False) -> ScoredColumns:
        """Finds the columns of a frame that are scored, and checks that those of the scores are free.

        Args:
            labels: Names of the frame's columns, in its order.
            is_named: Whether these are names, and not numbers that pandas gave.
            any_case: Whether names that differ in capitals only are the same.

        Raises:
            ValueError: A column is missing, there twice, or has the name of a score.
        """
        fitted = self.queries.column_names if is_named else None
        columns = scored_columns(NAME, "", labels, fitted, self.num_features, self.noise, keeps_all=True)
        num_components = len(self.queries.plug_in().log_weights)

        def plain(name: str) -> str:
            return name.casefold() if any_case else name

        new = {plain(name) for name in score_columns(self.names, num_components, self.features)}
        twice = [label for label in labels if plain(label) in new]
        if twice:
            raise ValueError(
                f"`{NAME}` must have other columns than the scores. Received: {quoted(twice)}. "
                "Rename them, or leave them out of the frame."
            )
        return columns

    def part_scorer(self, columns: ScoredColumns) -> PartScorer:
        """Makes what scores the parts of a frame; the table of outlier scores is made here, once for all parts."""
        table = self.queries.outlier_table() if "outlier" in self.names else None
        return PartScorer(NumpyScorer(self.queries.plug_in(), table), self.names, self.features, columns)


def request_of(queries: Queries, columns: Any, noise: Any) -> Request:
    """Makes a request of what a caller passed.

    Raises:
        TypeError: `columns` is no list of names, or `noise` no pairs of names.
        ValueError: A name is unknown, or there twice; outlier scores are asked for beside noise.
    """
    if isinstance(columns, str) or not isinstance(columns, Iterable):
        listed = f"[{columns!r}]" if isinstance(columns, str) else "['log_prob']"
        raise TypeError(f"`columns` must be a list of names. Received: {columns!r}. Pass columns={listed}.")
    names = tuple(columns)
    unknown = [name for name in names if not isinstance(name, str) or name not in COLUMNS]
    if unknown or not names or len(set(names)) < len(names):
        received = repr(unknown[0]) if unknown else quoted(names) if names else "no name"
        fix = "Choose what is to stand beside the rows."
        raise ValueError(f"`columns` must be some of {quoted(COLUMNS)}, each once. Received: {received}. {fix}")
    if noise is not None and not isinstance(noise, Mapping):
        raise TypeError(
            "`noise` must map names of columns to names of the columns of their standard deviations. "
            f"Received: {type(noise).__name__}. Pass noise={{'flux': 'flux_error'}}, for example."
        )
    if noise and "outlier" in names:
        raise ValueError(
            "`columns` must be without outlier where there is `noise`. "
            f"Received: {quoted(names)}. Leave out outlier, or the noise; log_prob takes it."
        )
    return Request(queries, names, dict(noise or {}))


def check_numbers(words: Mapping[str, str], columns: ScoredColumns) -> None:
    """Checks the columns that are scored: Raises TypeError unless all of them hold numbers.

    Args:
        words: What every column of the frame holds, in words, by its name; "" for numbers.
        columns: The columns that are scored.
    """
    chosen = {label: words[label] for label in columns.wanted}
    if any(chosen.values()):
        raise not_numbers_error(NAME, chosen, "", named=False)
