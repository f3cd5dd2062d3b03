"""Rows drawn from a mixture, as TensorFlow operations: the signature `sample` of an export; see `mixture.sampling`."""

from __future__ import annotations

import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.scoring.graph.densities import graph_form_of


def sample_rows(mixture: MixtureDensity, num_samples: Tensor, seed: Tensor) -> Tensor:
    """Draws rows from the mixture, (num_samples, D) float64, data units; a pure function of the seed.

    Args:
        mixture: One mixture (no leading axes).
        num_samples: Scalar int, number of rows.
        seed: (2,) int, seed of the draws.
    """
    assignment_seed, noise_seed = tf.unstack(tf.random.split(seed, 2))
    log_weights = tf.cast(mixture.log_weights, tf.float32)[None, :]
    assignment = tf.random.stateless_categorical(log_weights, tf.cast(num_samples, tf.int32), assignment_seed)[0]
    return mixture.centre + graph_form_of(mixture.covariance).sample(mixture.components, assignment, noise_seed)
