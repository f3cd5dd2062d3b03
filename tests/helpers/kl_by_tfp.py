"""The KL divergence of a model's posterior from TensorFlow Probability's closed forms."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

from tfgmm import GaussianMixtureModel

tfd = tfp.distributions


def kl_by_tfp(model: GaussianMixtureModel) -> float:
    """Returns KL(q || default priors) of a model with covariance "diag" and "dirichlet" weights, nats."""
    one = tf.ones([], tf.float64)
    locs = tfd.kl_divergence(tfd.Normal(model.locs, model.scales), tfd.Normal(0 * one, one))
    precisions = tfd.kl_divergence(tfd.Gamma(model.alpha, model.beta), tfd.Gamma(5 * one, 5 * one))
    weights = tfd.kl_divergence(tfd.Dirichlet(model.counts), tfd.Dirichlet(2 * tf.ones_like(model.counts)))
    return float(tf.reduce_sum(locs) + tf.reduce_sum(precisions) + weights)
