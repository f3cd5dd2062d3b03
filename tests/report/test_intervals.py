"""What a page says of its intervals: of which posterior they are, how good that is, and how to get a better one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from report_pages import Page, estimate_in

import tfgmm
from tfgmm.posterior.record import PosteriorRecord
from tfgmm.report import pictures as report_pictures
from tfgmm.report.cautions import _overlaps
from tfgmm.report.intervals import about_intervals

ROWS = np.random.default_rng(0).normal([[-1.5]] * 200 + [[1.5]] * 200)
PLAIN = PosteriorRecord("mean_field", "mean_field")
GOOD = PosteriorRecord("importance", k_hat=0.25, ess=900.0)
BAD = PosteriorRecord("mcmc", r_hat=1.5, ess=12.0)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr(report_pictures, "drawings", lambda *_: ())


@pytest.fixture(scope="module")
def results():
    plain = tfgmm.fit_mixture(ROWS, 2, restarts=2)
    return plain, plain.with_posterior(ROWS)


def page_of(result, folder):
    return Page(tfgmm.write_report(result, ROWS, folder / "page.html", overwrite=True).read_text("utf-8"))


def words_of(page):
    return " ".join(page.words.split())


def test_the_intervals_of_the_page_are_those_of_the_exact_posterior(results, tmp_path):
    plain, exact = (page_of(result, tmp_path) for result in results)
    draws = results[1].draws(1_000, seed=0)
    k = int(np.argmax(draws.weights[0].mean(axis=0)))
    _, low, high = (float(number) for number in estimate_in(exact.tables["components"][2][1]))
    np.testing.assert_allclose([low, high], np.quantile(draws.locs[0, :, k, 0], [0.025, 0.975]), atol=0.006)
    _, plain_low, plain_high = (float(number) for number in estimate_in(plain.tables["components"][2][1]))
    assert high - low > 1.3 * (plain_high - plain_low)
    said = words_of(exact)
    assert "Intervals are those of the exact posterior, by importance sampling (Pareto k-hat" in said
    assert "The draws passed their check (k-hat below 0.7 and 400 effective draws or more)" in said
    assert "Which component such a row belongs to stays unsure; the intervals allow for that." in said
    assert "too narrow" not in said


def test_a_page_of_the_mean_field_posterior_says_how_to_get_the_exact_one(results, tmp_path):
    said = words_of(page_of(results[0], tmp_path))
    assert "where components overlap the intervals are too narrow" in said
    assert "is drawn from by result.with_posterior(rows), or by tfgmm fit in a shell." in said
    assert "There the intervals are too narrow" in said


def test_a_page_of_an_export_and_of_a_choice_say_it_too(results, tmp_path):
    scorers = [tfgmm.load_scorer(one.export(tmp_path / name)) for one, name in zip(results, ("plain", "exact"))]
    plain, exact = (words_of(page_of(scorer, tmp_path)) for scorer in scorers)
    assert (
        'where the rows are fitted: by tfgmm fit in a shell, or by tfgmm.fit_mixture(..., posterior="auto").' in plain
    )
    assert "The draws passed their check" in exact and "their ends are rough" not in exact
    choice = tfgmm.fit_mixture(ROWS, [1, 2], restarts=1)
    assert "by result.best.with_posterior(rows)" in words_of(page_of(choice, tmp_path))


def test_draws_that_cannot_be_trusted_are_among_the_cautions(results, tmp_path):
    exact = results[1].exact._replace(record=dataclasses.replace(BAD, share_moved=0.25))
    said = words_of(page_of(dataclasses.replace(results[0], exact=exact), tmp_path))
    cautions = said.partition("What to be careful about")[2].partition("What was fitted")[0]
    assert (
        "Parts of the posterior may be missing from these draws: ask for fewer components, or read the density alone."
        in cautions
    )
    assert "In 25 % of the posterior the components stand in another order" in cautions
    assert "did not pass their check (r-hat below 1.05 and 400 effective draws or more)" in said


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (PLAIN, "There the intervals are too narrow"),
        (GOOD, "stays unsure; the intervals allow for that."),
        (BAD, "stays unsure."),
    ],
)
def test_overlap_is_said_with_what_it_does_to_intervals(record, words):
    said = _overlaps(np.array([[0.9, 0.1], [0.1, 0.9]] * 50), np.ones(100), record)
    assert said.startswith("Components 0, 1 overlap others: ") and words in said


@pytest.mark.parametrize(("exporting", "words"), [("model", "where the rows are fitted"), ("result", "result.with_")])
def test_how_to_get_the_exact_posterior_suits_what_there_is(exporting, words):
    assert words in about_intervals(PLAIN, exporting)[-1]


def test_every_method_has_its_check():
    for record, words in (
        (
            PosteriorRecord("laplace", k_hat=0.1, efficiency=0.9),
            "passed their check (80 % of the draws effective or more, k-hat below 0.7)",
        ),
        (PosteriorRecord("laplace", k_hat=1.1), "did not pass their check"),
        (PosteriorRecord("mcmc", r_hat=1.01, ess=500.0), "passed their check (r-hat below 1.05 and 400"),
    ):
        assert words in about_intervals(record, "result")[-1]
