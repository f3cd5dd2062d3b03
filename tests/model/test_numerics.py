"""Log densities and variances of tight clusters after a fit: as exact as float64 would have them, on the same rows."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
from reference_mixture import Mixture
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import tfgmm
from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture.parameters import FORMS

NUM_FEATURES = 16
RANGE = 10.0
WIDTHS = (1e-1, 1e-2, 1e-3, 1e-4)
TIED = [(covariance, (width,)) for covariance in ("tied_spherical", "tied_diag", "tied") for width in WIDTHS]
SLOW = [case for case in TIED if case[1][0] in (1e-1, 1e-3)]
UNTIED = [(covariance, WIDTHS) for covariance in ("spherical", "diag", "full")]


def rows_of(widths):
    """Returns four clusters of 150 rows, these shares of the range wide, as float32 has them once centred."""
    generator = np.random.default_rng(4)
    widths = np.resize(widths, 4)
    centres = generator.uniform(-RANGE / 2, RANGE / 2, (4, NUM_FEATURES))
    rows = np.concatenate(
        [generator.normal(centre, RANGE * width, (150, NUM_FEATURES)) for centre, width in zip(centres, widths)]
    )
    return rows, centres


def weak_priors(covariance, widths):
    """Fixed priors that expect the narrowest width, as the reference program has them."""
    variance = (RANGE * min(widths)) ** 2
    degrees, inverse_scale = NUM_FEATURES + 1.0, 0.1 * variance * np.eye(NUM_FEATURES)
    matrices = {"loc_covariance": 100.0 * np.eye(NUM_FEATURES), "degrees": degrees, "inverse_scale": inverse_scale}
    is_matrix = covariance in ("full", "tied")
    return tfgmm.Priors(0.0, 10.0, 1.0, 0.1 * variance, 1.0, **(matrices if is_matrix else {}))


CASES = [pytest.param(case, marks=[pytest.mark.slow] * (case in SLOW), id=str(case)) for case in TIED + UNTIED]


@pytest.fixture(scope="module", params=CASES)
def fit(request):
    covariance, widths = request.param
    rows, centres = rows_of(widths)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the priors do not suit the data")  # nor do they, where all is so narrow
        # By chance all four stand close together in column 0; the rows are spheres all the same
        warnings.filterwarnings("ignore", r"the spread of column 3 is 1\d\.\d times that of column 0")
        result = tfgmm.fit_mixture(
            rows, 4, covariance=covariance, priors=weak_priors(covariance, widths), start=centres
        )
    model = result.model
    rounded = (rows - model.centre).astype(np.float32).astype(np.float64) + model.centre
    return result, rows, rounded


def sds_of(model):
    return FORMS[model.variational.form].covariances(model.plug_in().components)[0]


def test_log_densities_are_those_of_scipy_on_the_rounded_rows(fit):
    result, rows, rounded = fit
    model, mixture = result.model, result.model.plug_in()
    sds, covariances = FORMS[model.variational.form].covariances(mixture.components)
    if covariances is None:
        covariances = [np.diag(np.square(line)) for line in sds]
    # Rows and locations both measured from the centre, so that scipy's own subtraction is exact
    log_joints = [
        log_weight + multivariate_normal(loc, covariance, allow_singular=True).logpdf(rounded - model.centre)
        for log_weight, loc, covariance in zip(mixture.log_weights, mixture.components["locs"], covariances)
    ]
    np.testing.assert_allclose(model.log_prob(rows), logsumexp(log_joints, axis=0), atol=1e-3)
    assert result.log_likelihood == pytest.approx(np.sum(logsumexp(log_joints, axis=0)), abs=1e-2)


def test_one_more_sweep_of_an_independent_float64_program_changes_no_width(fit):
    """It subtracts each location before squaring. A thousandth is a tenth of the standard error of 150 rows."""
    result, _, rounded = fit
    model = result.model
    reference = Mixture(model.covariance, "dirichlet", reference_priors(model.priors, model.covariance), 4)
    load(reference, model)
    before = copy.deepcopy(reference)
    reference.sweep(rounded)
    for k in range(4):
        old, new = (np.linalg.inv(state.expected_precision(k)) for state in (before, reference))
        scale = np.sqrt(np.outer(np.diag(new), np.diag(new)))
        np.testing.assert_allclose(old / scale, new / scale, atol=1e-3)
        np.testing.assert_allclose(before.locs[k], reference.locs[k], atol=1e-3 * np.sqrt(np.diag(new)).min())
    assert result.elbo == pytest.approx(before.elbo(rounded), abs=2e-2)


def test_the_tight_clusters_are_found_as_narrow_as_they_are(fit):
    result, rows, _ = fit
    # From 150 rows and 0.1 of the prior's expected square, spherical and tied ones from many more
    clusters = rows.reshape(4, 150, NUM_FEATURES)
    expected = clusters.std(axis=1).mean(axis=1)
    np.testing.assert_allclose(np.sqrt(np.mean(sds_of(result.model) ** 2, axis=1)), expected, rtol=0.1)


def reference_priors(priors, covariance):
    """Returns our priors as the reference has them."""
    from reference_mixture import Priors

    matrices = {}
    if covariance in ("full", "tied"):
        matrices = {name: np.array(getattr(priors, name)) for name in ("loc_covariance", "inverse_scale")}
        matrices["degrees"] = priors.degrees
    shape = 1 if covariance.endswith("spherical") else NUM_FEATURES
    return Priors(
        np.zeros(NUM_FEATURES),
        np.full(NUM_FEATURES, priors.loc_scale),
        np.full(shape, priors.precision_shape),
        np.full(shape, priors.precision_rate),
        **matrices,
    )


def load(reference, model):
    """Sets the reference's state to the model's posterior."""
    for name in reference.state_names():
        of_model = {"loc_covariances": "loc_covariances", "inverse_scales": "inverse_scales"}.get(name, name)
        getattr(reference, name)[...] = getattr(model, of_model).numpy()


def test_every_shape_is_here():
    assert {covariance for covariance, _ in TIED + UNTIED} == set(COMPONENTS)
