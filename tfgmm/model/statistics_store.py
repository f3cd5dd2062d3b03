"""The statistics that running updates go on from, in variables that are saved with the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfgmm.families.variational import VariationalPosterior
from tfgmm.mixture.features import num_products
from tfgmm.mixture.parameters import FORMS
from tfgmm.mixture.statistics import Statistics, scaled, shifted


class StatisticsStore:
    """The statistics that running updates continue from: estimates for the whole data, saved with the model.

    Exact sweeps need none: each begins with no rows, and adds up its own sums.

    Args:
        add_stored: (name, shape, dtype) -> a variable of the model that is not trained.
        posterior: What the statistics move.

    Attributes:
        seen: Rows of each component with a value in the column, (K, D); None where no column has had gaps.
    """

    def __init__(self, add_stored: Callable[..., Any], posterior: VariationalPosterior) -> None:
        self._add_stored, self._posterior = add_stored, posterior
        num_components, num_features = posterior.num_components, posterior.num_features
        self._num_products = num_products(FORMS[posterior.form].write_products, num_features)
        shapes = {"counts": (), "first": (num_features,), "second": (self._num_products,)}
        self.sums = [add_stored(f"sums_{name}", (num_components, *shape), "float64") for name, shape in shapes.items()]
        self.num_rows = add_stored("sums_num_rows", (), "float64")
        self.num_steps = add_stored("sums_num_steps", (), "int64")
        self.seen: Any = None

    def observe_gaps(self) -> None:
        """Makes room for the counts of each column, once the posterior has columns with gaps."""
        if self.seen is None and self._posterior.gap_columns:
            shape = self._posterior.num_components, self._posterior.num_features
            self.seen = self._add_stored("sums_seen", shape, "float64")
            self._write_seen(self.sums[0].numpy())

    def forget_gaps(self) -> None:
        """Takes what is stored for statistics of rows without gaps."""
        if self.seen is not None:
            self._write_seen(self.sums[0].numpy())

    @property
    def gap_columns(self) -> tuple[int, ...]:
        """The columns in which some of the rows had no value."""
        if self.seen is None or not float(self.num_rows):
            return ()
        has_gaps = (self.seen.numpy() != self.sums[0].numpy()[:, None]).any(axis=0)
        return tuple(np.flatnonzero(has_gaps).tolist())

    def read(self) -> Statistics:
        """Reads the statistics as they stand, in the layout that the posterior asks for."""
        counts, first, second = (variable.numpy() for variable in self.sums)
        columns = list(self._posterior.gap_columns)
        if columns:
            second = np.concatenate([second, self.seen.numpy()[:, columns]], axis=1)
        return Statistics(counts, first, second)

    def read_for(self, num_rows: float) -> Statistics:
        """Reads the statistics as those of data of `num_rows` rows."""
        stored = float(self.num_rows)
        return scaled(self.read(), num_rows / stored if stored else 1.0)

    def shift(self, step: np.ndarray) -> None:
        """Measures the same rows from a centre that is `step`, (D,) data units, lower than before."""
        if not float(self.num_rows):
            return
        counts, first, second = (variable.numpy() for variable in self.sums)
        observed = counts[:, None] if self.seen is None else self.seen.numpy()
        for variable, value in zip(self.sums[1:], shifted(first, second, observed, step)):
            variable.assign(value)

    def write(self, statistics: Statistics, num_rows: float) -> None:
        """Stores `statistics`, which are of `num_rows` rows, in the layout that the posterior asks for."""
        counts, first, second = statistics
        for variable, value in zip(self.sums, (counts, first, second[:, : self._num_products])):
            variable.assign(value)
        if self.seen is not None:
            self._write_seen(counts, second[:, self._num_products :])
        self.num_rows.assign(num_rows)

    def clear(self) -> None:
        """Forgets all statistics."""
        if not float(self.num_rows):  # nothing to forget, except after running updates
            return
        for variable in (*self.sums, *([] if self.seen is None else [self.seen])):
            variable.assign(np.zeros(variable.shape))
        self.num_rows.assign(0.0)
        self.num_steps.assign(0)

    def _write_seen(self, counts: np.ndarray, of_gap_columns: np.ndarray | None = None) -> None:
        """Stores the counts of each column: those of the components where it has no gaps."""
        seen = np.repeat(counts[:, None], self._posterior.num_features, axis=1)
        if of_gap_columns is not None:
            seen[:, list(self._posterior.gap_columns)] = of_gap_columns
        self.seen.assign(seen)
