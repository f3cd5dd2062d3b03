"""`fit_mixture` with several covariance shapes: each line is that of a choice of one shape; the rule and its words."""

from __future__ import annotations

import dataclasses
import math
import re
import warnings

import numpy as np
import pytest

import tfgmm
from tfgmm.data.readers import Rows
from tfgmm.data.summary import summarise
from tfgmm.data.survey import survey_rows
from tfgmm.fit import fitting
from tfgmm.fit.callbacks import EndOfChoice, FitWatcher
from tfgmm.fit.options import FitOptions
from tfgmm.mixture.parameters import num_parameters
from tfgmm.mixture.registry import COVARIANCES, mixtures_of

GENERATOR = np.random.default_rng(8)
# Two long groups that lie along each other
ROWS = GENERATOR.normal(size=(90, 2)) @ np.array([[1.0, 0.9], [0.0, 0.3]])
ROWS[40:] += (0.0, 3.0)
QUICK = {"restarts": 2, "seed": 3}


@pytest.fixture(scope="module")
def chosen():
    return tfgmm.fit_mixture(ROWS, range(1, 4), covariance="auto", **QUICK)


# --- The fits


def test_every_line_is_that_of_a_choice_of_one_shape(chosen):
    table = chosen.table
    assert table["covariance"].tolist() == [shape for shape in COVARIANCES for _ in range(3)]
    assert table["num_components"].tolist() == [1, 2, 3] * len(COVARIANCES)
    for shape in COVARIANCES:
        alone = tfgmm.fit_mixture(ROWS, range(1, 4), covariance=shape, **QUICK).table
        lines = table[table["covariance"] == shape]
        for name in (
            "covariance",
            "elbo",
            "log_evidence",
            "held_out",
            "held_out_error",
            "bic",
            "icl",
            "aic",
            "occupied",
        ):
            np.testing.assert_array_equal(lines[name], alone[name])
    evidence = table["log_evidence"]
    # One component has the same mixtures under two names: each has half of what they have
    shares = np.exp(evidence) / np.where(table["num_components"] == 1, 2, 1)
    np.testing.assert_allclose(table["share"], shares / shares.sum())
    gaps = chosen.held_out[table["held_out"].argmax()] - chosen.held_out
    np.testing.assert_allclose(table["behind"], gaps.mean(axis=1), atol=1e-12)


def test_the_best_has_the_largest_evidence_of_all_shapes(chosen):
    place = int(chosen.table["log_evidence"].argmax())
    assert chosen.best is chosen.results[place] and place == chosen.best_place
    assert (chosen.covariance, chosen.num_components) == ("tied", 2)  # the groups have one shape, and correlations
    assert chosen.of_shape("full") == chosen.results[-3:] and chosen.of_shape("round") == ()


def test_priors_are_those_of_each_shape_or_the_given_ones_for_all(chosen):
    survey = survey_rows(Rows(ROWS), None, seed=3)
    for result in chosen.results:
        assert result.priors == tfgmm.Priors.from_data(survey.summary, result.covariance, sample=survey.sample)
    given = tfgmm.Priors(loc_scale=5.0)
    found = tfgmm.fit_mixture(ROWS, 2, covariance=["diag", "full"], priors=given, **QUICK)
    assert {result.priors for result in found.results} == {given}


def test_shapes_come_in_any_order_once_each_and_one_number_is_enough():
    found = tfgmm.fit_mixture(ROWS, 2, covariance=iter(["tied", "spherical", "tied"]), **QUICK)
    assert isinstance(found, tfgmm.Selection) and found.shapes == ("spherical", "tied")
    assert isinstance(tfgmm.fit_mixture(ROWS, 2, covariance=["tied"], **QUICK), tfgmm.Selection)
    alone = tfgmm.fit_mixture(ROWS, 2, covariance="tied", **QUICK)
    assert isinstance(alone, tfgmm.FitResult) and alone.elbo == found.best.elbo


def test_of_one_column_auto_tries_the_shapes_that_differ():
    found = tfgmm.fit_mixture(ROWS[:, :1], [1, 2], covariance="auto", **QUICK)
    assert found.shapes == ("diag", "tied_diag")
    kinds = {mixtures_of(shape, 2, 1) for shape in COVARIANCES}
    assert kinds == {mixtures_of(shape, 2, 1) for shape in found.shapes} and len(kinds) == 2
    asked = tfgmm.fit_mixture(ROWS[:, :1], 2, covariance=["spherical", "diag"], **QUICK)
    assert asked.shapes == ("spherical", "diag")
    np.testing.assert_allclose(asked.table["elbo"][0], asked.table["elbo"][1])


