"""Adaptive importance sampling against distributions whose integrals and moments are known in closed form."""

from __future__ import annotations

import numpy as np

from tfgmm.families.exact.adaptive_importance import adaptive_importance


def test_a_standard_normal_needs_one_stage():
    drawn = adaptive_importance(lambda xi: -0.5 * np.square(xi).sum(axis=1), 3, np.random.default_rng(0))
    assert drawn.xi.shape == (2_000, 3)
    assert abs(drawn.log_evidence - 1.5 * np.log(2 * np.pi)) < 4 * drawn.evidence_error < 0.1
