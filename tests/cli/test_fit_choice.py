"""`tfgmm fit --components 1:4` fits them all, says which it takes and why, and can be followed and broken off."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from exports import PACKAGE_ROOT, leave_out_graph
from quick_fits import quickly
from report_pages import Page
from shown_display import Shown
from typer.testing import CliRunner

import tfgmm
from tfgmm.cli import app as cli
from tfgmm.cli.run import fit as run_fit
from tfgmm.cli.run import folder as run_folder
from tfgmm.cli.run import parsed as run_parsed
from tfgmm.cli.run import settings as run_settings
from tfgmm.data.readers import Rows
from tfgmm.data.summary import summarise
from tfgmm.fit.options import FitOptions
from tfgmm.report import choice as report_choice
from tfgmm.report import pictures as report_pictures

GEYSER = PACKAGE_ROOT / "training" / "data" / "old_faithful.csv"
ROWS = np.concatenate([np.random.default_rng(0).normal(loc, 1.0, 15) for loc in (0.0, 12.0)])[:, None]
NUM_PARAMETERS = {1: 4, 2: 9, 3: 14, 4: 19}  # of two columns, diag: K - 1 weights, 2 K means, 2 K variances


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(cli.app, ["fit", *quickly(*arguments)])


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, pathlib.Path]:
    """The second example of the help, with fewer starts, and the folder that it left, to read only."""
    out = tmp_path_factory.mktemp("runs") / "choice"
    told = re.search(r"chosen: tfgmm fit (\S+) (--components 1:4) --out /tmp/", " ".join(run("--help").stdout.split()))
    assert told is not None
    with pytest.MonkeyPatch.context() as patch:  # the graph has tests of its own
        leave_out_graph(patch)
        done = run(PACKAGE_ROOT / told[1], *told[2].split(), "--restarts", 2, "--out", out)
    assert (done.exit_code, done.stderr) == (0, "")
    return done, out


def selection_of(folder: pathlib.Path) -> pd.DataFrame:
    return pd.read_csv(folder / "selection.csv", index_col="num_components")


# --- What is asked for


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("3", 3), ("1:4", [1, 2, 3, 4]), (" 2 : 3 ", [2, 3]), ("8,2,4,2", [2, 4, 8]), ("1:3,6", [1, 2, 3, 6]), ("4:4", 4)],
)
def test_components_are_read_as_a_person_reads_them(text: str, wanted: Any) -> None:
    assert run_parsed.num_components_of(text) == wanted


def test_the_config_of_an_earlier_version_repeats_the_run(tmp_path: pathlib.Path) -> None:
    options = {"covariance": "full", "weights": "stick_breaking", "restarts": 3, "seed": 7, "max_sweeps": 50}
    earlier = {"data": "/rows.csv", "num_components": 2, "columns": ["a"], "validation": None, **options}
    content = {"format": "tfgmm.run", "format_version": 1, "settings": earlier, "files": [], "versions": {}}
    (tmp_path / "config.json").write_text(json.dumps(content))
    settings = run_settings.settings_from(run_settings.read_config(tmp_path / "config.json")["settings"], {})
    since = {"drop_gaps": False, "delimiter": None, "decimal": None, "encoding": None, "skip_rows": None}
    since |= {"criteria_at": "mean", "sample_weight": None, "noise": None, "missing": "integrate", "posterior": "auto"}
    since |= {"moves": "auto"}
    assert dataclasses.asdict(settings) == {**earlier, **since}
    assert settings.fit_options() == {**options, "criteria_at": "mean", "posterior": "mean_field", "moves": "auto"}
    assert vars(FitOptions(**settings.fit_options())) == {**vars(FitOptions()), **options}


def test_settings_with_several_numbers_go_through_the_config_and_old_ones_load(tmp_path: pathlib.Path) -> None:
    settings = run_settings.RunSettings("/rows.csv", [1, 2, 5], columns=["a"], max_sweeps=9)
    path = tmp_path / "config.json"
    path.write_text(run_settings.config_text(settings, [], {}, "00ff"))
    config = run_settings.read_config(path)
    assert run_settings.settings_from(config["settings"], {}) == settings
    assert run_settings.fingerprint_of(config, settings) == "00ff"
    other = run_settings.RunSettings("/rows.csv", 3, columns=["b"])
    assert run_settings.fingerprint_of(config, other) is None  # of other columns it would be another
    for name, value in {
        "delimiter": ";",
        "decimal": ",",
        "encoding": "latin-1",
        "skip_rows": 1,
        "drop_gaps": True,
    }.items():
        otherwise = dataclasses.replace(settings, **{name: value})
        assert run_settings.fingerprint_of(config, otherwise) is None, name  # they give other rows
        path.write_text(run_settings.config_text(otherwise, [], {}, "00ff", {"num_read": 3}))
        again = run_settings.read_config(path)
        assert run_settings.fingerprint_of(again, otherwise) == "00ff" and run_settings.rows_of(again, otherwise)
        assert run_settings.rows_of(again, settings) == {}
    old = {"data": "/rows.csv", "num_components": 3, "columns": ["b"], "restarts": 2}  # before there were ranges
    path.write_text(json.dumps({"format": "tfgmm.run", "format_version": 1, "settings": old}))
    config = run_settings.read_config(path)
    loaded = run_settings.settings_from(config["settings"], {})
    assert (loaded.num_components, loaded.restarts, loaded.max_sweeps) == (3, 2, 200)
    assert run_settings.fingerprint_of(config, loaded) is None


# --- What it leaves


def test_table_of_the_folder_holds_together_by_other_routes(example: tuple[Any, pathlib.Path]) -> None:
    table = selection_of(example[1])
    assert list(table.index) == [1, 2, 3, 4]
    for number, line in table.iterrows():
        assert line["bic"] == pytest.approx(
            -2 * line["log_likelihood"] + math.log(272) * NUM_PARAMETERS[int(str(number))]
        )
        assert line["log_evidence"] == pytest.approx(line["elbo"] + math.log(math.factorial(int(str(number)))))
    assert (table["occupied"] == table.index).all()  # or fewer names would count
    shares = np.exp(table["log_evidence"] - table["log_evidence"].max())
    np.testing.assert_allclose(table["share"], shares / shares.sum())
    rows = pd.read_csv(GEYSER).to_numpy()
    normal = -0.5 * np.mean(np.log(2 * np.pi * rows.var(axis=0)) + 1.0) * 2  # the maximum for one component
    assert table["log_likelihood"][1] == pytest.approx(272 * normal, abs=0.1)
    assert list(table["recommended"]) == [int(number == table["log_evidence"].idxmax()) for number in table.index]


def test_model_history_and_summary_are_those_of_the_recommended_number(example: tuple[Any, pathlib.Path]) -> None:
    done, out = example
    table = selection_of(out)
    [chosen] = table.index[table["recommended"] == 1]
    scorer = tfgmm.load_scorer(out / "model")
    assert scorer.responsibilities([[2.0, 50.0]]).shape == (1, chosen) == (1, 4)
    total = float(np.sum(scorer.log_prob(pd.read_csv(GEYSER)), dtype=np.float64))
    assert total == pytest.approx(table["log_likelihood"][chosen], abs=0.01)  # float32 scores of 272 rows
    history = pd.read_csv(out / "history.csv")
    assert history["elbo"].iloc[-1] == pytest.approx(table["elbo"][chosen]) and (history["occupied"] <= chosen).all()
    summary = (out / "summary.txt").read_text()
    assert re.search(rf"^\*\s+{chosen} ", summary, flags=re.M)
    assert summary.index("share of") < summary.index("Mixture of 4 Gaussians (diag")


def test_console_ends_with_the_table_and_the_recommendation_and_fits_80_columns(
    example: tuple[Any, pathlib.Path],
) -> None:
    done, out = example
    fit, table, reason, last = done.stdout.split("\n\n")[-4:]
    assert "components" in table.splitlines()[0] and len(table.splitlines()) == 5
    assert [line.split()[0] for line in table.splitlines()[1:]] == ["1", "2", "3", "*4"]
    assert reason.startswith("4 components: ") and max(map(len, [*table.splitlines(), *reason.splitlines()])) <= 80
    assert " ".join(reason.split()) in (out / "summary.txt").read_text()
    assert last == f"{out}: config.json, figures/, history.csv, model/, report.html, selection.csv, summary.txt\n"


def test_report_has_a_section_with_the_same_table_and_a_picture(example: tuple[Any, pathlib.Path]) -> None:
    done, out = example
    page = Page((out / "report.html").read_text("utf-8"))
    head, *lines = page.tables["choice"]
    assert tuple(head) == report_choice.HEAD
    table = selection_of(out)
    for cells, (number, line) in zip(lines, table.iterrows(), strict=True):
        assert cells[0] == str(number) and cells[6] == f"{line['occupied']:.0f}"
        figures = (line[name] for name in ("log_evidence", "bic", "icl"))
        assert [cells[1], *cells[4:6]] == [f"{figure:.1f}" for figure in figures]
    assert "The numbers from 1 to 4 were tried; 4 is recommended." in page.words
    assert [attributes.get("class") for tag, attributes in page.tags if tag == "tr"].count("recommended") == 1
    assert any("held-out density, BIC" in attributes.get("alt", "") for _, attributes in page.tags)
    picture = matplotlib.image.imread(out / "figures" / "num_components.png")
    assert min(picture.shape[:2]) > 300 and np.ptp(picture[..., :3]) > 0.5


def test_config_asks_for_the_same_numbers_again_and_knows_the_rows(
    example: tuple[Any, pathlib.Path], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fit_opened(rows: Any, survey: Any, numbers: Any, options: Any, callbacks: Any) -> Any:
        asked.append((numbers, options.max_sweeps))
        raise ValueError("that is enough")

    monkeypatch.setattr(run_fit, "fit_opened", fit_opened)
    config = example[1] / "config.json"
    run("--config", config, "--out", tmp_path / "again")
    run("--config", config, "--components", 2, "--out", tmp_path / "other")
    assert asked == [((1, 2, 3, 4), 200), (2, 200)]
    card = json.loads((example[1] / "model" / "model_card.json").read_text())
    assert json.loads(config.read_text())["fingerprint"] in json.dumps(card)


def made_up(
    elbos: list[float], held_out: Any, weight_prior: str = "dirichlet", icl: Sequence[float] = ()
) -> tfgmm.Selection:
    """A choice between 1, 2, ... components, of figures that no fit has."""
    fits: Any = tuple(
        SimpleNamespace(
            num_components=number, num_occupied=number, elbo=elbo, log_likelihood=-9.0, bic=1.0, aic=3.0,
            num_data=len(ROWS),
            icl=icl[number - 1] if icl else -number, converged=True, weight_prior=weight_prior,
            log_num_modes=math.lgamma(number + 1), covariance="diag", num_features=1,
            priors=tfgmm.Priors(), data_summary=summarise(Rows(ROWS), name="data"),
            criteria_at="mean", restarts=(), exact=None, ranking=None,
        )
        for number, elbo in enumerate(elbos, 1)
    )  # fmt: skip
    return tfgmm.Selection(fits, np.asarray(held_out, np.float64), "some rows")


def test_words_tell_a_clear_choice_from_an_open_one_and_cells_have_the_digits_of_the_error() -> None:
    steps = [[-0.0013, -0.0009, -0.0011], [0.0, 0.0, 0.0]]
    three = [*steps, [-1.0, -1.0, -1.0]]  # the largest number tried is never clear
    clear = made_up([-90.0, -10.0, -90.0], three, icl=[9.0, 7.0, 8.0])
    assert "clear" in report_choice.how_sure(clear) and "1 and 2" not in report_choice.how_sure(clear)
    assert [line[3] for line in report_choice.lines(clear)][:2] == ["0.00110 (0.00012)", "best"]  # 0.0002 / sqrt(3)
    assert "groups" not in clear.reason
    doubtful = report_choice.how_sure(dataclasses.replace(clear, column_doubts=("column 'year' has 3 values",)))
    assert "clear" not in doubtful and "not certain: column 'year' has 3 values" in doubtful
    assert "2 is the largest number tried" in report_choice.how_sure(made_up([-90.0, -10.0], steps))
    overlapping = made_up([-90.0, -10.0, -90.0], three, icl=[7.0, 8.0, 9.0])
    words = report_choice.how_sure(overlapping)
    assert "clear" not in words and "fewer may be right" in words
    assert "for groups that stand apart look at 1 first" in overlapping.reason
    open_one = made_up([-10.0, -10.5], steps)
    assert "1 and 2 are all plausible" in report_choice.how_sure(open_one)
    assert "maximum" not in report_choice.how_sure(open_one)
    of_sticks = report_choice.how_sure(made_up([-10.0, -10.5], steps, "stick_breaking"))
    assert "Each number is a maximum: 1 of 1 have rows with the recommended one." in of_sticks
    assert "nothing" in report_choice.how_sure(made_up([-10.0], steps[:1]))


def test_what_was_not_measured_is_left_empty(tmp_path: pathlib.Path) -> None:
    nothing = made_up([-12.0, -10.0], np.zeros((2, 0)))
    run_folder._write_selection(nothing, tmp_path / "selection.csv")
    head, *lines = (line.split(",") for line in (tmp_path / "selection.csv").read_text().splitlines())
    assert [dict(zip(head, line))["held_out_error"] for line in lines] == ["", ""]
    assert [dict(zip(head, line))["recommended"] for line in lines] == ["0", "1"]
    assert [line[3] for line in report_choice.lines(nothing)] == ["-", "-"]


# --- Rows that changed, and sweeps


@pytest.mark.usefixtures("no_graph")
def test_note_of_other_rows_and_of_sweeps_that_were_too_few(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_pictures, "drawings", lambda *_: ())
    monkeypatch.setattr(run_folder, "_report", lambda *_: "a page")
    pd.DataFrame(ROWS, columns=["a"]).to_csv(tmp_path / "rows.csv", index=False)
    settings = run_settings.RunSettings(
        str(tmp_path / "rows.csv"), 2, columns=["a"], restarts=1, posterior="mean_field"
    )
    config = tmp_path / "config.json"
    config.write_text(run_settings.config_text(settings, [], {}, "0" * 16))
    done = run("--config", config, "--max-sweeps", 1, "--out", tmp_path / "run")
    assert done.exit_code == 0
    found = json.loads((tmp_path / "run" / "config.json").read_text())
    assert found["settings"]["max_sweeps"] == 1 and re.fullmatch("[0-9a-f]{16}", found["fingerprint"])
    sweeps, rows = done.stderr.splitlines()
    assert re.fullmatch(
        r"Note: after 1 sweep the bound has stopped rising by the last .*\. Raise --max-sweeps\.", sweeps
    )
    assert rows.startswith(f"Note: {tmp_path}/rows.csv holds other rows than in the earlier run")
    assert f"fingerprint {'0' * 16}, now {found['fingerprint']}" in rows
    assert (tmp_path / "run" / "summary.txt").read_text().endswith(f"\n{sweeps}\n{rows}\n")
    assert len(pd.read_csv(tmp_path / "run" / "history.csv")) == 1


# --- Followed, and broken off


def followed(shown: Shown, tried: Any, **options: Any) -> run_folder.Run:
    settings = run_settings.RunSettings("/rows.csv", tried, restarts=2, posterior="mean_field", **options)
    return run_fit.run_fit(settings, Rows(ROWS), None, shown, shown.is_stopped)


def test_every_fit_is_shown_and_sticks_are_counted() -> None:
    shown = Shown()
    found = followed(shown, [1, 3], weights="stick_breaking")
    firsts = list(dict.fromkeys(words.partition("  ")[0] for words in shown.words))
    assert firsts[1:8] == [
        *(f"1 component (1 of 2)\nheld-out rows, fit {number} of 5" for number in range(1, 6)),
        *(f"1 component (1 of 2)\nstart {number} of 2" for number in (1, 2)),
    ]
    assert "1 component (1 of 2)\nsweep 1" in firsts and "3 components (2 of 2)\nsweep 2" in firsts
    assert "3 components (2 of 2)\ncounting components that have rows, 1 of 1" in firsts
    assert found.selection is not None and len(found.selection.results) == 2 and found.notes == []
    assert found.occupied is not None and len(found.occupied) == len(found.result.history["elbo"])
    # 15 rows on either side, 12 standard deviations apart: no draw leaves a side empty
    assert found.occupied_posterior is not None and found.occupied_posterior[:2].sum() == 0.0
    choice = report_choice.choice_of(found.selection, found.occupied_posterior)
    assert choice is not None and choice.occupied[0] == ("2", f"{found.occupied_posterior[2]:.2f}")
    assert "with the most components" in choice.about_occupied


def test_single_fit_with_sticks_counts_components_that_have_rows_and_dirichlet_does_not(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, no_graph: None
) -> None:
    shown = Shown()
    found = followed(shown, 3, weights="stick_breaking", columns=["column 0"])
    assert shown.words[-1] == "counting components that have rows" and not any("of 1)" in w for w in shown.words)
    posterior = found.occupied_posterior
    assert posterior is not None and posterior.shape == (4,) and posterior[2] > 0.5
    monkeypatch.setattr(report_pictures, "drawings", lambda *_: ())
    run_folder.write_run(found, tmp_path / "run", False)
    told = f"Of at most 3 components so many have rows, with their probability: 2: {posterior[2]:.2f}"
    page = Page((tmp_path / "run" / "report.html").read_text("utf-8"))
    assert told in (tmp_path / "run" / "summary.txt").read_text() and told in page.words
    assert page.tables["occupied"][1] == ["2", f"{posterior[2]:.2f}"] and "choice" not in page.tables
    assert not (tmp_path / "run" / "selection.csv").exists()
    assert report_choice.choice_of(None, None) is None  # as of Dirichlet weights
    assert "with the most components" not in page.words


def test_stopped_choice_keeps_the_numbers_that_are_complete() -> None:
    shown = Shown("2 components (2 of 3)\nheld-out rows, fit 2")
    found = followed(shown, [1, 2, 3])
    assert found.selection is not None and found.selection.table["num_components"].tolist() == [1]
    assert found.result.num_components == 1 and len(found.occupied) == len(found.result.history["elbo"])
    assert found.notes == ["stopped by Ctrl-C after 1 of 3 numbers of components: only 1 is there"]
    assert not any("(3 of 3)" in words for words in shown.words)


def test_choice_stopped_when_all_is_done_is_whole() -> None:
    found = followed(Shown("2 components (2 of 2)\nsweep 3"), [1, 2])
    assert found.selection is not None and found.selection.table["num_components"].tolist() == [1, 2]
    assert found.notes == [] and found.result.converged


@pytest.fixture
def python_hears_ctrl_c() -> Iterator[None]:
    """Tests may run in the background, where a shell has Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupting(monkeypatch: pytest.MonkeyPatch, is_time: Callable[[Any], bool]) -> None:
    """Has Ctrl-C pressed at the end of a sweep of such a model."""
    counted = run_fit.num_occupied

    def num_occupied(posterior: Any) -> int:
        if is_time(posterior):
            monkeypatch.setattr(run_fit, "num_occupied", counted)
            signal.raise_signal(signal.SIGINT)
        return counted(posterior)

    monkeypatch.setattr(run_fit, "num_occupied", num_occupied)


