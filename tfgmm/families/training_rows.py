"""The rows that a posterior was fitted to, read once more, block by block."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

from tfgmm.common.words import counted
from tfgmm.data.blocks import RowBlock
from tfgmm.data.row_source import RowSource
from tfgmm.data.sources import check_ends, open_source
from tfgmm.data.summary import centre as centre_rows
from tfgmm.data.survey import finite_blocks, survey_rows
from tfgmm.families.row_batches import SweepBatches
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


def training_rows(data: Any, fitted: FittedTo, sample_weight: Any = None, noise: Any = None) -> SweepBatches:
    """Opens the rows that a mixture was fitted to, to be passed over again and again, measured from the centre of q.

    Args:
        data: Rows of any kind that `fit` takes; gaps are taken where those that the mixture was fitted to had some.
        fitted: The mixture that was fitted to them.
        sample_weight, noise: As the fit took them.

    Raises:
        ValueError: A value is not finite; these are other rows than the mixture was fitted to.
    """
    source = _opened(data, fitted, sample_weight, noise)
    summary, known = survey_rows(source, None, 0).summary, fitted.data_summary
    _check_total(summary.num_data, fitted.num_data)
    if known is not None and known.fingerprint is not None and known.fingerprint != summary.fingerprint:
        raise ValueError(
            f"`data` must be the rows that the model was fitted to, with fingerprint {known.fingerprint}. Received: "
            f"as many rows with fingerprint {summary.fingerprint}. Pass the training rows, in the types that the fit "
            "took."
        )
    return SweepBatches(source, fitted.variational, gap_columns=summary.gap_columns)


def centred_blocks(data: Any, fitted: FittedTo, sample_weight: Any = None, noise: Any = None) -> Iterator[RowBlock]:
    """Yields the rows of `data`, measured from the centre of q, float32, in their order, block by block.

    Args:
        data, fitted, sample_weight, noise: As in `training_rows`.

    Raises:
        ValueError: A value is not finite; the sum of weights is not N, raised after the last block.
    """
    source, weight = _opened(data, fitted, sample_weight, noise), 0.0
    for block in finite_blocks(source):
        yield block._replace(values=centre_rows(block.values, fitted.variational.centre, name=source.name))
        weight += len(block.values) if block.weights is None else float(block.weights.sum())
    _check_total(weight, fitted.num_data)


def _opened(data: Any, fitted: FittedTo, sample_weight: Any, noise: Any) -> RowSource:
    """Opens rows as the mixture was fitted to them: with gaps, weights and noise, if there were some."""
    posterior, summary = fitted.variational, fitted.data_summary
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
    return source


def _check_total(weight: float, num_data: Any) -> None:
    """Checks that rows are as many as the mixture was fitted to."""
    if not math.isclose(weight, num_data, rel_tol=1e-9):
        raise ValueError(
            f"`data` must be the rows that the model was fitted to, {num_data or 'none so far'}. "
            f"Received: {counted(weight if weight % 1 else int(weight), 'row')}. Pass the training rows, with their "
            "weights."
        )
