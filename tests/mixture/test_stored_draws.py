"""Draws as they are stored: the same draws to seven digits of their spread, and useless ones are named."""

import numpy as np
import pytest
from known_mixtures import D, Mixture, S
from scipy import special

import tfgmm
from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture import stored_draws


@pytest.fixture(scope="module", params=list(COMPONENTS))
def mixture(request):
    return Mixture(request.param)


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_draws_of_vague_priors_are_exported_and_read(covariance, tmp_path):
    """Components without rows have the prior for posterior, whose draws may be too small for float32."""
    priors = tfgmm.Priors(loc_mean=0.0, loc_scale=5.0, precision_shape=0.003, precision_rate=0.003)
    model = tfgmm.GaussianMixtureModel(20, 2, covariance, "stick_breaking", priors=priors, seed=0)
    kept = model.draws_to_store()
    smallest = min(kept.get("drawn_precisions", kept.get("drawn_whiteners")).ravel(), key=abs)
    assert abs(smallest) <= np.finfo(np.float32).tiny  # some were held there
    scorer = tfgmm.load_scorer(tfgmm.export_model(model, tmp_path / "mixture"))
    assert np.isfinite(scorer.log_prob(np.zeros((3, 2)), "predictive")).all()


def test_kept_draws_are_the_draws_to_seven_digits_of_their_spread(mixture):
    found = mixture.predictive()
    np.testing.assert_allclose(np.exp(found.log_weights), mixture.drawn_weights, rtol=1e-6)
    for name, values in mixture.drawn.items():
        spread = np.asarray(values) - mixture.plug_in().components[name]
        np.testing.assert_allclose(found.components[name] - values, 0.0, atol=3e-7 * np.abs(spread).max() + 1e-9)


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_kept_draws_of_very_narrow_components_keep_their_digits(covariance):
    mixture = Mixture(covariance, centre=np.zeros(D), width=1e-6)
    rows = mixture.plug_in().components["locs"].astype(np.float32).astype(float)  # nothing more is rounded away
    by_draw = [
        special.logsumexp(
            mixture.log_joint(rows, list(range(D)), mixture.parameters(s), mixture.drawn_weights[s]), axis=1
        )
        for s in range(S)
    ]
    expected = special.logsumexp(by_draw, axis=0) - np.log(S)
    # The density is a sum of terms of 1e14 nats that cancel to 50: half a unit in the last place of the largest such
    # sum may be lost, by any order of adding. Draws kept in float32 would err by seven times as much.
    terms = [np.abs(row) @ np.abs(np.linalg.inv(c)) @ np.abs(row) for row in rows for c in mixture.covariances()]
    np.testing.assert_allclose(mixture.log_prob(rows, "predictive"), expected, rtol=0, atol=2.0**-54 * max(terms))


@pytest.mark.parametrize("change", ["weights", "precisions", "whiteners"])
def test_useless_draws_are_named(change):
    mixture = Mixture("full" if change == "whiteners" else "diag")
    assert stored_draws.fault_in(mixture.kept) is None
    name = "drawn_log_weights" if change == "weights" else f"drawn_{change}"
    values = mixture.kept[name].copy()
    values[(0,) * values.ndim] = 0.5 if change == "weights" else -1.0
    assert stored_draws.fault_in(mixture.kept | {name: values}).startswith(name)