def test_the_rows_are_surveyed_once(monkeypatch):
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return survey_rows(*arguments)

    monkeypatch.setattr(fitting, "survey_rows", counted)
    tfgmm.fit_mixture(ROWS, [1, 2], covariance=["diag", "full"], **QUICK)
    assert len(calls) == 1


class Steps(FitWatcher):
    """Keeps the steps, and ends the choice before a fit."""

    def __init__(self, end=None):
        super().__init__()
        self.places, self._end = {}, end

    def on_step(self, step):
        self.places[step.covariance, step.num_components] = step.place
        if (step.covariance, step.num_components) == self._end:
            raise EndOfChoice


def test_steps_name_shape_and_number_and_count_all_fits():
    steps = Steps()
    tfgmm.fit_mixture(ROWS, [1, 2], covariance=["full", "diag"], callbacks=[steps], **QUICK)
    assert steps.places == {("diag", 1): (1, 4), ("diag", 2): (2, 4), ("full", 1): (3, 4), ("full", 2): (4, 4)}


def test_an_ended_choice_keeps_the_complete_fits_of_all_shapes():
    found = tfgmm.fit_mixture(ROWS, [1, 2], covariance=["full", "diag"], callbacks=[Steps(("full", 2))], **QUICK)
    assert [(result.covariance, result.num_components) for result in found.results] == [
        ("diag", 1), ("diag", 2), ("full", 1)
    ]  # fmt: skip
    assert found.held_out.shape == (3, 90)
    with pytest.raises(EndOfChoice):
        tfgmm.fit_mixture(ROWS, [1, 2], covariance=["full", "diag"], callbacks=[Steps(("diag", 1))], **QUICK)


def test_sticks_are_counted_in_the_largest_fit_of_the_best_shape():
    found = tfgmm.fit_mixture(ROWS, [2, 3], covariance=["diag", "tied"], weights="stick_breaking", **QUICK)
    assert found.covariance == "tied"
    [largest] = (result for result in found.of_shape("tied") if result.num_components == 3)
    np.testing.assert_array_equal(found.occupied_posterior, largest.occupied_posterior(ROWS, seed=3))


def test_an_oddity_of_the_rows_is_one_warning_for_all_fits():
    rows = np.column_stack([np.repeat(ROWS[:3, 0], 4), np.ones(12)])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tfgmm.fit_mixture(rows, [2, 4, 5], covariance="auto", restarts=1, max_sweeps=500)
    told = [str(warning.message) for warning in caught if warning.category is UserWarning]
    assert told == [
        "column 1 has one value only: it tells no components apart.",
        "3 distinct rows for 5 components: they tell no more than 3 apart.",
    ]
    assert {warning.filename for warning in caught} == {__file__}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"covariance": []}, '`covariance` must name at least one shape. Received: none. Try "auto".'),
        ({"covariance": ["full", "round"]}, "`covariance` must be one of .*; or a list .* Received: 'round' in "),
        ({"covariance": "round"}, "`covariance` must be one of .* Received: 'round'. Choose among them."),
        ({"covariance": None}, "`covariance` must be one of .* Received: None. "),
        ({"covariance": ["full", 3]}, "`covariance` must be one of .* Received: 3 in "),
        ({"covariance": ["auto"]}, "`covariance` must be one of .* Received: 'auto' in "),
        (
            {"covariance": "auto", "start": ROWS[:2]},
            "`start` must be .* with several covariance shapes. Received: an array. Leave it out, or fit each shape",
        ),
    ],
)
def test_bad_arguments_are_named_before_anything_is_fitted(options, words):
    with pytest.raises(ValueError, match=words):
        tfgmm.fit_mixture(ROWS, 2, **options)


def test_priors_that_do_not_suit_a_shape_are_refused_before_the_first_fit():
    steps, priors = Steps(), tfgmm.Priors(precision_rate=(1.0, 2.0))
    with pytest.raises(ValueError, match="`priors.precision_rate` must be one number for covariance='tied_spherical'"):
        tfgmm.fit_mixture(ROWS, 2, covariance=["diag", "tied_spherical"], priors=priors, callbacks=[steps], **QUICK)
    assert steps.places == {}


