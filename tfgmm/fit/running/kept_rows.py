"""The first rows of a stream, which are kept, and when the mixture is fitted or swept to all of them again."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tfgmm.data.blocks import RowBlock
from tfgmm.data.summary import centre as centre_rows
from tfgmm.families.natural_gradient import Place, place_at
from tfgmm.families.variational import VariationalPosterior
from tfgmm.fit.cached_rows import CachedRows
from tfgmm.fit.restarts import Stage, ascend
from tfgmm.fit.running.parts import as_one, total_weight
from tfgmm.fit.running.sums import RunningSums, sums_over

# Rows that are kept at first: as many as `fit_mixture` begins with
_MOST_KEPT = 20_000
# Rows, in multiples of those remembered, after which rows before do not matter: e^-3 is left of them
_ALL_FADED = 3.0
# Rows below which a fit takes a few hundredths of a second: they are fitted again more often
_FEW = 1_000
# Restarts begin again when there are so many times the rows of the fit before: below so few rows, and from there on
_GROWTH_OF_FEW, _GROWTH = 1.1, 1.5
# The same after a part that the mixture does not fit, or when a component has lost its rows
_GROWTH_OF_MISFITS = 1.2
# Share of the most rows from which on the fit to all of them is near enough to be waited for
_ALMOST_ALL = 0.75
# Nats a row below the other rows, beside three standard errors, from which on the mixture does not fit a part
_MISFIT = 1.0
# Share of rows that have come since all were swept, from which on they are swept again, unless they are few
_UNSWEPT = 0.01
# Sweeps over all rows after a part: these, and as many more as the part has times this share of the rows
_NUM_SWEEPS, _SWEEPS_OF_ROWS = 3, 100
# Nats per row: a gain of a sweep below it counts as none
_TOLERANCE = 1e-6
# Rows that were kept together; fewer are put behind those before
_SMALL = _FEW


def most_kept(forgetting_factor: float) -> int:
    """Computes how many rows to keep at first: where rows are forgotten, three times as many as are remembered.

    Args:
        forgetting_factor: Above 0 and at most 1.

    Example:

    >>> most_kept(1.0), most_kept(0.99)
    (20000, 300)
    """
    forgotten = 1.0 - forgetting_factor
    return _MOST_KEPT if forgotten * _MOST_KEPT < _ALL_FADED else round(_ALL_FADED / forgotten)


class KeptRows(NamedTuple):
    """Rows that are kept while they are few.

    blocks: All of them, in the order in which they came.
    num_fitted: N of the latest fit from restarts: its rows, as often as each counted.
    num_swept: N of the latest sweep, or of the latest fit.
    num_occupied: Components that had rows after the latest fit.
    most: How many rows are kept at most.
    """

    blocks: tuple[RowBlock, ...] = ()
    num_fitted: float = 0.0
    num_swept: float = 0.0
    num_occupied: int = 0
    most: int = _MOST_KEPT

    def and_part(self, part: RowBlock, most: int) -> KeptRows:
        """Keeps a part too, of so many rows at most."""
        last = self.blocks[-1:]
        if last and len(last[0].values) < _SMALL:
            part, last = as_one([*last, part]), ()
        return self._replace(blocks=(*self.blocks[:-1], *last, part), most=most)

    @property
    def num_rows(self) -> int:
        """How many rows they are, whatever each counts."""
        return sum(len(block.values) for block in self.blocks)

    @property
    def is_full(self) -> bool:
        """Whether there are enough, so that none is kept any more."""
        return self.num_rows >= self.most

    def after_fit(self, num_occupied: int) -> KeptRows:
        """Notes a fit to all of them, and how many components had rows."""
        num_data = self.total_weight
        return self._replace(num_fitted=num_data, num_swept=num_data, num_occupied=num_occupied)

    def after_sweep(self) -> KeptRows:
        """Notes a sweep over all of them."""
        return self._replace(num_swept=self.total_weight)

    @property
    def total_weight(self) -> float:
        """How many rows they are, as often as each counts."""
        return sum(total_weight(block) for block in self.blocks)

    def is_time_to_fit(self, is_misfit: bool = False) -> bool:
        """Tells whether to fit all rows again, from restarts.

        Args:
            is_misfit: Whether the mixture does not fit them any more.

        Example:

        >>> two_thousand = KeptRows((RowBlock(np.zeros((2_000, 1))),))
        >>> [two_thousand._replace(num_fitted=number).is_time_to_fit() for number in (1_000.0, 1_500.0)]
        [True, False]
        >>> two_thousand._replace(num_fitted=1_500.0).is_time_to_fit(is_misfit=True)
        True
        """
        if self.is_full or not (is_misfit or self.num_rows <= _ALMOST_ALL * self.most):
            return self.is_full
        growth = _GROWTH_OF_FEW if self._are_few else _GROWTH_OF_MISFITS if is_misfit else _GROWTH
        return self.total_weight >= growth * self.num_fitted

    def is_time_to_sweep(self) -> bool:
        """Tells whether to sweep over all rows again: so many have come since, or they are few."""
        return self._are_few or self.total_weight >= (1.0 + _UNSWEPT) * self.num_swept

    @property
    def num_sweeps(self) -> int:
        """The sweeps over all rows that are worth while: more where more of them are new."""
        return _NUM_SWEEPS + int(_SWEEPS_OF_ROWS * (1.0 - self.num_swept / self.total_weight))

    @property
    def _are_few(self) -> bool:
        return self.num_rows < _FEW


def is_misfit(part: RunningSums, before: RunningSums, num_features: int) -> bool:
    """Tells whether the rows of a part have a log density far below that of the rows before.

    Args:
        part: Sums of the part, at the mixture as it stood before.
        before: Sums of the rows before.
        num_features: D: the log density of a row of a Gaussian has the variance D / 2.
    """
    averages = [sums.log_likelihoods[1] / sums.num_rows for sums in (part, before)]
    error = math.sqrt(0.5 * num_features * (1.0 / part.num_rows + 1.0 / before.num_rows))
    return bool(averages[0] < averages[1] - _MISFIT - 3.0 * error)


class SweptRows(NamedTuple):
    """Where sweeps over all rows led: q, its place, the sums of all rows there, and whether the bound stands still."""

    q: VariationalPosterior
    place: Place
    sums: RunningSums
    converged: bool


def swept(q: VariationalPosterior, rows: RowBlock, num_sweeps: int, name: str) -> SweptRows:
    """Sweeps over rows from where q stands, which stays.

    Args:
        q: The posterior.
        rows: Rows, data units, with weights or without.
        num_sweeps: Largest number of sweeps.
        name: What the caller's argument for the rows is called in error messages.

    Raises:
        ValueError: A value is beyond float32 once measured from the centre.
    """
    centred = rows._replace(values=centre_rows(rows.values, q.centre, name=name))
    cached = CachedRows(q.form, centred, gap_columns=q.gap_columns)
    largest = np.fmax.reduce(np.abs(centred.values), axis=0, initial=0.0).astype(np.float64)
    [restart] = ascend(q, [(q.values(), Stage(cached, q.centre, largest, num_sweeps, _TOLERANCE, 1))])
    q = q.at(restart.values)
    place = place_at(q, restart.values)
    return SweptRows(q, place, sums_over(q, place, cached.groups), restart.converged)
