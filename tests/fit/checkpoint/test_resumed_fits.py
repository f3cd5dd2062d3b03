"""A fit that was broken off and called again ends with the bytes of one that never was, and does nothing twice."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tfgmm
from tfgmm.fit import retries, single, sweeps
from tfgmm.fit.checkpoint import journal, stored
from tfgmm.fit.checkpoint.entries import Entry

GENERATOR = np.random.default_rng(0)
ROWS = np.concatenate([GENERATOR.normal(middle, 1.2, (100, 3)) for middle in (-3.0, 0.0, 2.0)])
GAPPY = np.where(GENERATOR.random(ROWS.shape) < 0.1, np.nan, ROWS)
WEIGHTS = GENERATOR.integers(1, 4, len(ROWS)).astype(float)


class BrokenOff(Exception):
    pass


class BreaksOff(tfgmm.callbacks.SweepCallback):
    """Breaks a fit off in its `sweep`-th sweep, counted over all fits from 1; None: never."""

    def __init__(self, sweep: int | None = None) -> None:
        super().__init__()
        self.sweep, self.epochs = sweep, []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs.append(epoch)
        if len(self.epochs) == self.sweep:
            raise BrokenOff


def numbers_of(result: tfgmm.FitResult) -> list[Any]:
    """All that a fit found, bit by bit; of restarts too."""
    restarts = [
        (restart.elbo, restart.converged, restart.moves, restart.elbos.tobytes(), restart.locs.tobytes())
        + tuple(value.tobytes() for value in (restart.weights, *restart.values.flat))
        for restart in result.restarts
    ]
    figures = result.elbo, result.log_likelihood, result.complete_log_likelihood, result.converged
    values = [value.tobytes() for value in result.variational.values().flat]
    sums = None if result.sums is None else [np.ascontiguousarray(value).tobytes() for value in result.sums]
    return [values, figures, dict(result.history), restarts, sums]


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "fit.checkpoint"


FITS: dict[str, tuple[Any, dict[str, Any]]] = {
    "spherical": (ROWS, {"covariance": "spherical"}),
    "diag, in batches": (ROWS, {"batch_size": 70}),
    "full, with gaps": (GAPPY, {"covariance": "full"}),
    "tied, sticks": (ROWS, {"covariance": "tied", "weights": "stick_breaking"}),
    "tied_diag, gaps, in batches": (GAPPY, {"covariance": "tied_diag", "batch_size": 70}),
    "tied_spherical, weights": (ROWS, {"covariance": "tied_spherical", "sample_weight": WEIGHTS}),
    "noise": (ROWS, {"noise": np.full(ROWS.shape, 0.3)}),
    "rows to validate on": (ROWS, {"validation_data": ROWS[::5] + 0.1, "batch_size": 70}),
    "given locations": (ROWS, {"start": ROWS[:4]}),
    "moves": (ROWS, {"moves": True}),
}


@pytest.mark.filterwarnings("ignore:.* values are missing")
@pytest.mark.parametrize("which", FITS)
def test_a_fit_broken_off_in_a_sweep_goes_on_to_the_same_bytes(which: str, path: pathlib.Path) -> None:
    data, options = FITS[which]
    options = {"num_components": 4, "restarts": 2, "tolerance": 1e-9, "max_sweeps": 40, **options}
    whole = tfgmm.fit_mixture(data, **options)
    num_sweeps = len(whole.history["elbo"])
    assert num_sweeps >= 3
    with pytest.raises(BrokenOff):
        tfgmm.fit_mixture(data, **options, checkpoint=path, callbacks=[BreaksOff(num_sweeps - 1)])
    rest = BreaksOff()
    result = tfgmm.fit_mixture(data, **options, checkpoint=path, callbacks=[rest])
    assert numbers_of(result) == numbers_of(whole)
    assert rest.epochs == [num_sweeps - 2, num_sweeps - 1] and result.num_earlier_sweeps == num_sweeps - 2
    assert f"went on from sweep {num_sweeps - 1} of {num_sweeps}" in str(result)
    assert result.summary() == whole.summary() and os.listdir(path.parent) == [path.name]


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Lets no start ascend, no sweep begin, no bound be computed."""
    with pytest.MonkeyPatch.context() as patched:

        def refuse() -> None:
            def work(*_: Any, **__: Any) -> Any:
                raise AssertionError("this was done before")

            for module, name in ((single, "best_first"), (retries, "best_first"), (sweeps, "_one_sweep")):
                patched.setattr(module, name, work)
            patched.setattr(single, "bound_and_log_likelihoods", work)

        patched.refuse = refuse  # type: ignore[attr-defined]
        yield patched


def test_a_fit_that_is_done_comes_back_at_once(path: pathlib.Path, no_work: Any) -> None:
    whole = tfgmm.fit_mixture(ROWS, 3, restarts=2, checkpoint=path)
    before = path.read_bytes()
    no_work.refuse()
    result = tfgmm.fit_mixture(ROWS, 3, restarts=2, checkpoint=path)
    assert numbers_of(result) == numbers_of(whole) and path.read_bytes() == before
    assert "nothing was left" in str(result) and "checkpoint" not in str(whole)


