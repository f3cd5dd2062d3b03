"""The first half of a sweep as differentiable operations: what gradients of the augmented bound are checked with."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfgmm.families.variational import VariationalPosterior
from tfgmm.scoring.graph.chunks import log_joints, normalised
from tfgmm.scoring.graph.densities import GRAPH_FORMS


def local_step(posterior: VariationalPosterior, rows: Any) -> tuple[Any, Any]:
    """Returns logsumexp_k rho_ik, (B,) float64, and responsibilities softmax_k rho_ik, (B, K) float32.

    The likelihood part of the augmented bound: L_A = sum over rows of the first - KL(q || prior);
    L_A <= L_M <= log evidence (Bishop 2006, 10.46 to 10.49).

    Args:
        posterior: with its variables.
        rows: (B, D) float32, measured from the centre.
    """
    coefficients = posterior.expected_coefficients(posterior.factors())
    return normalised(log_joints(GRAPH_FORMS[posterior.form].features(tf.cast(rows, tf.float64)), *coefficients))
