"""Importance ratios of draws from q: how much more probable each is under the exact posterior than under q."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfgmm.data.blocks import RowBlock
from tfgmm.data.sampling import SAMPLE_ROWS
from tfgmm.data.sources import check_ends, open_source
from tfgmm.mixture.parameters import MixtureDensity, coefficients_of
from tfgmm.model.batches import default_batch_size, ordered_batches

Tensor = Any

# Mixtures whose products are worked out together: they share the features of a row
_AT_A_TIME = 16


def log_importance_ratios(
    model: Any,
    data: Any,
    posteriors: tuple[Any, Any],
    log_weights: Tensor,
    drawn: Any,
    parameters: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Returns log p(rows, draw) - log q(draw), (S,) float64, nats; the rows are read once.

    Args:
        model: a `GaussianMixtureModel`.
        data: the rows that it was fitted to.
        posteriors: q of the weights and of the components, that the draws are from.
        log_weights: (S, K) float64. drawn: component parameters, leading axis S.
        parameters: the same as arrays, by name; see `MixtureDensity`.

    Raises:
        ValueError: another number of rows than the model was fitted to.
    """
    centre = tf.convert_to_tensor(model.stored_centre)
    of_weights, of_components = posteriors
    log_ratios = model.mixture_weights.log_ratios(of_weights, log_weights)
    log_ratios += model.components.log_ratios(of_components, drawn, centre)
    return log_likelihoods(model, data, log_weights.numpy(), parameters) - log_ratios.numpy()


def log_likelihoods(model: Any, data: Any, log_weights: np.ndarray, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the log likelihood of all rows under each of S mixtures, (S,) float64, nats."""
    groups = [slice(first, first + _AT_A_TIME) for first in range(0, len(log_weights), _AT_A_TIME)]
    drawn = MixtureDensity(model.covariance, model.centre, log_weights, parameters)
    mixtures = [coefficients_of(drawn.part(group)) for group in groups]
    totals, num_rows = np.zeros(len(log_weights)), 0
    for rows in centred_batches(model, data):
        num_rows += len(rows)
        for group, several in zip(groups, mixtures):
            totals[group] += model.natural_gradient.log_likelihoods(several, RowBlock(rows))[0]
    check_training_rows(model, num_rows)
    return totals


def check_training_rows(model: Any, num_rows: int) -> None:
    """Returns nothing when the model was fitted to as many rows as there are in `data`.

    Raises:
        ValueError: it was not.
    """
    if num_rows != model.num_data:
        raise ValueError(
            f"`data` must be the rows that the model was fitted to, {model.num_data or 'none so far'}. "
            f"Received: {num_rows:,} rows. Pass the training rows."
        )


def centred_batches(model: Any, data: Any) -> tf.data.Dataset:
    """Returns batches of the rows of `data`, (B, D) float32, measured from the model's centre, in their order."""
    source = open_source(data, "data", model.num_features, model.column_names)
    check_ends(source, None, "Use .take(n) for its first n batches.")
    size = default_batch_size(model.num_data or SAMPLE_ROWS, model.num_components, model.num_features)
    return ordered_batches(source, model.centre, size)
