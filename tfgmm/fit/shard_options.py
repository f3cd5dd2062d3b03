"""Options that do not go with rows in parts: refused before any work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tfgmm.data.row_source import RowSource
from tfgmm.data.shards.recognised import kind_of_shards
from tfgmm.data.shards.rows import ShardRows
from tfgmm.fit.callbacks import SweepCallback, checked_callbacks
from tfgmm.fit.labels import is_labels
from tfgmm.fit.options import FitOptions
from tfgmm.posterior.record import MEAN_FIELD


def check_suits_shards(source: RowSource, options: FitOptions, callbacks: Sequence[Any]) -> None:
    """Checks options where rows are in parts: Raises TypeError or ValueError for one that needs rows by themselves.

    Args:
        source: The opened data, of any kind.
        options: Options of the fit.
        callbacks: Callbacks, as the caller gave them.
    """
    if not isinstance(source, ShardRows):
        return
    for name, received, is_refused, why in _refused(options, callbacks):
        if is_refused:
            raise ValueError(
                f"`{options.name_of(name)}` must be left out where the rows are in {source.engine_name}. "
                f"Received: {received}. {why}"
            )


def _refused(options: FitOptions, callbacks: Sequence[Any]) -> Iterable[tuple[str, str, bool, str]]:
    """Lists options: name, what was received, whether it is refused, and why, with what to do."""
    steps, size, start = options.polish_steps, options.batch_size, options.start
    yield "polish_steps", str(steps), steps > 0, "Polishing is for few rows: fit a sample in memory to polish it."
    yield "batch_size", str(size), size is not None, "The partitions are the batches: change them instead."
    yield "start", "a group for each row", is_labels(start), "Pass locations (K, D), or the name of a way to start."
    posterior = options.posterior
    why = f'Leave it out for "{MEAN_FIELD}": the exact posterior needs the rows in memory, for example a sample.'
    yield "posterior", repr(posterior), posterior != MEAN_FIELD, why
    foreign = [one for one in checked_callbacks(callbacks) if not isinstance(one, SweepCallback)]
    received = type(foreign[0]).__name__ if foreign else ""
    yield "callbacks", received, bool(foreign), "Keras's need a Keras model: derive yours from a callback of tfgmm's."


def check_choice_suits_shards(options: FitOptions) -> None:
    """Checks the rows to validate on of several fits: Raises ValueError where they are in parts.

    Each row gets a density under each fit, which the driver compares.
    """
    data = options.validation_data
    rows = data[0] if isinstance(data, tuple) and data else data
    kind = kind_of_shards(rows)
    if kind is not None or isinstance(rows, ShardRows):
        words = kind.words if kind is not None else f"rows of {rows.engine_name}"
        raise ValueError(
            "`validation_data` must be rows in memory or in files where several fits are compared. "
            f"Received: {words}. Pass some of its rows, in memory, or leave it out for a fifth of the sample."
        )