CHOICE: dict[str, Any] = {"num_components": [1, 3], "covariance": ["diag", "full"], "restarts": 2}


@pytest.mark.parametrize("options", [{"criteria_at": "mode"}, {"validation_data": ROWS[::3] + 0.1}])
def test_a_choice_goes_on_among_its_fits(options: dict[str, Any], path: pathlib.Path, no_work: Any) -> None:
    counting = BreaksOff()
    whole = tfgmm.fit_mixture(ROWS, **CHOICE, **options, callbacks=[counting])
    for share in (3, 2):
        with pytest.raises(BrokenOff):
            broken = BreaksOff(len(counting.epochs) // share)
            tfgmm.fit_mixture(ROWS, **CHOICE, **options, checkpoint=path, callbacks=[broken])
    choice = tfgmm.fit_mixture(ROWS, **CHOICE, **options, checkpoint=path)
    no_work.refuse()
    for found in (choice, tfgmm.fit_mixture(ROWS, **CHOICE, **options, checkpoint=path)):
        assert [*map(numbers_of, found.results)] == [*map(numbers_of, whole.results)]
        assert found.held_out.tobytes() == whole.held_out.tobytes() and str(found) == str(whole)
        assert found.table.tobytes() == whole.table.tobytes()


@pytest.mark.slow
def test_attempts_at_a_stuck_fit_are_remembered(path: pathlib.Path, no_work: Any) -> None:
    rows = np.random.default_rng(5).standard_t(3, (150, 2))
    options: dict[str, Any] = {"num_components": [1, 2, 3, 4, 5], "covariance": "diag", "restarts": 1}
    counting = BreaksOff()
    whole = tfgmm.fit_mixture(rows, **options, callbacks=[counting])
    assert counting.epochs.count(0) > 5, "some fit is tried again"
    with pytest.raises(BrokenOff):
        tfgmm.fit_mixture(rows, **options, checkpoint=path, callbacks=[BreaksOff(len(counting.epochs) - 2)])
    rest = BreaksOff()
    choice = tfgmm.fit_mixture(rows, **options, checkpoint=path, callbacks=[rest])
    assert [*map(numbers_of, choice.results)] == [*map(numbers_of, whole.results)] and len(rest.epochs) == 3
    no_work.refuse()
    tfgmm.fit_mixture(rows, **options, checkpoint=path)


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:standard deviations may", "ignore:in .* the components stand", "ignore:parts of the"
)
def test_a_restart_that_is_taken_for_its_evidence_is_swept_once(path: pathlib.Path, no_work: Any) -> None:
    groups = ((0, 1, 50), (0, 3, 50), (40, 1, 60), (43.95, 0.5, 6))  # as in test_evidence_of_restarts
    generator = np.random.default_rng(6)
    rows = np.concatenate([generator.normal(mean, sd, (count, 1)) for mean, sd, count in groups])
    whole = tfgmm.fit_mixture(rows, 3, posterior="laplace")
    assert whole.ranking is not None and whole.ranking.place > 0
    first = len(tfgmm.fit_mixture(rows, 3).history["elbo"])
    with pytest.raises(BrokenOff):
        tfgmm.fit_mixture(rows, 3, posterior="laplace", checkpoint=path, callbacks=[BreaksOff(first + 2)])
    result = tfgmm.fit_mixture(rows, 3, posterior="laplace", checkpoint=path)
    assert numbers_of(result) == numbers_of(whole) and result.ranking == whole.ranking
    assert result.num_earlier_sweeps == 1
    no_work.refuse()
    tfgmm.fit_mixture(rows, 3, posterior="laplace", checkpoint=path)


