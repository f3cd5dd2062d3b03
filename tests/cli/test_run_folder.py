"""The folder of a run comes whole or not at all, and takes the place of nothing but an earlier run."""

from __future__ import annotations

import json
import os
import pathlib
from types import SimpleNamespace
from typing import Any

import matplotlib
import numpy as np
import pytest
from report_pages import Page
from typer.testing import CliRunner

import tfgmm
from tfgmm.cli import app as cli
from tfgmm.cli.run import folder as run_folder
from tfgmm.cli.run import settings as run_settings
from tfgmm.data.summary import DataSummary
from tfgmm.data.survey import Survey
from tfgmm.families.variational import VariationalPosterior
from tfgmm.plot import kinds
from tfgmm.report import pictures, subject

REPORT = run_folder._report


@pytest.fixture
def run() -> run_folder.Run:
    """A run of a single start, made by hand of three columns that looks fitted."""
    summary = DataSummary(300, 3, (0.0,) * 3, (1.0,) * 3, ("a", "b", "c"))
    q = VariationalPosterior.of("diag", "dirichlet", 2, 3, tfgmm.Priors())
    q.assign(q.values_of(q.random_start(0)))
    history = {"loss": [2.0, 1.5], "elbo": [-600.0, -450.0]}
    start: Any = SimpleNamespace(elbo=-450.0, elbos=history["elbo"], moves=())
    result = tfgmm.FitResult(q, tfgmm.Priors(), 0, summary, -450.0, -440.0, -445.0, history, (start,), True)
    settings = run_settings.RunSettings("/rows.csv", 2, columns=["a", "b", "c"])
    return run_folder.Run(settings, result, [2, 1], Survey(summary, np.zeros((4, 3))), ["mind the gap"])


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page has tests of its own, and the rows of this run do not exist."""
    monkeypatch.setattr(run_folder, "_report", lambda *_: "a page")


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "drawings", lambda *_: ())


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("no_graph", "no_pictures")
def test_folder_holds_what_it_lists(run: run_folder.Run, tmp_path: pathlib.Path) -> None:
    files = run_folder.write_run(run, tmp_path / "deep" / "run", False)
    found = contents(tmp_path / "deep" / "run")
    assert sorted(files) == sorted(found) and os.listdir(tmp_path / "deep") == ["run"]
    config = run_settings.read_config(tmp_path / "deep" / "run" / "config.json")
    assert sorted(config["files"]) == sorted(found)
    assert run_settings.settings_from(config["settings"], {}) == run.settings
    assert found["history.csv"].decode().split() == ["sweep,loss,elbo,occupied", "1,2.0,-600.0,2", "2,1.5,-450.0,1"]
    assert found["summary.txt"].decode().endswith("\nNote: mind the gap\n")


def test_page_is_about_the_rows_of_the_fit_which_are_not_read_again(
    run: run_folder.Run, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr("tfgmm.report.page.page_of", lambda *arguments: told.extend(arguments) or "a page")
    fitted, drawn = subject.fitted_of(run.result), {"density": pictures.Picture("data:", "nothing", 1, 1)}
    assert REPORT(run, fitted, drawn, tmp_path) == "a page" and not pathlib.Path(run.settings.data).exists()
    about, survey, model_path, choice, shown, said = told
    assert said == ((), ())
    assert (about, choice, model_path, shown) == (fitted, None, tmp_path / "model", drawn)
    assert survey.summary is run.result.data_summary and survey is run.survey


def figures_of(run: run_folder.Run, folder: pathlib.Path) -> dict[str, pictures.Picture]:
    drawn, failures = run_folder._write_figures(run, subject.fitted_of(run.result), folder)
    assert failures == []
    return drawn


@pytest.mark.usefixtures("no_graph")
def test_figures_do_not_depend_on_the_style_of_the_user(run: run_folder.Run, tmp_path: pathlib.Path) -> None:
    plain = figures_of(run, tmp_path / "plain")
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 3.0}):
        assert figures_of(run, tmp_path / "own") == plain
    files = [contents(tmp_path / name) for name in ("plain", "own")]
    assert files[0] and files[0] == files[1]


def test_every_picture_is_drawn_once_for_its_file_and_for_the_page(
    run: run_folder.Run, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    density = kinds.KINDS["pairs"]
    counted = density._replace(draw=lambda *arguments: asked.append(1) or density.draw(*arguments))
    monkeypatch.setattr(kinds, "KINDS", {**kinds.KINDS, "pairs": counted})
    page = REPORT(run, subject.fitted_of(run.result), figures_of(run, tmp_path / "figures"), tmp_path)
    [wide, *others] = Page(page).pictures()
    assert asked == [1] and wide == ("png", (tmp_path / "figures" / "pairs.png").read_bytes())
    assert [kind for kind, _ in others] == ["svg+xml", "svg+xml"]  # restarts and sweeps


@pytest.mark.usefixtures("no_graph")
def test_picture_that_cannot_be_drawn_costs_the_picture_only(
    run: run_folder.Run, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise ValueError("no room")

    monkeypatch.setattr(pictures, "density_drawing", fail)
    monkeypatch.setattr(run_folder, "_report", REPORT)
    files = run_folder.write_run(run, tmp_path / "run", False)
    assert not any("figures" in name for name in files) and "model/parameters.npz" in files
    page = Page((tmp_path / "run" / "report.html").read_text("utf-8"))
    assert "density" not in [attributes.get("id") for _, attributes in page.tags] and len(page.pictures()) == 2
    assert "figures/pairs.png could not be drawn (no room)" in (tmp_path / "run" / "summary.txt").read_text()


@pytest.mark.usefixtures("no_graph", "no_pictures")
@pytest.mark.parametrize(
    "failing", ["tfgmm.export.saved_model.export_model", "os.fsync", "tfgmm.cli.run.folder.config_text"]
)
@pytest.mark.parametrize("earlier", [True, False])
def test_failure_leaves_what_stood_there_and_nothing_else(
    run: run_folder.Run, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, failing: str, earlier: bool
) -> None:
    target = tmp_path / "run"
    if earlier:
        run_folder.write_run(run, target, False)
    before = contents(tmp_path)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(failing, fail)
    with pytest.raises(OSError, match="No space left") as caught:
        run_folder.write_run(run, target, True)
    assert "untouched" in str(caught.value)
    assert contents(tmp_path) == before and os.listdir(tmp_path) == (["run"] if earlier else [])


@pytest.mark.usefixtures("no_graph", "no_pictures")
def test_earlier_run_is_replaced_with_overwrite_only(run: run_folder.Run, tmp_path: pathlib.Path) -> None:
    target = tmp_path / "run"
    run_folder.write_run(run, target, False)
    before = contents(target)
    with pytest.raises(FileExistsError, match="which holds a run"):
        run_folder.write_run(run, target, False)
    assert contents(target) == before
    (target / "history.csv").unlink()  # a run that lost a file is one still
    run_folder.write_run(run._replace(notes=["another"]), target, True)
    assert contents(target).keys() == before.keys() and "another" in (target / "summary.txt").read_text()


def fit_over(target: pathlib.Path, *options: str) -> Any:
    data = target.parent / "rows.csv"
    data.write_text("a\n1\n2\n")
    return CliRunner().invoke(
        cli.app, ["fit", str(data), "--components", "1", "--posterior", "mean_field", "--out", str(target), *options]
    )


A_RUN = {"format": "tfgmm.run", "format_version": 1, "settings": {}, "files": ["config.json"]}
FOREIGN: dict[str, dict[str, str]] = {
    "somebody's folder": {"thesis.txt": "mine"},
    "another config.json": {"config.json": "{}"},
    "a run with a file of mine": {"config.json": json.dumps(A_RUN), "notes.txt": "mine"},
    "a run without a list": {"config.json": json.dumps({**A_RUN, "files": None})},
}


@pytest.mark.parametrize("case", FOREIGN)
def test_what_is_no_run_is_kept_even_with_overwrite(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setattr("tfgmm.common.quiet.load_tensorflow", lambda _: pytest.fail("it was loaded for nothing"))
    target = tmp_path / "run"
    target.mkdir()
    for name, text in FOREIGN[case].items():
        (target / name).write_text(text)
    before = contents(target)
    done = fit_over(target, "--overwrite")
    assert done.exit_code == 1 and done.stderr.count("\n") == 1
    assert re_received(done.stderr) and "nothing was touched" in done.stderr
    assert contents(target) == before


def re_received(line: str) -> bool:
    return line.startswith("Error: `--out` must be a new folder, or an earlier run. Received: ")


def test_file_and_an_earlier_run_are_kept(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfgmm.common.quiet.load_tensorflow", lambda _: pytest.fail("it was loaded for nothing"))
    (tmp_path / "file").write_text("mine")
    done = fit_over(tmp_path / "file", "--overwrite")
    assert done.exit_code == 1 and "which is not a folder" in done.stderr
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps(A_RUN))
    done = fit_over(tmp_path / "run")
    assert done.exit_code == 1 and "`--out` must be a new folder unless --overwrite. Received" in done.stderr
    assert "Pass --overwrite to replace it" in done.stderr
    assert (tmp_path / "file").read_text() == "mine" and os.listdir(tmp_path / "run") == ["config.json"]
