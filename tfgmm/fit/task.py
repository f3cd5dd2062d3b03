"""What fits of one covariance shape share: the rows, the priors, the options, who watches, and the journal."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from tfgmm.data.row_source import RowSource
from tfgmm.data.survey import Survey
from tfgmm.fit.callbacks import FitStep, FitWatcher
from tfgmm.fit.checkpoint.journal import NO_JOURNAL, Journal
from tfgmm.fit.options import FitOptions
from tfgmm.fit.stages import TOLERANCE
from tfgmm.mixture.priors import Priors

# After restarts that converged on a sample, what the other rows may still bring.
_TOLERANCE_AFTER_SAMPLE = 1e-5


@dataclasses.dataclass(frozen=True, eq=False)
class FitTask:
    """What fits of one covariance shape share, whatever their number of components.

    Args:
        source: The opened data.
        survey: Summary and sample of them.
        priors: Priors in data units, also where the options ask for "auto".
        options: The options of `fit_mixture`, with one covariance shape.
        callbacks: Callbacks of ours, and of Keras's.
        validation: Rows to validate on, opened; or None.
        place: (m, M): This is the m-th of M fits that are compared, counted from 1.
        gap_columns: Columns in which some rows, also of those to validate on, have no value.
        journal: What earlier runs of the fits have done, and where this one writes it.
    """

    source: RowSource
    survey: Survey
    priors: Priors
    options: FitOptions
    callbacks: Sequence[Any]
    validation: RowSource | None
    place: tuple[int, int] = (1, 1)
    gap_columns: tuple[int, ...] = ()
    journal: Journal = NO_JOURNAL

    @property
    def covariance(self) -> str:
        """The covariance shape."""
        [shape] = self.options.shapes(self.source.num_features)
        return shape

    @property
    def is_sample(self) -> bool:
        """Whether the survey's sample has fewer rows than the data."""
        return self.survey.is_sample

    @property
    def tolerance(self) -> float:
        """Nats per row: a gain of a sweep over all rows below it counts as none."""
        return self.options.tolerance or (_TOLERANCE_AFTER_SAMPLE if self.is_sample else TOLERANCE)

    def num_restarts(self, num_components: int) -> int:
        """Says how many starts are tried with K components."""
        return self.options.num_restarts(num_components, self.is_sample)

    def tell(self, kind: str, number: int, count: int, num_components: int) -> None:
        """Calls `on_step` of the callbacks that watch the fit, before a step."""
        step = FitStep(kind, number, count, num_components, self.place, self.covariance)
        for callback in self.callbacks or ():
            if isinstance(callback, FitWatcher):
                callback.on_step(step)
