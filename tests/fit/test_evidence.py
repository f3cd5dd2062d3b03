"""Evidence by importance sampling in a choice: enumerated values, the rule, the words, what every fit carries."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from reference_problems import P1_NUMBERS, P1_ROWS

import tfgmm
from tfgmm import plot
from tfgmm.families import CHAINS_LEFT_OUT, ExactDraws, mean_field_draws
from tfgmm.families.exact.rule import _with_evidence
from tfgmm.fit import exact_posterior
from tfgmm.fit.callbacks import EndOfChoice, FitWatcher
from tfgmm.fit.selection import log_evidence, sampled_evidence
from tfgmm.mixture.priors_from_data import LOC_SCALE_GRID
from tfgmm.posterior.record import STOPPED, PosteriorRecord
from tfgmm.report import choice as report_choice

FEW = pytest.mark.filterwarnings("ignore:.*distinct rows.*:UserWarning")
GENERATOR = np.random.default_rng(4)
# Two groups that overlap: the bound takes them for one
OVERLAPPED = np.concatenate([GENERATOR.normal(0.0, 1.0, (40, 1)), GENERATOR.normal(2.0, 0.6, (40, 1))])


class Watch(FitWatcher):
    """Keeps all steps, and does something before one of them."""

    def __init__(self, kind: str = "", place: int = 0, error: type[BaseException] | None = None) -> None:
        super().__init__()
        self.steps: list[Any] = []
        self._when, self._error = (kind, place), error

    def on_step(self, step: Any) -> None:
        self.steps.append(step)
        if self._error is not None and (step.kind, step.place[0]) == self._when:
            raise self._error


@pytest.fixture(scope="module")
def watched() -> Watch:
    return Watch()


@pytest.fixture(scope="module")
def chosen(watched: Watch) -> tfgmm.Selection:
    with pytest.warns(UserWarning, match="the components stand in another order"):
        return tfgmm.fit_mixture(OVERLAPPED, [1, 2], restarts=3, posterior="auto", callbacks=[watched])


@pytest.fixture(scope="module")
def by_bound() -> tfgmm.Selection:
    return tfgmm.fit_mixture(OVERLAPPED, [1, 2], restarts=3)


# --- Enumerated values ---------------------------------------------------------------------------------------------


@FEW
@pytest.mark.filterwarnings("ignore:parts of the posterior:UserWarning", "ignore:in .* % of the posterior:UserWarning")
@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_evidence_of_one_to_three_components_is_the_enumerated_one(covariance):
    """R1 of priors2.md: three rows, priors that learn; sums over all assignments, and quadrature."""
    matrix: Any = {"loc_covariance": np.eye(1), "scale_structure": "both", "expected_scale": np.eye(1)}
    column: Any = {"scale_structure": "columns", "expected_scale": (1.0,)}
    priors = tfgmm.Priors(
        loc_mean=(0.0,), loc_scale=(1.0,), weight_concentration=1.0, degree_grid=(1.0, 4.0, 16.0), least_scale=1e-4,
        loc_scale_grid=LOC_SCALE_GRID, **(matrix if covariance == "full" else column),
    )  # fmt: skip
    several = tfgmm.fit_mixture(P1_ROWS, [1, 2, 3], covariance=covariance, priors=priors, posterior="importance")
    enumerated = {1: (-6.48355627, -5.90571945), 2: (-7.90880602, -5.76924719), 3: (-8.78258600, -5.66184135)}
    for result, row in zip(several.results, several.table, strict=True):
        bound, evidence = enumerated[result.num_components]
        record = result.exact.record
        assert result.elbo == pytest.approx(bound, abs=1e-5)
        assert abs(record.log_evidence - evidence) < 3.0 * record.evidence_error < 0.3
        assert np.isnan(row["evidence"]) == (record.k_hat >= 0.7)
    assert several.table["evidence_error"][0] == several.results[0].exact.record.evidence_error


@FEW
@pytest.mark.filterwarnings("ignore:in .* % of the posterior:UserWarning")
@pytest.mark.parametrize("covariance", ["spherical", "tied"])
def test_evidence_with_fixed_priors_is_the_enumerated_one(covariance):
    """P1 of mathematics.md: precisions that are shared have another evidence."""
    matrices: Any = (
        {"loc_covariance": [[1.5]], "degrees": 3.0, "inverse_scale": [[0.8]]} if covariance == "tied" else {}
    )
    priors = tfgmm.Priors(0.1, 1.5**0.5, 1.5, 0.4, 1.5, **matrices)
    result = tfgmm.fit_mixture(P1_ROWS, 2, covariance=covariance, priors=priors, restarts=4, posterior="importance")
    record, expected = result.exact.record, P1_NUMBERS["dirichlet", covariance == "tied"][0]
    assert abs(record.log_evidence - expected) < 3.0 * record.evidence_error < 0.1


@FEW
@pytest.mark.filterwarnings("ignore:in .* % of the posterior:UserWarning")
def test_orders_are_counted_only_where_the_prior_is_the_same_for_all(monkeypatch):
    """Unequal concentrations tell the components apart: no evidence over all orders, and none in the table."""
    priors = tfgmm.Priors(0.1, 1.5**0.5, 1.5, 0.4, (1.5, 1.4))
    result = tfgmm.fit_mixture(P1_ROWS, 2, priors=priors, restarts=2, posterior="importance")
    assert result.exact.record.log_evidence is None
    assert np.isnan(sampled_evidence(result)).all()


# --- The rule ------------------------------------------------------------------------------------------------------


def test_evidence_decides_where_every_fit_has_one_that_can_be_trusted(chosen, by_bound):
    table = chosen.table
    assert (chosen.decided_by, by_bound.decided_by) == ("evidence", "log_evidence")
    assert (chosen.num_components, by_bound.num_components) == (2, 1)
    assert chosen.best_by["evidence"] is chosen.best
    np.testing.assert_allclose(table["log_evidence"], by_bound.table["log_evidence"])
    assert np.isnan(by_bound.table["evidence"]).all() and np.isnan(by_bound.table["evidence_error"]).all()
    records = [result.exact.record for result in chosen.results]
    assert table["evidence"].tolist() == [record.log_evidence for record in records]
    assert table["evidence_error"].tolist() == [record.evidence_error for record in records]
    assert (table["evidence"] > table["log_evidence"]).all()  # a bound, but for chance
    ratio = math.exp(records[1].log_evidence - records[0].log_evidence)
    assert table["share"][1] == pytest.approx(ratio / (1.0 + ratio))
    assert "2 components: the evidence, by importance sampling, is the largest of those tried" in chosen.reason
    assert f"{records[1].log_evidence:.2f} ({max(records[1].evidence_error, 0.01):.2f})" in str(chosen)
    assert "from bound" in str(chosen) and "from bound" not in str(by_bound)


def test_rows_of_one_group_are_one_component_by_evidence_too():
    """More components fit as well, and are no better: the fewest parameters within a factor of 3 are taken."""
    rows = np.random.default_rng(1).normal(size=(80, 1))
    several = tfgmm.fit_mixture(rows, [1, 2], restarts=2, posterior="importance")
    evidence = several.table["evidence"]
    assert abs(evidence[1] - evidence[0]) < math.log(3.0)
    assert (several.decided_by, several.num_components, several.plausible) == ("evidence", 1, (1, 2))


def test_report_and_picture_follow_the_rule(chosen, by_bound):
    lines = report_choice.lines(chosen)
    assert [line[1] for line in lines] == [
        f"{row['evidence']:.2f} ({max(row['evidence_error'], 0.01):.2f})" for row in chosen.table
    ]
    assert "by importance sampling, with its standard error" in report_choice.choice_of(chosen, None).notes[0]
    assert "estimated from below" in report_choice.choice_of(by_bound, None).notes[0]
    for selection, column in ((chosen, "evidence"), (by_bound, "log_evidence")):
        ax = plot.num_components(selection)
        drawn = ax.containers[0].lines[0].get_ydata()
        np.testing.assert_allclose(drawn, selection.table[column] - selection.table[column].max())
        caption = " ".join(text.get_text() for text in ax.figure.findobj(plt.Text))
        assert ("evidence by importance sampling" in caption) == (column == "evidence")
        assert ax.containers[0].has_yerr == (column == "evidence")
        plt.close(ax.figure)


def with_records(selection: tfgmm.Selection, *records: PosteriorRecord) -> tfgmm.Selection:
    """The same choice with these records in its fits."""
    results = [
        dataclasses.replace(result, exact=result.exact._replace(record=record))
        for result, record in zip(selection.results, records, strict=True)
    ]
    return dataclasses.replace(selection, results=tuple(results))


def sampled(evidence: float, error: float = 0.01, k_hat: float = 0.2, **more: Any) -> PosteriorRecord:
    record = PosteriorRecord("importance", k_hat=k_hat, ess=2_000.0, log_evidence=evidence, evidence_error=error)
    return dataclasses.replace(record, **more)


@pytest.mark.parametrize(
    ("record", "has_evidence"),
    [
        (sampled(-100.0), True),
        (sampled(-100.0, k_hat=0.7), False),
        (sampled(-100.0, error=math.inf), False),
        (sampled(-100.0, method="mcmc", k_hat=None), True),  # that of the stages before
        (PosteriorRecord("mcmc", ess=2_000.0, r_hat=1.01), False),
        (PosteriorRecord("laplace", k_hat=0.1, log_evidence=-100.0), False),
        (PosteriorRecord("mean_field", note="too many"), False),
    ],
)
def test_one_fit_without_evidence_leaves_the_choice_to_the_bound(chosen, record, has_evidence):
    found = with_records(chosen, sampled(-90.0), record)
    assert record.has_evidence == has_evidence
    assert found.decided_by == ("evidence" if has_evidence else "log_evidence")
    assert found.num_components == 1
    assert np.isnan(found.table["evidence"][1]) != has_evidence
    bound = np.exp(found.table["log_evidence"] - np.logaddexp.reduce(found.table["log_evidence"]))
    assert np.allclose(found.table["share"], bound) != has_evidence  # all by one rule
    why = "For 2 there is no evidence by importance sampling that can be trusted, so that the bound decides for all."
    assert (why in found.reason) != has_evidence


def test_what_is_within_the_monte_carlo_error_is_no_difference(chosen):
    chance = "Within twice its Monte-Carlo error {} has the same: which leads is chance."
    found = with_records(chosen, sampled(-100.0, 0.5), sampled(-98.7, 0.5))
    assert found.num_components == 1 and chance.format("2") in found.reason
    assert (
        "1.30 nats below that of 2, which is no more than a factor of 3 or chance, and it has the fewest"
        in found.reason
    )
    found = with_records(chosen, sampled(-100.0, 0.1), sampled(-98.7, 0.1))
    assert found.num_components == 2 and "chance" not in found.reason
    found = with_records(chosen, sampled(-100.0, 2.0), sampled(-97.0, 0.1))
    assert found.num_components == 1 and "the evidence of 2 is the same" in " ".join(
        report_choice.selection_doubts.doubts(found)
    )


def test_one_component_with_two_names_is_the_first_whatever_chance_says(chosen):
    shapes = tfgmm.fit_mixture(OVERLAPPED, [1], covariance=["diag", "tied_diag"], restarts=1, posterior="importance")
    evidence = shapes.table["evidence"]
    assert evidence[0] == pytest.approx(evidence[1], abs=0.05)
    for ahead in ((0.02, 0.0), (0.0, 0.02)):
        found = with_records(shapes, *(sampled(-100.0 + nats) for nats in ahead))
        assert found.covariance == "diag" and "largest of those tried" in found.reason


def test_stick_breaking_weights_have_no_evidence_to_sample():
    rows = OVERLAPPED[::2]
    found = tfgmm.fit_mixture(rows, [1, 2], weights="stick_breaking", restarts=1, posterior="importance")
    assert found.decided_by == "log_evidence" and np.isnan(found.table["evidence"][1])
    assert "Stick-breaking weights have no evidence by importance sampling, so that the bound decides." in found.reason


# --- What every fit carries ------------------------------------------------------------------------------------------


def test_every_fit_carries_draws_and_steps_say_for_which_they_are(chosen, by_bound, watched):
    assert all(result.exact.num_draws == 4_000 for result in chosen.results)
    assert all(result.exact is None for result in by_bound.results)
    of_posteriors = [step for step in watched.steps if step.kind == "posterior: importance"]
    assert {(step.num_components, step.place) for step in of_posteriors} == {(1, (1, 2)), (2, (2, 2))}
    with pytest.warns(UserWarning, match="the components stand in another order"):
        alone = tfgmm.fit_mixture(OVERLAPPED, 2, restarts=3, posterior="auto")
    assert alone.exact.record == chosen.results[1].exact.record


def test_only_the_recommended_fit_is_warned_of(monkeypatch):
    """Both posteriors are poor: their effective draws are few."""
    poor = dataclasses.replace(sampled(-100.0), ess=10.0)

    def draw(fitted: Any, rows: Any, method: str, seed: int, *others: Any, **named: Any) -> ExactDraws:
        return mean_field_draws(fitted.variational, method, seed, "")._replace(record=poor)

    monkeypatch.setattr(exact_posterior, "drawn_from_rows", draw)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = tfgmm.fit_mixture(OVERLAPPED, [1, 2], restarts=1, posterior="importance")
    told = [str(one.message) for one in caught if "parts of the posterior" in str(one.message)]
    assert len(told) == 1 and found.best.exact.record.ess == 10.0
    assert caught[-1].filename == __file__


def test_chains_are_left_to_the_recommended_fit(monkeypatch):
    asked = []

    def draw(fitted: Any, rows: Any, method: str, seed: int, tell: Any, walks: bool = True) -> ExactDraws:
        asked.append((fitted.num_components, walks))
        record = PosteriorRecord("mcmc", r_hat=1.0, ess=900.0) if walks else sampled(-100.0, note=CHAINS_LEFT_OUT)
        return mean_field_draws(fitted.variational, method, seed, "")._replace(record=record)

    monkeypatch.setattr(exact_posterior, "drawn_from_rows", draw)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = tfgmm.fit_mixture(OVERLAPPED, [1, 2], restarts=1, posterior="auto")
    assert asked == [(1, False), (2, False), (found.num_components, True)]
    assert [result.exact.record.method for result in found.results].count("mcmc") == 1
    assert found.best.exact.record.method == "mcmc"


@pytest.mark.parametrize("error", [EndOfChoice, KeyboardInterrupt])
@pytest.mark.parametrize(("kind", "method"), [("posterior: mode", "mean_field"), ("posterior: importance", "laplace")])
def test_stopping_keeps_the_fits_and_what_there_is_of_the_posterior(kind, method, error):
    watch = Watch(kind, 2, error)
    found = tfgmm.fit_mixture(OVERLAPPED, [1, 2, 3], restarts=1, posterior="auto", callbacks=[watch])
    assert found.decided_by == "log_evidence"
    assert [result.num_components for result in found.results] == [1, 2]
    assert found.results[1].exact.record.method == method
    assert found.results[1].exact.record.note == STOPPED
    assert found.results[0].exact.record.method == "importance"


def test_a_recommended_fit_whose_posterior_was_stopped_is_warned_of():
    watch = Watch("posterior: mode", 1, EndOfChoice)
    with pytest.warns(UserWarning, match="it was stopped before it was done"):
        found = tfgmm.fit_mixture(OVERLAPPED, [2, 3], restarts=1, posterior="auto", callbacks=[watch])
    assert len(found.results) == 1
    watch = Watch("posterior: mode", 1, EndOfChoice)  # and so is a fit by itself
    with pytest.warns(UserWarning, match="it was stopped before it was done"):
        alone = tfgmm.fit_mixture(OVERLAPPED, 2, restarts=1, posterior="auto", callbacks=[watch])
    assert alone.exact.record.method == "mean_field"


def test_draws_of_many_fits_stay_within_memory(monkeypatch):
    monkeypatch.setattr(exact_posterior, "_MOST_NUMBERS", 6_000)
    found = tfgmm.fit_mixture(OVERLAPPED, [1, 2], restarts=1, posterior="laplace")
    # Weights, locations and precisions: 3 numbers a component
    assert [result.exact.num_draws for result in found.results] == [1_000, 500]
    monkeypatch.setattr(exact_posterior, "_MOST_NUMBERS", 60)
    found = tfgmm.fit_mixture(OVERLAPPED, [1], restarts=1, posterior="laplace")
    assert found.best.exact.num_draws == 200


def test_chains_keep_the_evidence_of_the_stages_before_where_it_can_be_trusted():
    walked = ExactDraws(None, PosteriorRecord("mcmc", r_hat=1.0, ess=900.0))  # type: ignore[arg-type]
    kept = _with_evidence(walked, sampled(-100.0, 0.02)).record
    assert (kept.log_evidence, kept.evidence_error, kept.k_hat, kept.r_hat) == (-100.0, 0.02, None, 1.0)
    assert _with_evidence(walked, sampled(-100.0, k_hat=0.8)) is walked


def test_chains_by_name_have_the_evidence_of_importance_sampling(chosen):
    walked = tfgmm.fit_mixture(OVERLAPPED[:12], 1, restarts=1, posterior="mcmc").exact.record
    sampled_first = tfgmm.fit_mixture(OVERLAPPED[:12], 1, restarts=1, posterior="importance").exact.record
    assert walked.method == "mcmc" and walked.has_evidence
    assert walked.log_evidence == sampled_first.log_evidence
    assert walked.evidence_error == sampled_first.evidence_error


def test_evidence_of_the_table_is_above_the_bound_of_each_fit(chosen):
    for result in chosen.results:
        assert result.exact.record.log_evidence > log_evidence(result)
