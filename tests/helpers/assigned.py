"""Posteriors put into the variables of a model: training sets numbers, tests set posteriors."""

from __future__ import annotations

from typing import Any

from tfgmm.families.base import TrainedPosterior


def assign(part: TrainedPosterior, posterior: Any) -> None:
    """Sets the variables of `part` so that `part.posterior()` returns `posterior`."""
    part.assign_values(part.values_of(posterior))
