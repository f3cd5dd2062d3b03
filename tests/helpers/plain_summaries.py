"""Summaries of rows with gaps and weights by plain NumPy on the repeated rows."""

from __future__ import annotations

import numpy as np
from reference_mixture import column_scales

from tfgmm.data.summary import DataSummary


def plain_summary(rows: np.ndarray, weights: np.ndarray | None = None) -> DataSummary:
    """Summarises the values that are there, of rows that are repeated as often as whole weights say."""
    repeated = rows if weights is None else np.repeat(rows, weights.astype(int), axis=0)
    columns = [column[~np.isnan(column)] for column in repeated.T]
    means, scales = [column.mean() for column in columns], [column.std() or 1.0 for column in columns]
    spreads = [float(column_scales(column[:, None])[0]) for column in columns]
    centres = [
        np.median(column) if spread < scale else mean
        for column, spread, scale, mean in zip(columns, spreads, scales, means)
    ]
    gaps = np.isnan(rows).sum(axis=0)
    return DataSummary(
        len(repeated),
        rows.shape[1],
        tuple(map(float, means)),
        tuple(map(float, scales)),
        minimum=tuple(float(column.min()) for column in columns),
        maximum=tuple(float(column.max()) for column in columns),
        centre=tuple(map(float, centres)),
        spread=tuple(spreads),
        num_rows=0 if weights is None else len(rows),
        gaps=tuple(map(int, gaps)) if gaps.any() else (),
        num_incomplete=int(np.isnan(rows).any(axis=1).sum()),
        weights_name=None if weights is None else "",
    )