def test_options_hold_the_shapes_that_were_asked_for():
    assert FitOptions(covariance=np.array(["full", "diag"])).covariance == ("diag", "full")
    assert FitOptions(covariance="auto").covariance == "auto"
    assert dataclasses.replace(FitOptions(covariance="auto"), covariance="tied").shapes(5) == ("tied",)


# --- The rule and its words


class Fit:
    """A fit of made-up figures, of two columns."""

    def __init__(self, covariance, num_components, elbo, bic, icl, num_features=2, converged=True):
        self.covariance, self.num_components, self.elbo = covariance, num_components, elbo
        self.bic, self.icl, self.aic, self.num_features = bic, icl, bic, num_features
        self.log_likelihood, self.num_data, self.weight_prior = -bic / 2, 50, "stick_breaking"
        self.num_occupied, self.converged = num_components, converged
        self.priors, self.data_summary = tfgmm.Priors(), summarise(Rows(ROWS), name="data")
        self.criteria_at, self.restarts, self.exact, self.ranking = "mean", (), None, None


def made_up(*fits, held=None):
    densities = np.zeros((len(fits), 0)) if held is None else np.asarray(held, np.float64)
    return tfgmm.Selection(tuple(fits), densities, "some rows")


NOISE = np.random.default_rng(0).normal(size=40)


def held_out(*means, errors=None):
    """Log densities with these means, whose differences from the last have these standard errors."""
    unit = (NOISE - NOISE.mean()) / NOISE.std(ddof=1) * math.sqrt(40)
    return [mean + error * unit for mean, error in zip(means, errors or [0.0] * len(means), strict=True)]


def test_fewest_parameters_within_one_error_and_fits_of_the_criteria():
    fits = Fit("spherical", 6, -30.0, 9.0, 9.0), Fit("full", 2, -20.0, 7.0, 5.0), Fit("full", 3, -10.0, 6.0, 8.0)
    found = made_up(*fits, held=held_out(-1.1, -1.2, -1.0, errors=[0.2, 0.3, 0.0]))
    sizes = [num_parameters(fit.covariance, fit.num_components, 2) for fit in fits]
    assert sizes == [23, 11, 17]  # of the three that are near, six circles have the most
    assert found.best_by == {
        "evidence": fits[2], "bic": fits[2], "icl": fits[1], "aic": fits[2], "held_out": fits[2], "one_error": fits[1],
    }  # fmt: skip
    assert found.choices == {name: fit.num_components for name, fit in found.best_by.items()}
    far = made_up(*fits, held=held_out(-1.1, -1.2, -1.0, errors=[0.2, 0.1, 0.0]))
    assert far.best_by["one_error"] is fits[2]
    assert "full with 2 has the fewest parameters within one standard error" in found.reason


def test_plausible_numbers_sum_over_shapes_and_plausible_fits_do_not():
    shares = {("diag", 2): 0.40, ("diag", 3): 0.05, ("full", 1): 0.20, ("full", 2): 0.35}
    found = made_up(*(Fit(shape, k, math.log(share), 1.0, 1.0) for (shape, k), share in shares.items()))
    assert found.plausible_fits == (("diag", 2), ("full", 2), ("full", 1))
    assert found.plausible == (1, 2)
    assert "It takes diag with 2; full with 1 and 2 to have 90 %" in found.reason
    assert "neither shape nor number is certain" in found.reason


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        (
            {("diag", 1): 1e-9, ("diag", 2): 0.5, ("diag", 3): 1e-9, ("full", 2): 0.5},
            "the number is clear, the shape is not",
        ),
        ({("diag", 1): 1e-9, ("diag", 2): 0.5, ("full", 2): 0.5}, "the shape is not certain"),
        ({("full", 2): 0.5, ("full", 3): 0.5, ("diag", 2): 1e-9}, "the shape is clear, the number is not"),
    ],
)
def test_words_tell_whether_shape_or_number_is_open(shares, words):
    assert words in made_up(*(Fit(*pair, math.log(share), 1.0, 1.0) for pair, share in shares.items())).reason


def test_mixtures_with_two_names_count_once():
    fits = Fit("diag", 1, -30.0, 9.0, 9.0), Fit("tied", 1, -10.0, 5.0, 5.0), Fit("full", 1, -10.0, 5.0, 5.0)
    reason = made_up(*fits).reason
    assert reason.startswith("tied, 1 component: ") and "with a share of 1.00" in reason and "It takes" not in reason
    assert "With one component shapes fall together" in reason