def test_files_larger_than_the_sample_go_on(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    rows = np.random.default_rng(1).normal([[-2.0], [0.0], [2.0]], 1.0, (3, 7_000)).reshape(-1, 1)
    pd.DataFrame(rows, columns=["x"]).to_parquet(tmp_path / "rows.parquet")
    options: dict[str, Any] = {"num_components": 3, "restarts": 2, "tolerance": 1e-9, "max_sweeps": 6}
    with pytest.warns(tfgmm.ConvergenceWarning):
        whole = tfgmm.fit_mixture(tmp_path / "rows.parquet", **options)
    with pytest.raises(BrokenOff):
        tfgmm.fit_mixture(tmp_path / "rows.parquet", **options, checkpoint=path, callbacks=[BreaksOff(4)])
    with pytest.warns(tfgmm.ConvergenceWarning):
        result = tfgmm.fit_mixture(tmp_path / "rows.parquet", **options, checkpoint=path)
    assert numbers_of(result) == numbers_of(whole) and result.num_earlier_sweeps == 3


class Counts(tfgmm.callbacks.SweepCallback):
    """Stops after as many sweeps as it was made with, which it counts itself."""

    def __init__(self, most: int, is_for_now: bool = False) -> None:
        super().__init__()
        self.most, self.count, self.ends_for_now = most, 0, is_for_now

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.count += 1
        self.model.stop_training |= self.count == self.most

    def kept_state(self) -> dict[str, int]:
        return {"count": self.count}

    def restore_state(self, state: dict[str, int]) -> None:
        self.count = state["count"]


SLOW: dict[str, Any] = {"num_components": 5, "restarts": 1, "tolerance": 1e-12, "max_sweeps": 12, "moves": False}


def test_callbacks_go_on_counting_and_an_end_is_an_end(path: pathlib.Path) -> None:
    whole = tfgmm.fit_mixture(ROWS, **SLOW, callbacks=[Counts(9)])
    with pytest.raises(BrokenOff):
        tfgmm.fit_mixture(ROWS, **SLOW, checkpoint=path, callbacks=[BreaksOff(5), Counts(9)])
    for _ in range(2):  # once to the end, once from there
        result = tfgmm.fit_mixture(ROWS, **SLOW, checkpoint=path, callbacks=[Counts(9)])
        assert numbers_of(result) == numbers_of(whole) and len(result.history["elbo"]) == 9
    # Nobody is there to stop it now, but what has ended has ended
    assert numbers_of(tfgmm.fit_mixture(ROWS, **SLOW, checkpoint=path)) == numbers_of(whole)


@pytest.mark.filterwarnings("ignore:the bound was still rising")
def test_an_end_for_now_is_none(path: pathlib.Path) -> None:
    stopped = tfgmm.fit_mixture(ROWS, **SLOW, checkpoint=path, callbacks=[Counts(3, is_for_now=True)])
    assert len(stopped.history["elbo"]) == 3
    result = tfgmm.fit_mixture(ROWS, **SLOW, checkpoint=path)
    assert numbers_of(result) == numbers_of(tfgmm.fit_mixture(ROWS, **SLOW)) and result.num_earlier_sweeps == 3


def test_a_state_that_json_has_not_is_refused(path: pathlib.Path) -> None:
    class Keeps(tfgmm.callbacks.SweepCallback):
        def kept_state(self) -> Any:
            return ROWS

    with pytest.raises(TypeError, match="`kept_state` of Keeps must return numbers.*ndarray"):
        tfgmm.fit_mixture(ROWS, 2, restarts=1, checkpoint=path, callbacks=[Keeps()])


def test_watchers_hear_which_fit_is_at_hand(path: pathlib.Path) -> None:
    class Watcher(tfgmm.callbacks.FitWatcher):
        def __init__(self) -> None:
            super().__init__()
            self.steps: list[Any] = []

        def on_step(self, step: Any) -> None:
            self.steps.append((step.kind, step.number, step.num_components))

    tfgmm.fit_mixture(ROWS, [1, 2], restarts=2, checkpoint=path)
    watcher = Watcher()
    tfgmm.fit_mixture(ROWS, [1, 2], restarts=2, checkpoint=path, callbacks=[watcher])
    assert watcher.steps[0] == ("start", 2, 1) and ("start", 2, 2) in watcher.steps


def test_the_estimator_goes_on(path: pathlib.Path) -> None:
    options: dict[str, Any] = {"n_components": 3, "n_init": 2}
    whole = tfgmm.BayesianGaussianMixture(**options).fit(ROWS)
    for _ in range(2):
        again = tfgmm.BayesianGaussianMixture(**options, checkpoint=path).fit(ROWS)
        assert numbers_of(again.result_) == numbers_of(whole.result_)
    assert again.result_.num_earlier_sweeps == len(whole.result_.history["elbo"])


def test_it_is_written_at_once_then_at_most_twice_a_second_and_at_the_end(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, written = [100.0], []

    def write(place: pathlib.Path, content: stored.Stored) -> None:
        written.append((now[0], list(content.steps)))
        now[0] += 0.01

    monkeypatch.setattr(stored, "write", write)
    monkeypatch.setattr(journal.time, "monotonic", lambda: now[0])
    kept = journal.Journal(path, {})
    with kept:
        for number in range(8):
            kept.put(f"step {number}", lambda: Entry(None, np.zeros(0)))
            now[0] += 0.2
    steps = [f"step {number}" for number in range(8)]
    assert [time for time, _ in written] == pytest.approx([100.0, 100.61, 101.22, 101.63])
    assert [names for _, names in written] == [steps[:1], steps[:4], steps[:7], steps]


def test_writing_that_takes_long_is_done_more_seldom(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, written = [0.0], []

    def write(*_: Any) -> None:
        written.append(now[0])
        now[0] += 2.0

    monkeypatch.setattr(stored, "write", write)
    monkeypatch.setattr(journal.time, "monotonic", lambda: now[0])
    kept = journal.Journal(path, {})
    for number in range(100):
        kept.put(f"step {number}", lambda: Entry(None, np.zeros(0)))
        now[0] += 1.0
    assert written == pytest.approx([0.0, 42.0, 84.0])
