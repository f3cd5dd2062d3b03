"""`tfgmm fit` with several covariance shapes: what is asked for, what it leaves, how it is followed and broken off."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import pandas as pd
import pytest
from quick_fits import quickly
from report_pages import Page
from shown_display import Shown
from typer.testing import CliRunner

import tfgmm
from tfgmm.cli import app as cli
from tfgmm.cli.run import fit as run_fit
from tfgmm.cli.run import settings as run_settings
from tfgmm.data.readers import Rows
from tfgmm.mixture.registry import COVARIANCES
from tfgmm.report import choice as report_choice

GENERATOR = np.random.default_rng(2)
ROWS = np.concatenate([GENERATOR.normal((0.0, 0.0), 1.0, (20, 2)), GENERATOR.normal((9.0, 4.0), 1.0, (20, 2))])


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(cli.app, ["fit", *quickly(*arguments)], env={"COLUMNS": "80"})


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, pathlib.Path]:
    """A choice among two shapes and three numbers, and the folder that it left, to read only."""
    folder = tmp_path_factory.mktemp("runs")
    pd.DataFrame(ROWS, columns=["a", "b"]).to_csv(folder / "rows.csv", index=False)
    asked = ("--components", "1:3", "--covariance", "full, tied", "--restarts", 2)
    done = run(folder / "rows.csv", *asked, "--out", folder / "run")
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    return done, folder / "run"


# --- What is asked for


@pytest.mark.parametrize(
    ("arguments", "numbers", "covariance"),
    [
        ({}, None, "auto"),
        ({"num_components": 3}, 3, "diag"),
        ({"num_components": [1, 2]}, [1, 2], "diag"),
        ({"covariance": "full"}, None, "full"),
        ({"covariance": ["tied", "diag"], "num_components": 2}, 2, ["diag", "tied"]),
        ({"covariance": "auto", "num_components": 2}, 2, "auto"),
    ],
)
def test_what_is_not_given_is_chosen(arguments: dict[str, Any], numbers: Any, covariance: Any) -> None:
    settings = run_settings.settings_from({}, {"data": "/rows.csv", **arguments})
    assert (settings.num_components, settings.covariance) == (numbers, covariance)


def test_an_earlier_run_goes_before_the_defaults() -> None:
    earlier = {"data": "/rows.csv", "num_components": 2, "covariance": "full"}
    found = run_settings.settings_from(earlier, {"num_components": [1, 2]})
    assert (found.num_components, found.covariance) == ([1, 2], "full")
    assert run_settings.settings_from({"data": "/rows.csv", "num_components": 2}, {}).covariance == "diag"


def test_rows_say_what_all_numbers_and_shapes_are() -> None:
    settings = run_settings.RunSettings("/rows.csv", covariance="auto")
    found = settings.for_rows(272, 2)
    assert found.num_components == list(range(1, 11)) and found.covariance == list(COVARIANCES)
    assert found.num_fits == 60 and settings.note_of_rows(272) == [] and settings.note_of_rows(10) == []
    assert settings.for_rows(4, 2).num_components == [1, 2, 3, 4]
    assert settings.note_of_rows(4) == ["from 1 to 4 components were tried, not 10: there are no more rows"]
    assert settings.note_of_rows(1) == ["1 component was tried, not 10: there are no more rows"]
    given = run_settings.RunSettings("/rows.csv", [1, 9], covariance="full")
    assert given.for_rows(4, 2) == given and given.note_of_rows(4) == [] and given.num_fits == 2


def test_settings_with_several_shapes_go_through_the_config(tmp_path: pathlib.Path) -> None:
    settings = run_settings.RunSettings("/rows.csv", [1, 2], covariance=("tied", "diag"))
    path = tmp_path / "config.json"
    path.write_text(run_settings.config_text(settings, [], {}))
    assert run_settings.settings_from(run_settings.read_config(path)["settings"], {}) == settings
    assert dataclasses.asdict(settings)["covariance"] == ["diag", "tied"]


# --- What it leaves


def test_table_of_the_folder_is_that_of_python(example: tuple[Any, pathlib.Path]) -> None:
    found = pd.read_csv(example[1] / "selection.csv")
    selection = tfgmm.fit_mixture(example[1].parent / "rows.csv", [1, 2, 3], covariance=["tied", "full"], restarts=2)
    expected = pd.DataFrame(selection.table)
    pd.testing.assert_frame_equal(found.drop(columns="recommended"), expected, check_dtype=False, rtol=1e-12)
    assert found["recommended"].tolist() == [int(result is selection.best) for result in selection.results]
    card = json.loads((example[1] / "model" / "model_card.json").read_text())["model"]
    assert (card["covariance"], card["num_components"]) == (selection.covariance, selection.num_components)
    assert str(selection) in (example[1] / "summary.txt").read_text()


def test_page_has_the_shapes_the_numbers_and_all_fits(example: tuple[Any, pathlib.Path]) -> None:
    page = Page((example[1] / "report.html").read_text("utf-8"))
    table = pd.read_csv(example[1] / "selection.csv")
    head, *shapes = page.tables["choice shapes"]
    assert head[:2] == ["shape", "components"] and [line[0] for line in shapes] == ["tied", "full"]
    best = table.loc[table.groupby("covariance")["log_evidence"].idxmax()].set_index("covariance")
    assert [int(line[1]) for line in shapes] == [best.loc[line[0], "num_components"] for line in shapes]
    assert [line[0] for line in page.tables["choice"][1:]] == ["1", "2", "3"]
    assert [line[:2] for line in page.tables["choice all"][1:]] == [
        [shape, str(number)] for shape in ("tied", "full") for number in (1, 2, 3)
    ]
    assert [attributes.get("class") for tag, attributes in page.tags if tag == "tr"].count("recommended") == 3
    assert "Which shape, and how many components" in page.words
    assert "2 shapes were tried (tied, full), with the numbers from 1 to 3 as number of components" in page.words
    assert any("every covariance shape" in attributes.get("alt", "") for _, attributes in page.tags)
    assert (example[1] / "figures" / "num_components.png").is_file()


def test_console_shows_two_tables_that_fit_a_terminal(example: tuple[Any, pathlib.Path]) -> None:
    lines = example[0].stdout.splitlines()
    start = lines.index("The best number of components of each shape:")
    assert lines[start + 1].split()[:4] == ["shape", "K", "evidence", "share"]
    assert [line.split()[0].lstrip("*") for line in lines[start + 2 : start + 4]] == ["tied", "full"]
    assert [line.strip()[:1] for line in lines[start + 1 : start + 10]].count("*") == 2
    assert max(map(len, lines[start:-1])) <= 80


def test_other_commands_take_the_run(example: tuple[Any, pathlib.Path], tmp_path: pathlib.Path) -> None:
    rows = example[1].parent / "rows.csv"
    for words in (
        ("plot", "--model", example[1], "--data", rows, "--out", tmp_path / "picture.png"),
        ("compare", example[1], example[1], "--data", rows),
        ("info", example[1]),
    ):
        done = CliRunner().invoke(cli.app, [*map(str, words)])
        assert done.exit_code == 0, done.output


def test_config_repeats_the_choice(example: tuple[Any, pathlib.Path], tmp_path: pathlib.Path) -> None:
    settings = json.loads((example[1] / "config.json").read_text())["settings"]
    assert (settings["covariance"], settings["num_components"]) == (["tied", "full"], [1, 2, 3])
    done = run("--config", example[1] / "config.json", "--out", tmp_path / "again")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "again" / "selection.csv").read_bytes() == (example[1] / "selection.csv").read_bytes()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_of_few_rows_fewer_numbers_are_tried_and_that_is_said(tmp_path: pathlib.Path) -> None:
    pd.DataFrame({"a": [0.0, 0.1, 5.0]}).to_csv(tmp_path / "rows.csv", index=False)
    done = run(tmp_path / "rows.csv", "--restarts", 1, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert "Note: from 1 to 3 components were tried, not 10: there are no more rows" in done.stderr
    settings = json.loads((tmp_path / "run" / "config.json").read_text())["settings"]
    assert (settings["num_components"], settings["covariance"]) == ([1, 2, 3], ["diag", "tied_diag"])


# --- Followed, and broken off


def followed(shown: Shown, numbers: Any, covariance: Any) -> Any:
    settings = run_settings.RunSettings("/rows.csv", numbers, covariance=covariance, restarts=1, posterior="mean_field")
    return run_fit.run_fit(settings, Rows(ROWS), None, shown, shown.is_stopped)


def test_every_fit_is_shown_with_its_shape_among_all_fits() -> None:
    shown = Shown()
    found = followed(shown, [1, 2], ["full", "diag"])
    heads = list(dict.fromkeys(words.partition("\n")[0] for words in shown.words if "\n" in words))
    assert heads == [
        "diag, 1 component (1 of 4)",
        "diag, 2 components (2 of 4)",
        "full, 1 component (3 of 4)",
        "full, 2 components (4 of 4)",
    ]
    assert found.notes == [] and len(found.occupied) == len(found.result.history["elbo"])


@pytest.mark.parametrize(
    ("stop_at", "note"),
    [
        (
            "full, 2 components (4 of 4)\nstart",
            "stopped by Ctrl-C after 3 of 4 fits: the choice is among those, the last of them full with 1",
        ),
        ("diag, 2 components (2 of 4)\nheld", "stopped by Ctrl-C after 1 of 4 fits: only diag with 1 is there"),
    ],
)
def test_stopped_choice_compares_the_fits_that_are_complete(stop_at: str, note: str) -> None:
    found = followed(Shown(stop_at), [1, 2], ["full", "diag"])
    assert found.notes == [note] and found.selection is not None
    assert found.result is found.selection.best
    choice = report_choice.choice_of(found.selection, None)
    assert choice is not None and choice.paragraphs[0]
