"""Twenty calls of `fit`, each with a part of a stream: a group that the last part lacks is not forgotten."""

from __future__ import annotations

import numpy as np
import pytest

import tfgmm

CENTRES, SHARES = np.array([[-5.0, 0.0], [5.0, 0.0], [0.0, 6.0]]), (0.5, 0.35, 0.15)


def part_of(number):
    """Returns 200 rows of three groups; the last of the 20 parts has none of the third."""
    generator = np.random.default_rng(number)
    owner = generator.choice(3, 200, p=SHARES if number < 19 else (0.6, 0.4, 0.0))
    return generator.normal(CENTRES[owner] + 100.0), owner


@pytest.mark.parametrize(
    ("covariance", "sizes", "num_data"),
    [
        ("diag", tfgmm.StepSizes(), None),
        ("diag", tfgmm.StepSizes(delay=0.0, exponent=1.0), 4_000),
        ("full", tfgmm.StepSizes(), 4_000),
    ],
)
def test_twenty_calls_keep_a_group_that_the_last_part_lacks(covariance, sizes, num_data):
    parts = [part_of(number) for number in range(20)]
    model = tfgmm.GaussianMixtureModel(3, 2, covariance, priors=tfgmm.Priors.from_data(parts[0][0]), seed=0)
    model.compile(step_sizes=sizes, num_data=num_data)
    for rows, _ in parts:
        model.fit(rows, verbose=0)
    assert int(model.statistics.num_steps) == 20
    owners = np.concatenate([owner for _, owner in parts])
    found = model.plug_in()
    order = [int(np.argmin(np.linalg.norm(model.locs - centre, axis=1))) for centre in CENTRES + 100.0]
    assert sorted(order) == [0, 1, 2]
    np.testing.assert_allclose(np.exp(found.log_weights)[order], np.bincount(owners) / 4_000, atol=0.03)
    np.testing.assert_allclose(model.locs.numpy()[order], CENTRES + 100.0, atol=0.3)
