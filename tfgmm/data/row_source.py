"""What rows of any kind have in common, wherever they come from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from tfgmm.data.blocks import RowBlock


class RowSource(Protocol):
    """Rows of any kind: `Rows` in memory, `StoredRows` in files, `StreamedRows` out of a tf.data dataset."""

    @property
    def name(self) -> str:
        """What the caller's argument is called in error messages."""

    @property
    def origin(self) -> str | None:
        """Path of the file or folder that the rows are read from as they are needed; None for other rows."""

    @property
    def num_features(self) -> int:
        """D, the number of columns."""

    @property
    def column_names(self) -> tuple[str, ...] | None:
        """D names, or None when the data had none."""

    @property
    def num_data(self) -> int | None:
        """The number of rows to read; None when it is not known.

        With weights, N is their sum and not this. Rows that say nothing may be among these, and be left out of blocks.
        """

    @property
    def is_in_memory(self) -> bool:
        """Whether all rows are in memory, so that looking at them again costs nothing."""

    @property
    def has_own_batches(self) -> bool:
        """Whether the blocks are batches that the caller made, in the caller's order."""

    @property
    def has_known_length(self) -> bool:
        """Whether it is known before reading how far the rows go: neither endless nor of unknown length."""

    @property
    def is_endless(self) -> bool:
        """Whether the rows are known to have no end."""

    @property
    def missing(self) -> str:
        """What a NaN is: "refuse", an error; "integrate", a gap."""

    @property
    def has_weights(self) -> bool:
        """Whether rows have weights."""

    @property
    def noise_axes(self) -> int:
        """0 where there is no measurement noise, 1 for standard deviations (B, D), 2 for covariances (B, D, D)."""

    @property
    def weights_name(self) -> str | None:
        """Name of the column of weights; "" where it has none, None where rows have no weights."""

    @property
    def noise_columns(self) -> tuple[str, ...]:
        """D names of the columns of standard deviations, "" where one has none; () where there is no noise."""

    @property
    def num_empty(self) -> int:
        """Rows without any value that were left out: of rows not in memory, by the latest pass over `blocks`."""

    @property
    def num_weightless(self) -> int:
        """Rows of weight 0 that were left out, likewise."""

    def blocks(self) -> Iterator[RowBlock]:
        """Yields all rows in their order, block by block, in data units.

        Rows without weights and noise, where a NaN is refused, come as they are: whoever takes the blocks looks for
        NaN and infinite values. Others were checked, and the rows that say nothing are left out.
        """

    def place(self, row: int) -> str:
        """Names a row, counted from 0 over all blocks, in words for an error message."""

    def close(self) -> None:
        """Closes files; reading opens them again."""
