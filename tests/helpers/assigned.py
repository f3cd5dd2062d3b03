"""Posteriors put into a model: training sets the numbers behind them, tests set posteriors."""

from __future__ import annotations

from typing import Any

from tfgmm.families.queries import PosteriorQueries


def assign_components(model: PosteriorQueries, posterior: Any) -> None:
    """Sets q of the components, e.g. an `IndependentPosterior`, locations measured from the model's centre."""
    q = model.variational
    q.assign(q.values()._replace(components=q.components.values_of(posterior)))


def assign_weights(model: PosteriorQueries, posterior: Any) -> None:
    """Sets q of the weights, e.g. a `DirichletPosterior`."""
    q = model.variational
    q.assign(q.values()._replace(weights=q.weights.values_of(posterior)))
