"""Outlier scores: how much of the mixture is less likely than a row, by a table of quantiles.

No TensorFlow. The table is made from rows drawn from the mixture itself, so that a score is a probability, whatever the
units and the number of columns, and needs no tuning: among rows from the mixture, a share p scores below p.
"""

from __future__ import annotations

import numpy as np

TABLE = "outlier_table"  # its name in parameters.npz

NUM_SAMPLES = 100_000
SEED = 0
SMALLEST_LEVEL = 1e-4  # ten of the samples lie below it: known to about a third of itself

# In the lower tail, which outlier scores are for, each level is a ninth above the one before; 0 is the least likely of
# all samples. Near 1 steps are small again: in one column the density is almost the same there.
_LEVELS = np.concatenate(
    [[0.0], np.geomspace(SMALLEST_LEVEL, 0.5, 80), np.linspace(0.52, 0.98, 24), [0.985, 0.99, 0.995, 1.0]]
)


def table_of(log_densities: np.ndarray) -> np.ndarray:
    """Computes the table of a mixture, (2, Q) float64: levels from 0 to 1, and the quantiles of the log density there.

    It is read-only, since it is kept, and given to everyone who asks.

    Args:
        log_densities: Log densities of rows drawn from the mixture, (N,) float64, nats.

    Example:

    >>> levels, quantiles = table_of(np.arange(100_001.0))
    >>> bool(levels[0] == 0.0), quantiles[[0, 1, -1]].tolist()
    (True, [0.0, 10.0, 100000.0])
    """
    in_order = np.sort(log_densities)  # quantiles of what is in order take a fraction of the time
    table = np.stack([_LEVELS, np.quantile(in_order, _LEVELS)])
    table.setflags(write=False)
    return table


def tail_probabilities(table: np.ndarray, log_densities: np.ndarray) -> np.ndarray:
    """Computes the share of samples of the mixture that are less likely than each row, (N,) float32 from 0 to 1.

    Args:
        table: Table as `table_of` computes it. Between its levels the share is interpolated, so that it never falls as
            the density rises. A row below all samples gets 0; one below the second-lowest level gets at most that.
        log_densities: Log densities of the rows, (N,) float64, nats; NaN gives NaN.
    """
    levels, quantiles = table
    below = np.searchsorted(quantiles, log_densities)  # quantiles that are less likely: ties do not count
    at = np.clip(below, 1, len(levels) - 1)
    widths = quantiles[at] - quantiles[at - 1]
    with np.errstate(invalid="ignore"):
        parts = np.clip((log_densities - quantiles[at - 1]) / np.where(widths > 0.0, widths, 1.0), 0.0, 1.0)
        return (levels[at - 1] + parts * (levels[at] - levels[at - 1])).astype(np.float32)


def fault_in(table: np.ndarray) -> str | None:
    """Says what makes a table of finite numbers useless, in words that follow "has"; None where nothing does."""
    levels, quantiles = table
    if levels[0] != 0.0 or levels[-1] != 1.0 or (np.diff(levels) <= 0.0).any():
        return f"{TABLE} whose levels do not rise from 0 to 1"
    if (np.diff(quantiles) < 0.0).any():
        return f"{TABLE} whose quantiles fall"
    return None


def check_table(table: np.ndarray | None) -> np.ndarray:
    """Checks the table of an export: Raises ValueError where there is none; returns it."""
    if table is None:
        raise ValueError(
            "`outlier` must be asked of an export with an outlier table. Received: one without, written by an earlier "
            "tfgmm. Export the model again: tfgmm.export_model(tfgmm.load_model('m.keras'), path)."
        )
    return table
