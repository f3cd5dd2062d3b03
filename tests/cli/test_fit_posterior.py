"""`tfgmm fit --posterior`: what the folder says of the exact posterior, and Ctrl-C while it is drawn from."""

from __future__ import annotations

import json
import pathlib
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_pages import Page
from shown_display import Shown
from typer.testing import CliRunner

import tfgmm
from tfgmm.cli import app as cli
from tfgmm.cli.run import fit as run_fit
from tfgmm.cli.run import posterior as run_posterior
from tfgmm.cli.run.folder import fit_text
from tfgmm.cli.run.settings import RunSettings
from tfgmm.data.readers import Rows
from tfgmm.posterior.record import PosteriorRecord

GENERATOR = np.random.default_rng(3)
ROWS = GENERATOR.normal([[-1.5]] * 40 + [[1.5]] * 40)
TABLE = pd.DataFrame({"size": GENERATOR.normal([-2.0] * 60 + [2.0] * 60)})
FEW = ["--components", 2, "--covariance", "diag", "--restarts", 1]


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(cli.app, ["fit", *map(str, arguments)])


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, pathlib.Path]:
    """A run with the default, and its folder, to read only."""
    place = tmp_path_factory.mktemp("posterior")
    TABLE.to_csv(place / "rows.csv", index=False)
    return run(place / "rows.csv", *FEW, "--out", place / "run"), place / "run"


def record_in(folder: pathlib.Path) -> PosteriorRecord:
    record = tfgmm.load_scorer(folder / "model").draws().posterior
    assert record is not None
    return record


def test_the_folder_carries_the_exact_posterior_and_says_how_good_it_is(example: Any) -> None:
    done, folder = example
    assert done.exit_code == 0, done.output
    record, expected = record_in(folder), tfgmm.fit_mixture(TABLE, 2, restarts=1).with_posterior(TABLE).exact.record
    assert record == expected and record.asked == "auto" and record.method in ("importance", "mcmc")
    summary = (folder / "summary.txt").read_text()
    assert record.sentences()[0] in summary and record.sentences()[0] in done.output
    assert json.loads((folder / "config.json").read_text())["settings"]["posterior"] == "auto"
    card = json.loads((folder / "model" / "model_card.json").read_text())
    assert card["posterior"] == expected.to_dict()
    info = CliRunner().invoke(cli.app, ["info", str(folder)], env={"COLUMNS": "200"}).stdout
    assert "intervals are those of the exact posterior" in info
    words = " ".join(Page((folder / "report.html").read_text("utf-8")).words.split())
    assert record.sentences()[0].partition(" (")[0].removeprefix("intervals are ") in words


def test_a_run_is_repeated_with_its_posterior_and_another_may_be_asked_for(
    example: Any, tmp_path: pathlib.Path
) -> None:
    config = example[1] / "config.json"
    assert run("--config", config, "--posterior", "mean_field", "--out", tmp_path / "plain").exit_code == 0
    assert record_in(tmp_path / "plain") == PosteriorRecord("mean_field", "mean_field")
    summary = (tmp_path / "plain" / "summary.txt").read_text()
    assert "they are too narrow where components overlap: --posterior auto gives those" in summary
    assert run("--config", tmp_path / "plain" / "config.json", "--out", tmp_path / "again").exit_code == 0
    assert record_in(tmp_path / "again").method == "mean_field"


def test_an_unknown_posterior_is_named() -> None:
    done = run("rows.csv", "--posterior", "nuts", "--out", "new")
    assert done.exit_code == 2
    assert "`--posterior` must be one of 'mean_field', 'laplace', 'importance', 'mcmc', 'auto'" in done.stderr


# --- The run, without its folder


def run_of(shown: Any, num_components: Any = 2, **options: Any) -> Any:
    settings = RunSettings("/rows.csv", num_components, **{"restarts": 1, **options})
    return run_fit.run_fit(settings, Rows(ROWS), None, shown, shown.is_stopped)


def test_of_a_choice_the_recommended_fit_has_it() -> None:
    found = run_of(Shown(), [1, 2], posterior="laplace")
    assert found.result.exact.record.method == "laplace"
    assert found.result.elbo == found.selection.best.elbo
    assert all(result.exact is None for result in found.selection.results)


def test_what_cannot_be_trusted_is_noted_in_the_words_of_the_command() -> None:
    rows = np.random.default_rng(0).normal(size=(30, 1))
    settings = RunSettings("/rows.csv", 3, restarts=1, posterior="laplace")
    shown = Shown()
    found = run_fit.run_fit(settings, Rows(rows), None, shown, shown.is_stopped)
    sentences = found.result.exact.record.warnings()
    assert sentences and all(f"{sentence}." in found.notes for sentence in sentences)
    assert 'posterior="' not in fit_text(found)


def test_steps_are_shown() -> None:
    shown = Shown()
    run_of(shown, posterior="importance")
    words = " ".join(shown.words)
    assert "looking for the mode of the exact posterior: pass 1 over the rows" in words
    assert "importance sampling: stage 1 of at most 5" in words


# --- Ctrl-C


@pytest.fixture(autouse=True)
def python_hears_ctrl_c() -> Iterator[None]:
    """Tests may run in the background, where a shell has Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt(monkeypatch: pytest.MonkeyPatch, words: str, times: int = 1) -> None:
    """Has Ctrl-C pressed while a step goes on whose words begin so."""
    of_step = run_posterior.words_of_step

    def words_of_step(what: str, number: int, count: int) -> str:
        found = of_step(what, number, count)
        for _ in range(times if found.startswith(words) else 0):
            signal.raise_signal(signal.SIGINT)
        return found

    monkeypatch.setattr(run_posterior, "words_of_step", words_of_step)


def test_ctrl_c_keeps_the_draws_that_there_are(example: Any, monkeypatch: Any, tmp_path: pathlib.Path) -> None:
    interrupt(monkeypatch, "importance sampling: stage 2")
    rows = example[1].parent / "rows.csv"
    done = run(rows, *FEW, "--posterior", "importance", "--out", tmp_path / "run")
    assert done.exit_code == 0
    assert done.stderr.splitlines()[:2] == [
        "Ctrl-C: ending, with the draws from the posterior that there are. Once more to leave at once, with nothing "
        "written.",
        "Note: stopped by Ctrl-C: intervals are those of the draws from the posterior that there were",
    ]
    record = record_in(tmp_path / "run")
    assert (record.method, record.note) == ("importance", "it was stopped before it was done")


def test_ctrl_c_before_there_are_draws_keeps_the_fit(example: Any, monkeypatch: Any, tmp_path: pathlib.Path) -> None:
    interrupt(monkeypatch, "looking for the mode")
    done = run(example[1].parent / "rows.csv", *FEW, "--out", tmp_path / "run")
    assert done.exit_code == 0
    note = "stopped by Ctrl-C before there were draws from the exact posterior: intervals are the mean-field ones"
    assert done.stderr.splitlines()[1:] == [f"Note: {note}"]
    assert record_in(tmp_path / "run").method == "mean_field"


@pytest.mark.parametrize("words", ["looking for the mode", "importance sampling: stage 2"])
def test_second_ctrl_c_leaves_at_once_and_nothing(
    example: Any, monkeypatch: Any, tmp_path: pathlib.Path, words: str
) -> None:
    interrupt(monkeypatch, words, times=2)
    done = run(example[1].parent / "rows.csv", *FEW, "--posterior", "importance", "--out", tmp_path / "run")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[1:] == ["Error: Stopped by Ctrl-C; nothing was written."]
    assert not (tmp_path / "run").exists()
