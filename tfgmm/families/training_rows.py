"""The rows that a posterior was fitted to, read once more, block by block."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

from tfgmm.common.words import counted
from tfgmm.data.blocks import RowBlock
from tfgmm.data.sources import check_ends, open_source
from tfgmm.data.summary import centre as centre_rows
from tfgmm.data.survey import finite_blocks
from tfgmm.families.variational import VariationalPosterior


class FittedTo(Protocol):
    """What is asked of a mixture that was fitted: its posterior, N, the names of its columns, its rows in short."""

    @property
    def variational(self) -> VariationalPosterior:
        """The posterior."""

    @property
    def num_data(self) -> Any:
        """N."""

    @property
    def column_names(self) -> Any:
        """Names of the columns, or None."""

    @property
    def data_summary(self) -> Any:
        """Summary of the rows, or None."""


def centred_blocks(data: Any, fitted: FittedTo, sample_weight: Any = None, noise: Any = None) -> Iterator[RowBlock]:
    """Yields the rows of `data`, measured from the centre of q, float32, in their order, block by block.

    Args:
        data: Rows of any kind that `fit` takes; gaps are taken where those that the mixture was fitted to had some.
        fitted: The mixture that was fitted to them.
        sample_weight, noise: As the fit took them.

    Raises:
        ValueError: A value is not finite; the sum of weights is not N, raised after the last block.
    """
    posterior, num_data, summary = fitted.variational, fitted.num_data, fitted.data_summary
    missing = "integrate" if summary is not None and (summary.gaps or summary.num_empty) else "refuse"
    carried: dict[str, Any] = {"sample_weight": sample_weight, "noise": noise, "missing": missing}
    source = open_source(data, "data", posterior.num_features, fitted.column_names, **carried)
    check_ends(source, None, "Use .take(n) for its first n batches.")
    if summary is not None and bool(summary.noise_columns) != bool(source.noise_axes):
        has_noise = "with" if summary.noise_columns else "without"
        raise ValueError(
            f"`noise` must be that of the rows that the model was fitted to, which came {has_noise} measurement noise. "
            f"Received: {'noise' if source.noise_axes else 'none'}. Pass what the fit took."
        )
    weight = 0.0
    for block in finite_blocks(source):
        yield block._replace(values=centre_rows(block.values, posterior.centre, name=source.name))
        weight += len(block.values) if block.weights is None else float(block.weights.sum())
    if not math.isclose(weight, num_data, rel_tol=1e-9):
        raise ValueError(
            f"`data` must be the rows that the model was fitted to, {num_data or 'none so far'}. "
            f"Received: {counted(weight if weight % 1 else int(weight), 'row')}. Pass the training rows, with their "
            "weights."
        )
