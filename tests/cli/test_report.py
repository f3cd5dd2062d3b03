"""A report of a model or of an export says what it can and says what is not recorded; `tfgmm report` writes it."""

from __future__ import annotations

import os
import pathlib
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from exports import PACKAGE_ROOT, leave_out_graph
from report_pages import FAITHFUL, Page, estimate_in, fit_of, half_a_digit, text_of
from tables_of_rows import message_of
from typer.testing import CliRunner

import tfgmm
from tfgmm.cli import app as cli
from tfgmm.export.reading import read_export
from tfgmm.report import pictures, subject


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(cli.app, ["report", *map(str, arguments)])


@pytest.fixture(scope="module")
def faithful(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The export of a fit that other tests report on."""
    with pytest.MonkeyPatch.context() as patch:
        leave_out_graph(patch)
        return tfgmm.export_model(fit_of("faithful").model, tmp_path_factory.mktemp("faithful") / "mixture")


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "drawings", lambda *_: ())


def page_of(source: Any, rows: Any, folder: pathlib.Path) -> Page:
    return Page(tfgmm.write_report(source, rows, folder / "r.html", overwrite=True).read_text("utf-8"))


def test_page_of_an_export_says_what_the_page_of_its_fit_says(faithful: pathlib.Path, tmp_path: pathlib.Path) -> None:
    scorer = tfgmm.load_scorer(faithful)
    page, of_fit = page_of(scorer, FAITHFUL, tmp_path), Page(text_of("faithful"))
    assert page.tables["memberships"] == of_fit.tables["memberships"]
    assert page.tables["columns"] == of_fit.tables["columns"]
    assert len(page.pictures()) == 1 and len(of_fit.pictures()) > 1  # no restarts
    assert "not recorded in an exported folder" in " ".join(page.words.split()) and "BIC" not in page.words
    assert "from the 64 posterior draws that are kept" in " ".join(page.words.split())
    assert "posterior draws that are kept" not in " ".join(of_fit.words.split())
    assert "the fit converged, its" not in page.words and "every component has rows" in page.words
    for line, other in zip(page.tables["components"], of_fit.tables["components"], strict=True):
        assert re.findall(r"about .* rows", line[0]) == re.findall(r"about .* rows", other[0])  # counts, exactly
    draws = scorer.draws()
    [k] = re.findall(r"Component (\d)", page.tables["components"][1][0])
    written = estimate_in(page.tables["components"][2][1])
    quantiles = np.quantile(draws.locs[0, :, int(k), 0], [0.5, 0.025, 0.975])
    for text, expected in zip(written, quantiles):
        assert abs(float(text) - expected) <= half_a_digit(text) + 1e-9


@pytest.mark.usefixtures("no_pictures")
def test_page_of_a_model_has_its_bound_and_no_restarts(faithful: pathlib.Path, tmp_path: pathlib.Path) -> None:
    result = fit_of("faithful")
    page, of_fit = page_of(result.model, FAITHFUL, tmp_path), Page(text_of("faithful"))
    assert page.tables == of_fit.tables
    assert f"{result.model.elbo:,.2f} nats" in page.words and "AIC" not in page.words
    assert "not recorded in a model" in " ".join(page.words.split())
    assert "tfgmm.export_model(model, 'mixture')" in page.pre[0]
    assert "export_model" not in page_of(tfgmm.load_scorer(faithful), FAITHFUL, tmp_path).pre[0]


@pytest.mark.usefixtures("no_pictures")
def test_other_rows_are_said_to_be_others(faithful: pathlib.Path, tmp_path: pathlib.Path) -> None:
    frame = pd.read_csv(FAITHFUL)
    scorer = tfgmm.load_scorer(faithful)
    assert "not the rows that the mixture was fitted on" in page_of(scorer, frame[:100], tmp_path).words
    assert "not the rows" not in page_of(scorer, frame, tmp_path).words


@pytest.mark.parametrize("weights", ["dirichlet", "stick_breaking"])
def test_counts_that_the_means_of_weights_tell_are_the_models(weights: str) -> None:
    rows = np.random.default_rng(0).normal([[-3.0]] * 30 + [[3.0]] * 60, 0.5)
    model = tfgmm.fit_mixture(rows, 4, weights=weights, restarts=1, seed=1).model
    expected = model.variational.expected_counts()
    means = np.exp(model.plug_in().log_weights)
    found = subject.counts_of(weights, means, model.priors, 90)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert 29.0 < np.sort(found)[-2] < 31.0


@pytest.mark.usefixtures("no_pictures")
def test_what_cannot_be_reported_on_is_refused(faithful: pathlib.Path, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "r.html"
    message = message_of(TypeError, tfgmm.write_report, {"a": 1}, FAITHFUL, path)
    assert (
        "`result` must be a tfgmm.FitResult, a Selection, a GaussianMixtureModel or a Scorer. Received: dict" in message
    )
    message = message_of(ValueError, tfgmm.write_report, tfgmm.GaussianMixtureModel(2, 2), FAITHFUL, path)
    assert "has seen no rows" in message
    found = read_export(faithful)
    with pytest.raises(ValueError, match="Export the model again"):
        tfgmm.write_report(tfgmm.Scorer(found._replace(drawn=None)), FAITHFUL, path)
    card = {**found.card, "model": {**found.card["model"], "weights": "heavy"}}
    message = message_of(ValueError, tfgmm.write_report, tfgmm.Scorer(found._replace(card=card)), FAITHFUL, path)
    assert "`weights` must be" in message and os.listdir(tmp_path) == []


# --- The command


def test_example_of_the_help_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    example = re.search(r"Example: tfgmm report (.+?) Options", " ".join(run("--help").stdout.split()))
    assert example is not None
    monkeypatch.chdir(PACKAGE_ROOT)
    path = tmp_path / "geyser.html"
    done = run(*example[1].replace("/tmp/geyser.html", str(path)).split(), "--title", "Eruptions <all>")
    assert (done.exit_code, done.stderr) == (0, "") and done.stdout.startswith(f"{path}: a page about ")
    page = Page(path.read_text("utf-8"))
    assert "Eruptions <all>" in page.words and "Nothing was found" in page.words  # the very rows of its fit
    assert str(PACKAGE_ROOT / "saved_models" / "old_faithful") in page.pre[0]


REFUSALS = {
    "an ending of nothing": (["--out", "a.pdf"], 2, "`--out` must be a file whose name ends in .html"),
    "an empty title": (["--title", " "], 2, "`--title` must not be empty"),
    "no model": (["--model", "none"], 1, "`--model` must be a folder"),
    "no rows": (["--data", "none.csv"], 1, "not found"),
    "other columns": (["--data", "other.csv"], 1, "without 'eruptions', 'waiting'"),
    "a file that is there": (["--out", "a.html"], 1, "Pass --overwrite"),
    "a number missing": (["--data", "nan.csv", "--missing", "refuse"], 1, "`--data` must hold finite numbers"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusal_is_one_line_and_changes_nothing(
    faithful: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("a.html", "mine"), ("other.csv", "a,b\n1,2\n"), ("nan.csv", "eruptions,waiting\n1,\n2,3\n")):
        (tmp_path / name).write_text(text)
    options, code, words = REFUSALS[case]
    done = run("--model", faithful, "--data", FAITHFUL, "--out", "b.html", *options)
    assert (done.exit_code, done.stdout) == (code, ""), done.stderr
    assert done.stderr.startswith("Error: ") and words in done.stderr and done.stderr.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == ["a.html", "nan.csv", "other.csv"]
    assert (tmp_path / "a.html").read_text() == "mine"
