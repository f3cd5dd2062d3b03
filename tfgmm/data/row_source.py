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
        """N, the number of rows; None when it is not known."""

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

    def blocks(self) -> Iterator[RowBlock]:
        """Yields all rows in their order, block by block, in data units; NaN and infinite values as they are."""

    def place(self, row: int) -> str:
        """Names a row, counted from 0 over all blocks, in words for an error message."""

    def close(self) -> None:
        """Closes files; reading opens them again."""