def test_reason_tells_groups_from_density():
    density, groups = Fit("tied", 3, -10.0, 5.0, 9.0), Fit("full", 2, -20.0, 6.0, 6.5)
    apart = made_up(density, groups).reason
    assert apart.startswith("tied, 3 components: the estimate of the evidence")
    assert "BIC says tied with 3, ICL says full with 2, AIC says tied with 3." in apart
    assert "Groups and density disagree: tied with 3 is for the density; for groups" in apart
    assert (
        "the best answer is full, 2 components, as ICL says: rows between components cost ICL 4.0 with 3 and 0.5"
        in apart
    )
    same_number = made_up(density, Fit("diag", 3, -20.0, 6.0, 4.0)).reason
    assert "agree on the number, but not on the shape: for groups the best answer is diag, 3 components" in same_number
    more = made_up(density, Fit("diag", 5, -20.0, 6.0, 4.0)).reason
    assert "the best answer is diag, 5 components, as ICL says." in more and "overlap" not in more
    agreed = made_up(Fit("tied", 3, -10.0, 5.0, 3.0), groups).reason
    assert "Groups and density agree: ICL" in agreed and "BIC, ICL and AIC say the same." in agreed


def test_held_out_rows_may_be_the_density_that_disagrees():
    best, other = Fit("tied", 3, -10.0, 5.0, 3.0), Fit("diag", 5, -20.0, 6.0, 4.0)
    found = made_up(best, other, held=held_out(-1.3, -1.0, errors=[0.09, 0.0]))
    assert "disagree: for groups the best answer is tied, 3 components, as ICL says; a density" in found.reason
    assert "better taken from diag, 5 components." in found.reason
    near = made_up(best, other, held=held_out(-1.3, -1.0, errors=[0.11, 0.0]))  # less than three errors behind
    assert "Groups and density agree" in near.reason


def test_cautions_are_about_the_recommended_fit():
    fits = Fit("diag", 1, -30.0, 9.0, 9.0), Fit("diag", 2, -20.0, 9.0, 9.0), Fit("full", 1, -10.0, 5.0, 5.0)
    assert "number tried" not in made_up(*fits, Fit("full", 2, -20.0, 6.0, 6.0)).reason
    assert "largest number tried" in made_up(*fits, Fit("full", 2, -5.0, 6.0, 6.0)).reason
    slow = [Fit("full", k, -20.0 - k, 6.0, 6.0, converged=False) for k in range(2, 9)]
    assert "looks: full with 2 and full with 3." in made_up(*fits, *slow[:2]).reason
    assert "looks: 7 fits of 10." in made_up(*fits, *slow).reason


def test_one_width_for_columns_of_other_units_is_told_where_it_is_recommended():
    """A hundred times the spread in one column: of two shapes nothing is said before, as the rows decide."""
    fits = [Fit("spherical", 2, -1.0, 5.0, 5.0), Fit("diag", 2, -9.0, 6.0, 6.0)]
    assert "hardly counts" not in made_up(*fits).reason
    for fit in fits:
        fit.data_summary = summarise(Rows(ROWS * [100.0, 1.0]), name="data")
    assert re.search(
        r"The spread of column 0 is [\d.]+ times that of column 1, .* hardly counts", made_up(*fits).reason
    )
    standardised = tfgmm.Priors(column_scale=fits[0].data_summary.spread)
    fits[0].priors = standardised
    assert "hardly counts" not in made_up(*fits).reason
    assert "hardly counts" not in made_up(fits[1]).reason


def test_text_has_a_line_per_shape_and_the_recommended_shape_by_number(chosen):
    lines = str(chosen).splitlines()
    assert lines[0].startswith("6 shapes of covariances") and lines[-1] == chosen.reason
    of_shapes, of_number = lines[4:10], lines[13:16]
    assert [line.split()[0].lstrip("*") for line in of_shapes] == list(COVARIANCES)
    for line in of_shapes:
        shape, number, bound = line.lstrip("*").split()[:3]
        best = max(chosen.of_shape(shape), key=lambda result: result.elbo + math.lgamma(result.num_components + 1))
        assert (int(number), bound) == (best.num_components, f"{best.elbo:.2f}")
    assert [line.split()[0] for line in lines if line.startswith("*")] == ["*tied", "*"]
    assert [line.lstrip("*").split()[0] for line in of_number] == ["1", "2", "3"] and lines[11].startswith("tied, by")
    assert len({len(line) for line in lines[3:10]}) == 1  # columns line up