@pytest.mark.usefixtures("python_hears_ctrl_c", "no_graph")
def test_ctrl_c_while_choosing_keeps_the_best_so_far_or_says_that_nothing_was_written(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_pictures, "drawings", lambda *_: ())
    monkeypatch.setattr(run_folder, "_report", lambda *_: "a page")
    rows = tmp_path / "rows.csv"
    pd.DataFrame(ROWS, columns=["a"]).to_csv(rows, index=False)
    arguments = (rows, "--components", "1:3", "--restarts", 1, "--out", tmp_path / "run")
    interrupting(monkeypatch, lambda model: True)
    done = run(*arguments)
    first = "Ctrl-C: ending, keeping the numbers of components that are complete. Once more to leave at once, with"
    assert done.stderr.splitlines() == [f"{first} nothing written.", "Error: Stopped by Ctrl-C; nothing was written."]
    assert done.exit_code == 1 and os.listdir(tmp_path) == ["rows.csv"]
    interrupting(monkeypatch, lambda model: model.num_components == 3)
    done = run(*arguments)
    note = "Note: stopped by Ctrl-C after 2 of 3 numbers of components: the choice is among 1 and 2"
    assert done.exit_code == 0 and done.stderr.splitlines()[1:] == [note]
    assert list(selection_of(tmp_path / "run").index) == [1, 2]
    assert tfgmm.load_scorer(tmp_path / "run" / "model").responsibilities([[7.0]]).shape == (1, 2)
    assert (tmp_path / "run" / "summary.txt").read_text().endswith(f"\n{note}\n")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["settings"]["num_components"] == [1, 2, 3]
