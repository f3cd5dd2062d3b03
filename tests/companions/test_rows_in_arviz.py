"""What ArviZ makes of the draws of every engine: one score of leaving rows out, and NumPyro's own energies."""

from __future__ import annotations

import arviz
import jax
import numpy as np
import pytest
from numpyro.infer import MCMC, NUTS, init_to_value
from reference_problems import worked_rows
from scipy import stats

import tfgmm
from tfgmm.companions import numpyro_mixture

# Quantiles of two normals, so that no row is an outlier
ROWS = np.concatenate([stats.norm(loc, 0.8).ppf((np.arange(n) + 0.5) / n) for loc, n in ((-3.0, 16), (3.0, 24))])[
    :, None
]


@pytest.mark.slow
def test_draws_of_one_posterior_have_one_score():
    """The exact posterior by importance sampling, and by NumPyro's chains."""
    result = tfgmm.fit_mixture(ROWS, 2, seed=0)
    lengths = {"num_samples": 1_000, "num_chains": 2, "progress": False}
    chains = numpyro_mixture.sample_nuts(ROWS, 2, priors=result.priors, **lengths)
    exact = result.draws(2_000, seed=0, data=ROWS, posterior="auto")
    of_chains, of_exact = (arviz.loo(draws.to_arviz(ROWS, predictive=0)).elpd_loo for draws in (chains, exact))
    assert of_chains == pytest.approx(of_exact, abs=0.2)


@pytest.mark.slow
def test_energies_are_those_that_numpyro_records():
    rows = worked_rows()[::10]
    result = tfgmm.fit_mixture(rows[:, None], 3, seed=0)
    lengths = {"num_samples": 1_500, "num_chains": 2, "progress": False}
    ours = numpyro_mixture.sample_nuts(rows, 3, priors=result.priors, **lengths)
    model = numpyro_mixture.mixture_model(3, 1, priors=result.priors)
    start = {name: np.asarray(value) for name, value in start_of(ours, model).items()}
    with jax.enable_x64(True):
        sampler = MCMC(
            NUTS(model, init_strategy=init_to_value(values=start)),
            num_warmup=500,
            num_samples=3_000,
            progress_bar=False,
        )
        sampler.run(jax.random.key(0), rows[:, None], extra_fields=("energy",))
        theirs = np.asarray(sampler.get_extra_fields()["energy"])[None]
    mine = ours.sample_stats["energy"]
    error = np.hypot(*(arviz.mcse(values, method="mean") for values in (mine, theirs)))
    assert abs(mine.mean() - theirs.mean()) < 4 * error
    assert mine.std() == pytest.approx(theirs.std(), rel=0.1)
    assert arviz.bfmi(ours.to_arviz()).mean() == pytest.approx(arviz.bfmi(theirs)[0], abs=0.25)


def start_of(draws, model):
    """Returns values of the model's sites at one draw."""
    return model.values(draws.weights[0, -1], draws.locs[0, -1], draws.scales[0, -1])
