"""Restarts ranked by evidence: a set where the best bound is not the most probable, and what ranks and what not."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import tfgmm
from tfgmm.data.readers import Rows
from tfgmm.data.survey import survey_rows
from tfgmm.families.exact import budget
from tfgmm.families.exact.evidence import evidence_near, mode_near
from tfgmm.fit import evidence_of_restarts
from tfgmm.fit.evidence_of_restarts import by_evidence, different_optima
from tfgmm.fit.options import FitOptions
from tfgmm.fit.ranking import Ranking
from tfgmm.fit.restarts import Restart
from tfgmm.fit.single import FitTask, ascend_from_starts, prepared_fit, swept_fit

# A wide group over a narrow one, which overlap, and a group with a few more rows beside it, which stand apart: of three
# components the bound gives two to these, as one that overlaps costs it more
GENERATOR = np.random.default_rng(6)
ROWS = np.concatenate([
    GENERATOR.normal(mean, sd, (count, 1)) for mean, sd, count in ((0, 1, 50), (0, 3, 50), (40, 1, 60), (43.95, 0.5, 6))
])  # fmt: skip
# What is said of draws that are poor is not what is looked at here
pytestmark = pytest.mark.filterwarnings(
    "ignore:parts of the posterior:UserWarning",
    "ignore:standard deviations may:UserWarning",
    "ignore:in .* the components stand in another order:UserWarning",
)


@pytest.fixture(scope="module")
def by_bound() -> tfgmm.FitResult:
    return tfgmm.fit_mixture(ROWS, 3)


@pytest.fixture(scope="module")
def ranked() -> tfgmm.FitResult:
    return tfgmm.fit_mixture(ROWS, 3, posterior="importance")


@pytest.mark.filterwarnings("ignore:in .* of the posterior", "ignore:parts of the posterior")
def test_the_fit_goes_on_from_the_restart_with_more_evidence_though_its_bound_is_lower(by_bound, ranked):
    assert by_bound.ranking is None and ranked.ranking.place > 0
    assert ranked.elbo < by_bound.elbo < ranked.elbo + 1.0
    assert ranked.elbo == pytest.approx(ranked.restarts[ranked.ranking.place].elbo, abs=0.05)
    ends = [restart.elbo for restart in ranked.restarts]
    assert ends == sorted(ends, reverse=True) == [restart.elbo for restart in by_bound.restarts]
    # By other draws, and five stages
    records = [fit.with_posterior(ROWS, "importance", seed=1).exact.record for fit in (by_bound, ranked)]
    lead = records[1].log_evidence - records[0].log_evidence
    assert lead > 4.0 * np.hypot(records[0].evidence_error, records[1].evidence_error) > 0.0
    assert lead > 0.4


def test_summary_says_which_restart_was_taken(by_bound, ranked):
    values, bound = ranked.ranking.log_evidence, ranked.restarts[ranked.ranking.place].elbo
    line = f"{values[ranked.ranking.taken] - values[0]:+.1f} (bound {bound:.1f}, taken)"
    assert "restarts at different optima, evidence beside the first: +0.0 (bound" in ranked.summary()
    assert line in ranked.summary()
    assert "evidence beside" not in by_bound.summary()


def test_every_fit_of_a_choice_is_ranked_and_steps_say_so(ranked):
    watch, steps = tfgmm.callbacks.FitWatcher(), []
    watch.on_step = steps.append
    several = tfgmm.fit_mixture(ROWS, [2, 3], posterior="laplace", callbacks=[watch])
    assert several.results[1].elbo == pytest.approx(ranked.elbo)
    assert several.results[1].ranking == ranked.ranking
    told = [step for step in steps if step.kind == "posterior: restarts" and step.num_components == 3]
    assert [step.number for step in told] == list(range(1, told[0].count + 1))
    assert all(step.place == (2, 2) for step in told)


# --- Which are ranked, and at what cost --------------------------------------------------------------------------


def task_of(rows: np.ndarray, sample: slice | None = None, **options: Any) -> FitTask:
    """What a fit of `rows` is told, whose starts see some of them."""
    source = Rows(np.asarray(rows, np.float32))
    survey = survey_rows(source, None, 0)
    if sample is not None:
        survey = survey._replace(sample=survey.sample[sample])
    priors = tfgmm.Priors.from_data(survey.summary, "diag", sample=survey.sample)
    return FitTask(source, survey, priors, FitOptions(**{"posterior": "laplace"} | options), (), None)


def swept_of(task: FitTask, num_components: int = 3) -> Any:
    fit = prepared_fit(task, num_components)
    return swept_fit(task, fit, ascend_from_starts(task, fit))


def restart(elbo: float, weights: tuple[float, ...] = (0.5, 0.5), locs: tuple[float, ...] = (0.0, 1.0)) -> Restart:
    return Restart(elbo, np.array([elbo]), True, np.array(weights), np.array(locs)[:, None], None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([restart(-10.0), restart(-10.0004)], [0]),
        ([restart(-10.0), restart(-10.0004, (0.4, 0.6))], [0, 1]),  # as good, and another
        ([restart(-10.0, (0.4, 0.6)), restart(-10.0004, (0.6, 0.4), (1.0, 0.0))], [0]),  # in another order
        ([restart(-10.0), restart(-10.0004, locs=(0.0, 20.0))], [0, 1]),
        ([restart(-10.0), restart(-10.002)], [0, 1]),
        ([restart(-10.0), restart(-19.9), restart(-20.1)], [0, 1]),
        ([restart(-10.0), restart(-11.0), restart(float("nan"))], [0, 1]),
        ([restart(-10.0 - number) for number in range(6)], [0, 1, 2, 3]),
    ],
)
def test_different_optima_near_the_best_are_ranked(ends, expected):
    assert different_optima(task_of(ROWS), ends) == expected


def test_the_best_bound_is_kept_unless_another_is_ahead_by_twice_the_error():
    assert Ranking.of([0, 2], [-10.0, -9.0], [0.1, 0.2]).place == 2
    assert Ranking.of([0, 2], [-10.0, -9.0], [0.1, 0.6]).place == 0
    assert Ranking.of([0, 2, 3], [-12.0, -9.1, -9.0], [0.1, 0.1, 0.1]).place == 2


def test_laplace_ranks_where_draws_cannot_be_afforded_and_nothing_where_that_cannot(monkeypatch):
    task = task_of(ROWS)
    swept = swept_of(task)
    monkeypatch.setattr(budget, "_RANKING_WORK", 1_000.0)
    ranking = by_evidence(task, swept).ranking
    assert set(ranking.errors) == {0.0}
    q = swept.fit.variational.at(swept.restarts[ranking.places[1]].values)
    assert ranking.log_evidence[1] == mode_near(q, swept.batches).log_evidence
    monkeypatch.setattr(budget, "_PASS_WORK", 1_000.0)
    assert by_evidence(task, swept) is swept
    monkeypatch.undo()
    monkeypatch.setattr(budget, "_MOST_RANKED", 7)  # of the 8 free numbers
    assert by_evidence(task, swept) is swept
    monkeypatch.undo()
    mean_field = dataclasses.replace(task, options=FitOptions())
    assert by_evidence(mean_field, swept) is swept


def test_one_mode_that_two_restarts_climb_to_is_no_choice(monkeypatch):
    task = task_of(ROWS)
    swept = swept_of(task)
    same = swept._replace(restarts=(swept.restarts[0], dataclasses.replace(swept.restarts[0], elbo=swept.elbo - 0.5)))
    assert len(different_optima(task, same.restarts)) == 2
    assert by_evidence(task, same) is same


def test_a_sample_stands_for_all_rows(monkeypatch):
    """Rows of which every second is the one before: of these the sample has the first."""
    task, alone = task_of(np.repeat(ROWS, 2, axis=0), slice(0, None, 2)), task_of(np.repeat(ROWS, 2, axis=0))
    assert task.is_sample and not alone.is_sample
    swept = swept_of(alone)
    sampled, whole = evidence_of_restarts._SampleOfRows(task, swept), swept.batches
    assert next(iter(sampled.groups())).total_weight == 2.0 * len(ROWS)
    q = swept.fit.variational
    modes = mode_near(q, sampled), mode_near(q, whole)
    assert modes[0].log_evidence == pytest.approx(modes[1].log_evidence, abs=1e-5)
    found = by_evidence(task, swept._replace(restarts=swept.restarts))
    assert found.ranking is not None


def test_evidence_near_a_mode_is_that_of_one_order():
    """Two groups far apart: half of the evidence is near each order, and all fits of them are one optimum."""
    rows = np.concatenate([GENERATOR.normal(0.0, 1.0, (30, 1)), GENERATOR.normal(9.0, 1.0, (30, 1))])
    task = task_of(rows)
    swept = swept_of(task, 2)
    q, result = swept.fit.variational, tfgmm.fit_mixture(rows, 2, restarts=1, posterior="importance")
    near = evidence_near(q, swept.batches, mode_near(q, swept.batches), len(rows), 0)
    record = result.exact.record
    assert record.log_evidence - near.log_evidence == pytest.approx(
        np.log(2.0), abs=4.0 * np.hypot(near.error, record.evidence_error)
    )
    assert different_optima(task, swept.restarts) == [0]
