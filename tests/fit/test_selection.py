"""`fit_mixture` with several numbers of components: criteria by other routes, the rule, and what it refuses."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import tfgmm
from tfgmm.data.readers import Rows
from tfgmm.data.summary import summarise
from tfgmm.data.survey import survey_rows
from tfgmm.families.variational import Factors, VariationalPosterior
from tfgmm.fit import cross_validation, selection
from tfgmm.fit.occupied import log_num_modes
from tfgmm.mixture.registry import COVARIANCES
from tfgmm.scoring.scores import score_data

GENERATOR = np.random.default_rng(3)
# Two clusters that touch, so that rows between them have memberships in both
ROWS = np.concatenate([GENERATOR.normal((0.0, 0.0), 1.0, (40, 2)), GENERATOR.normal((3.0, 1.0), 0.8, (30, 2))])
ROWS = ROWS.astype(np.float32).astype(np.float64)
OLD_FAITHFUL = "training/data/old_faithful.csv"


@pytest.fixture(scope="module")
def chosen():
    return tfgmm.fit_mixture(ROWS, range(1, 5), restarts=3, seed=2)


@pytest.fixture(scope="module")
def of_sticks():
    return tfgmm.fit_mixture(ROWS, [3], weights="stick_breaking", restarts=2, seed=2)


def mixture_of(model):
    """Returns weights (K,), locations (K, D) and standard deviations (K, D) at the posterior means, from q itself."""
    counts, alpha, beta = model.counts.numpy(), model.alpha.numpy(), model.beta.numpy()
    return counts / counts.sum(), model.locs.numpy(), np.sqrt(beta / alpha)


def log_joints(model, rows):
    """Returns log p(row, component) in float64 loops over components, (N, K)."""
    parts = zip(*mixture_of(model))
    return np.stack([np.log(w) + stats.norm.logpdf(rows, loc, sd).sum(axis=1) for w, loc, sd in parts], axis=1)


# --- Each criterion by another route ---------------------------------------------------------------------------


def test_icl_is_the_log_likelihood_of_rows_with_their_most_probable_components(chosen):
    for result in chosen.results:
        joints = log_joints(result.model, ROWS)
        assigned = joints.argmax(axis=1)  # one by one, as published
        complete = sum(joints[i, assigned[i]] for i in range(len(ROWS)))
        num_parameters = 5 * result.num_components - 1
        # Rows are rounded to float32 once centred: 70 errors of 1e-6
        assert result.icl == pytest.approx(-2 * complete + num_parameters * math.log(70), abs=1e-3)
        assert result.icl >= result.bic - 1e-6
    assert chosen.results[2].icl > chosen.results[2].bic + 1.0  # the rows overlap, so that it matters


def test_icl_and_bic_of_old_faithful_are_those_that_mclust_publishes():
    """Model EEE with 3 components, R's faithful: log likelihood -1126.326, BIC -2314.316, ICL -2357.824, to be turned.

    At posterior means under weak priors instead of the maximum: 0.01 nats of likelihood; memberships, a little more.
    Priors that learn how far apart components are draw them together, and whole minutes may be half a minute off: that
    costs an eighth of a nat.
    """
    rows = pd.read_csv(OLD_FAITHFUL).to_numpy()
    centre, spreads = rows.mean(axis=0), np.cov(rows.T)
    matrices = {"loc_covariance": 9.0 * spreads, "degrees": 3.0, "inverse_scale": 0.15 * spreads}
    weak = tfgmm.Priors(centre, weight_concentration=1.0, **matrices)
    by_default = tfgmm.fit_mixture(OLD_FAITHFUL, 3, covariance="tied", restarts=2)
    assert -1126.326 - 0.125 < by_default.log_likelihood < -1126.326
    result = tfgmm.fit_mixture(OLD_FAITHFUL, 3, covariance="tied", priors=weak, restarts=2)
    assert result.num_parameters == 11
    assert result.log_likelihood == pytest.approx(-1126.326, abs=0.02)
    assert result.bic == pytest.approx(2314.316, abs=0.04)
    assert result.icl == pytest.approx(2357.824, abs=0.5)


def test_table_has_the_figures_of_the_fits(chosen):
    table = chosen.table
    assert table["num_components"].tolist() == [1, 2, 3, 4]
    for name in ("elbo", "log_likelihood", "bic", "icl", "aic"):
        np.testing.assert_array_equal(table[name], [getattr(result, name) for result in chosen.results])
    assert table["occupied"].tolist() == [result.num_occupied for result in chosen.results]
    assert list(pd.DataFrame(table)["num_components"]) == [1, 2, 3, 4]


def test_a_fit_among_several_is_the_fit_alone(chosen):
    alone = tfgmm.fit_mixture(ROWS, 2, restarts=3, seed=2)
    assert isinstance(alone, tfgmm.FitResult)
    assert alone.elbo == chosen.results[1].elbo and alone.bic == chosen.results[1].bic


def test_priors_are_the_same_for_all(chosen):
    assert len({result.model.priors for result in chosen.results}) == 1


def test_evidence_counts_modes_that_differ_by_names_alone(chosen):
    """With K components, E of them empty, the others can stand in K (K - 1) ... (E + 1) ways."""
    for result in chosen.results:
        num_places = math.perm(result.num_components, result.num_occupied)
        assert selection.log_evidence(result) == pytest.approx(result.elbo + math.log(num_places))
    evidence = chosen.table["log_evidence"]
    expected = np.exp(evidence) / np.exp(evidence).sum()
    np.testing.assert_allclose(chosen.table["share"], expected)
    assert np.argmax(evidence) == 1 and chosen.num_components == 2 and chosen.best is chosen.results[1]


def test_components_that_coincide_are_one_in_any_order():
    """Five rows, of which three components each take a third: exchanging two leads to no other mode."""
    rows = [[0.0], [1.03], [10.0], [11.1], [12.0]]
    alike = tfgmm.fit_mixture(rows, 3, covariance="tied_diag")
    assert np.ptp(alike.locs) < 1e-6 and alike.num_occupied == 3
    assert selection.log_evidence(alike) == pytest.approx(alike.elbo)
    apart = tfgmm.fit_mixture(rows, 2, covariance="tied_diag")
    assert selection.log_evidence(apart) == pytest.approx(apart.elbo + math.log(2))


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_components_of_one_place_differ_where_their_widths_do(covariance):
    """Two pairs and one by itself, 5! / (2! 2!) orders; of shared widths the pairs are four of a kind."""
    q = VariationalPosterior.of(covariance, "dirichlet", 5, 2, tfgmm.Priors(weight_concentration=1.0))
    factors = q.factors_of(q.random_start(0))
    locs, wide = np.array([[0.0, 0.0]] * 4 + [[3.0, 1.0]]), np.array([1.0, 1.0, 2.0, 2.0, 1.0])
    components = {
        name: value[:1] * np.ones((5,) + (1,) * (value.ndim - 1)) for name, value in factors[1]._asdict().items()
    }
    components["locs"] = locs
    is_tied = covariance.startswith("tied")
    for name in ("alpha", "beta", "degrees", "scale_cholesky"):
        if name in components:
            own = components[name]
            if name in ("beta", "scale_cholesky"):
                own = own * wide.reshape(5, *[1] * (own.ndim - 1))
            components[name] = own[:1] if is_tied else own
    weights = type(factors[0])(np.ones(5))
    q.assign(q.values_of(Factors(weights, type(factors[1])(**components))))
    expected = 5.0 if is_tied else math.factorial(5) / 4.0
    assert math.exp(log_num_modes(q)) == pytest.approx(expected)


def test_evidence_of_a_known_problem_is_below_the_exact_one_and_nearer_than_the_bound():
    """Three rows, K=2: the log evidence is known from sums over all assignments and quadrature (test_bounds.py)."""
    priors = tfgmm.Priors(0.1, 1.5**0.5, 1.5, 0.4, 1.5)
    result = tfgmm.fit_mixture([[-0.9], [0.2], [1.6]], 2, priors=priors, restarts=4)
    assert result.elbo == pytest.approx(-7.38046367, abs=1e-4)
    assert result.elbo < selection.log_evidence(result) < -5.66422552


def test_stick_breaking_modes_are_not_equal_so_that_the_bound_stands_alone(of_sticks):
    assert selection.log_evidence(of_sticks.best) == of_sticks.best.elbo


# --- Held-out rows -----------------------------------------------------------------------------------------------


def test_held_out_densities_are_those_of_fits_without_the_rows(chosen):
    """The same folds and priors, each fitted by `fit_mixture` itself, from many starts; K=2 has one good optimum."""
    survey = survey_rows(Rows(ROWS), None, seed=2)
    folds = cross_validation.folds_of(survey, seed=2)
    assert sorted(np.bincount(folds.numbers)) == [14] * 5
    for fold in range(2):
        is_held = folds.numbers == fold
        without = tfgmm.fit_mixture(ROWS[~is_held], 2, priors=chosen.best.model.priors, restarts=2)
        # Fits in folds end after gains of 1e-5 nats a row, these after 1e-7
        expected = score_data(without.model.plug_in(), ROWS[is_held], "log_density")
        np.testing.assert_allclose(chosen.held_out[1][is_held], expected, atol=0.05)
        assert np.abs(chosen.results[1].model.log_prob(ROWS[is_held]) - expected).max() > 0.02


def test_means_and_paired_errors_over_rows(chosen):
    table, held = chosen.table, chosen.held_out
    best = int(np.argmax(held.mean(axis=1)))
    for index, row in enumerate(table):
        gaps = held[best] - held[index]
        assert row["held_out"] == pytest.approx(held[index].mean())
        assert row["held_out_error"] == pytest.approx(stats.sem(held[index]))
        assert row["behind"] == pytest.approx(gaps.mean(), abs=1e-12)
        assert row["behind_error"] == pytest.approx(stats.sem(gaps), abs=1e-12)
    assert table["behind_error"][0] != pytest.approx(
        np.hypot(table["held_out_error"][0], table["held_out_error"][best])
    )


def test_validation_data_are_the_held_out_rows(chosen):
    further = np.random.default_rng(5).normal(1.0, 2.0, (33, 2))
    given = tfgmm.fit_mixture(ROWS, [2], restarts=1, seed=2, validation_data=further)
    for result, densities in zip(given.results, given.held_out, strict=True):
        expected = np.logaddexp.reduce(log_joints(result.model, further), axis=1)
        np.testing.assert_allclose(densities, expected, atol=1e-4)
        assert "val_loss" in result.history
    assert "validation_data, 33 rows" in str(given)


def test_of_many_rows_a_fifth_of_the_sample_is_held_out_once():
    survey = survey_rows(Rows(np.arange(30_000.0)[:, None]), None, seed=0)
    folds = cross_validation.folds_of(survey, seed=0)
    assert (folds.num_folds, np.sum(folds.numbers == 0), np.sum(folds.numbers == -1)) == (1, 4_000, 16_000)
    assert not np.array_equal(folds.numbers, cross_validation.folds_of(survey, seed=1).numbers)


@pytest.mark.parametrize(("num_rows", "num_folds"), [(1, 0), (2, 2), (5, 5), (6, 5)])
def test_few_rows_are_held_out_as_far_as_they_go(num_rows, num_folds):
    folds = cross_validation.folds_of(survey_rows(Rows(np.arange(float(num_rows))[:, None]), None, seed=0), seed=0)
    assert folds.num_folds == num_folds
    if num_folds:
        assert sorted(set(folds.numbers.tolist())) == list(range(num_folds))


def test_one_row_can_only_be_fitted():
    with pytest.warns(UserWarning, match="has one value only"):
        alone = tfgmm.fit_mixture([[3.0]], [1], restarts=1)
    assert alone.held_out.shape == (1, 0) and np.isnan(alone.table["held_out"]).all()
    assert "held_out" not in alone.choices and "nan" not in alone.reason


# --- The rule and its words ----------------------------------------------------------------------------------------


class Fit:
    """A fit of made-up figures."""

    def __init__(self, num_components, elbo, criterion, num_occupied=None, converged=True):
        self.num_components, self.elbo, self.converged = num_components, elbo, converged
        self.bic = self.icl = self.aic = criterion
        self.log_likelihood, self.num_data = -criterion / 2, 50
        self.num_occupied = num_components if num_occupied is None else num_occupied
        self.log_num_modes = math.log(math.perm(num_components, self.num_occupied))
        self.weight_prior, self.covariance, self.num_features = "dirichlet", "diag", 1
        self.priors, self.data_summary = tfgmm.Priors(), summarise(Rows(ROWS[:, :1]), name="data")
        self.criteria_at, self.restarts, self.exact, self.ranking = "mean", (), None, None


def made_up(*fits, held=None):
    densities = np.zeros((len(fits), 0)) if held is None else np.asarray(held, np.float64)
    return tfgmm.Selection(tuple(fits), densities, "some rows")


def test_the_fewest_within_a_paired_standard_error():
    """Paired: a common ups and downs of 100 nats between rows takes no part."""
    common = np.array([0.0, 100.0, -100.0, 50.0])
    steps = np.array([[-1.0, -1.1, -0.9, -1.0], [-0.3, 0.3, -0.2, 0.1], [0.0, 0.0, 0.0, 0.0]])
    found = made_up(Fit(1, -9.0, 5.0), Fit(2, -8.0, 4.0), Fit(3, -7.0, 6.0), held=common + steps)
    assert found.choices == {"evidence": 3, "bic": 2, "icl": 2, "aic": 2, "held_out": 3, "one_error": 2}
    assert "BIC says 2, ICL says 2, AIC says 2." in found.reason
    assert "best with 3; 2 is the fewest" in found.reason and "4 held-out rows say little" in found.reason
    assert "It is the largest number tried: try more." in found.reason


def test_plausible_numbers_have_90_percent_together():
    # Shares 0.5, 0.3, 0.15, 0.05 of 2, 1, 3, 4, less the logarithms of K! that the rule adds
    shares = {1: 0.3, 2: 0.5, 3: 0.15, 4: 0.05}
    found = made_up(*(Fit(k, math.log(share) - math.log(math.factorial(k)), 1.0 * k) for k, share in shares.items()))
    np.testing.assert_allclose(found.table["share"], list(shares.values()))
    assert found.plausible == (1, 2, 3) and found.num_components == 2
    assert "It takes 1, 2 and 3 to have 90 %" in found.reason and "share of 0.50" in found.reason


def test_reason_warns_of_empty_components_and_of_fits_that_did_not_converge():
    found = made_up(Fit(2, -9.0, 5.0, converged=False), Fit(3, -2.0, 4.0, num_occupied=2))
    assert "only 2 have rows" in found.reason and "Not converged, and perhaps better than it looks: 2." in found.reason
    assert "smallest number tried" in made_up(Fit(2, -1.0, 1.0), Fit(3, -9.0, 2.0)).reason


def test_shares_that_rest_on_few_values_are_not_called_certain(chosen):
    assert chosen.column_doubts == () and "certain" not in chosen.reason
    one = dataclasses.replace(chosen, column_doubts=("column 'year' has 3 values", "columns 'a' and 'b' are one"))
    assert "None of these shares is certain: column 'year' has 3 values; columns 'a' and 'b' are one." in one.reason


def test_columns_of_few_values_and_columns_that_repeat_others_are_known_to_the_choice():
    rows = np.column_stack([ROWS, np.arange(len(ROWS)) % 2, 3.0 * ROWS[:, 0]])
    with pytest.warns(UserWarning) as caught:
        found = tfgmm.fit_mixture(rows, [1, 2], restarts=1)
    assert [str(one.message).split(":")[0] for one in caught] == [
        "column 2 (2 values) has few different values",
        "columns 0 and 3 follow from each other, as far as the rounding of their values tells",
    ]
    values, twice = found.column_doubts
    assert "column 2 has 2 values" in values and 'the shape "diag" counts the same twice' in twice
    assert values in found.reason and twice in found.reason


def test_a_component_of_one_value_is_known_to_the_choice():
    """Counts of which none is by far the most common: their distribution is no Gaussian."""
    generator = np.random.default_rng(2)
    rows = np.column_stack([generator.negative_binomial(1, 0.2, 1000), generator.normal(size=1000)]).astype(float)
    found = tfgmm.fit_mixture(rows, range(1, 7), restarts=4)
    assert found.num_components > 1 and "wide in column 0, whose values are 1 apart" in found.reason


def test_text_marks_the_recommended_line_and_ends_with_the_reason(chosen):
    lines = str(chosen).splitlines()
    marked = [line for line in lines if line.startswith("*")]
    assert len(marked) == 1 and marked[0].split()[1] == "2"
    assert lines[-1] == chosen.reason and "70 rows x 2 columns" in lines[0]
    assert len({len(line) for line in lines[1:6]}) == 1  # columns line up


# --- Occupied components ---------------------------------------------------------------------------------------


def test_occupied_posterior_is_that_of_all_assignments_under_draws(of_sticks):
    """By another route: draws of q from `draws`, memberships by scipy, all 3^5 assignments of five rows summed up."""
    rows = np.array([[0.0], [0.4], [0.8], [5.0], [5.3]])
    result = tfgmm.fit_mixture(rows, 3, weights="stick_breaking", restarts=2, seed=1)
    draws, num_draws = result.model.draws(400, seed=9), 400
    every = np.array(np.meshgrid(*[range(3)] * 5)).reshape(5, -1)
    num_distinct = np.array([len(set(column)) for column in every.T])
    exact = np.zeros((num_draws, 4))
    for s in range(num_draws):
        joint = draws.weights[0, s] * stats.norm.pdf(rows, draws.locs[0, s, :, 0], draws.scales[0, s, :, 0])
        shares = joint / joint.sum(axis=1, keepdims=True)
        exact[s] = np.bincount(num_distinct, shares[np.arange(5)[:, None], every].prod(axis=0), minlength=4)
    found = result.occupied_posterior(rows, num_draws=400, seed=4)
    assert found.shape == (4,) and found.sum() == pytest.approx(1.0)
    assert found[0] == 0.0 and 0.02 < found[3] < 0.9  # not certain, or the comparison would tell nothing
    # Four standard errors of both sums of draws
    errors = np.sqrt(found * (1 - found) / num_draws + exact.var(axis=0) / num_draws)
    assert (np.abs(found - exact.mean(axis=0)) <= 4 * errors + 1e-9).all()


def test_sticks_tell_how_many_have_rows(of_sticks, chosen):
    assert of_sticks.occupied_posterior.shape == (4,) and chosen.occupied_posterior is None
    np.testing.assert_array_equal(of_sticks.occupied_posterior, of_sticks.best.occupied_posterior(ROWS, seed=2))
    assert "Of at most 3 components so many have rows" in of_sticks.reason
    other = of_sticks.best.occupied_posterior(ROWS, num_draws=7, seed=2)
    assert np.isin(np.round(7 * other, 9), range(8)).all()
    with pytest.raises(ValueError, match="`data` must be the rows that the model was fitted to, 70"):
        of_sticks.best.occupied_posterior(ROWS[:-1], num_draws=1)


# --- What is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tried", "options", "words"),
    [
        ([], {}, "`num_components` must name at least one number"),
        ([1, 2.5], {}, "`num_components` must be a whole number.*2.5"),
        ("1:3", {}, "`num_components` must be a whole number.*'1:3'"),
        ([0, 1], {}, "`num_components` must be a whole number of at least 1"),
        (range(1, 72), {}, "at most the number of rows.*71 for 70 rows"),
        ([1, 2], {"start": ROWS[:2]}, "`start` must be .* with several numbers"),
        (
            [1, 2],
            {"priors": tfgmm.Priors(weight_concentration=(1.0, 2.0))},
            "`priors.weight_concentration` must be one",
        ),
    ],
)
def test_bad_arguments_are_named_before_anything_is_fitted(tried, options, words):
    with pytest.raises(ValueError, match=words):
        tfgmm.fit_mixture(ROWS, tried, **options)


def test_numbers_come_in_any_order_and_a_warning_names_the_line_that_asked():
    with pytest.warns(tfgmm.ConvergenceWarning) as caught:
        found = tfgmm.fit_mixture(ROWS, np.array([2, 1, 2]), restarts=1, max_sweeps=2)
    assert [result.num_components for result in found.results] == [1, 2]
    assert {item.filename for item in caught} == {__file__}
    assert "Not converged" in found.reason


# --- The worked examples --------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "covariance", "wanted"),
    [
        ("three_clusters", "diag", {3}),
        ("three_components", "diag", {3}),
        ("five_points", "diag", {1, 2}),
        ("five_points", "tied_diag", {1, 2}),
        ("old_faithful", "diag", {3, 4}),  # two long groups: columns that correlate take several each
        ("old_faithful", "full", {2, 3}),
        ("old_faithful", "tied", {2, 3}),
        ("galaxies", "diag", {3, 4, 5, 6}),
        ("galaxies", "tied_diag", {3, 4, 5, 6}),
    ],
)
@pytest.mark.filterwarnings(
    "ignore::tfgmm.fit.single.ConvergenceWarning"
)  # seven for three clusters: slow, and not chosen
def test_worked_examples(name, covariance, wanted):
    rows, most = rows_of(name)
    found = tfgmm.fit_mixture(rows, range(1, most + 1), covariance=covariance)
    assert found.num_components in wanted, str(found)
    if name == "five_points":  # five rows say little
        assert wanted <= set(found.plausible)
    else:
        assert set(found.plausible) & wanted and len(found.plausible) < most


def rows_of(name):
    if name in ("old_faithful", "galaxies"):
        return f"training/data/{name}.csv", 8
    import runpy

    recipe = runpy.run_path(f"training/{name}.py", run_name="rows")
    rows = recipe["ROWS"] if name == "five_points" else recipe["simulated_rows"]()
    return rows.reshape(len(rows), -1), min(7, len(rows))
