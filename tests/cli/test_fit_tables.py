"""`tfgmm fit` on a file with gaps, weights and columns of errors, end to end, and what it says of them."""

from __future__ import annotations

import html
import json
import pathlib
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import tfgmm
from tfgmm.cli import app as cli
from tfgmm.cli.run.parsed import noise_of
from tfgmm.cli.run.settings import RunSettings

RNG = np.random.default_rng(2)
NUM_ROWS = 120
FRAME = pd.DataFrame(
    {
        "flux": np.concatenate([RNG.normal(20.0, 2.0, 70), RNG.normal(30.0, 3.0, 50)]).round(2),
        "size": np.concatenate([RNG.normal(1.0, 0.3, 70), RNG.normal(3.0, 0.4, 50)]).round(3),
        "flux_err": RNG.uniform(0.5, 3.0, NUM_ROWS).round(2),
        "count": RNG.choice([0, 1, 2, 5], NUM_ROWS),
    }
)
FRAME.loc[[3, 40, 90], "flux"] = np.nan
FRAME.loc[[7, 90], "size"] = np.nan  # of row 90 nothing is left
FEW = ["--components", 2, "--covariance", "full", "--restarts", 2, "--posterior", "mean_field"]
CARRIED = ["--weights", "count", "--noise", "flux=flux_err"]


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(cli.app, [*map(str, arguments)])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, pathlib.Path]:
    folder = tmp_path_factory.mktemp("table")
    FRAME.to_csv(folder / "table.csv", index=False, na_rep="NA")
    found = run("fit", folder / "table.csv", *FEW, *CARRIED, "--out", folder / "run")
    assert found.exit_code == 0, found.output
    return found, folder


def test_the_fit_is_that_of_python(done: tuple[Any, pathlib.Path]) -> None:
    _, folder = done
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what is missing, and what the weights do to rounded values
        result = tfgmm.fit_mixture(
            FRAME, 2, covariance="full", restarts=2, sample_weight="count", noise={"flux": "flux_err"}
        )
    scorer = tfgmm.load_scorer(folder / "run" / "model")
    np.testing.assert_allclose(scorer.log_prob([[25.0, 2.0]]), result.log_prob([[25.0, 2.0]]), rtol=1e-6)
    assert scorer.column_names == result.column_names == ("flux", "size")
    summary = scorer.card["training"]["data_summary"]
    assert (summary["weights_name"], summary["noise_columns"]) == ("count", ["flux_err", ""])


def test_it_says_what_was_missing_and_how_it_was_treated(done: tuple[Any, pathlib.Path]) -> None:
    found, folder = done
    kept = FRAME[(FRAME["count"] > 0) & FRAME[["flux", "size"]].notna().any(axis=1)]
    gaps = int(kept[["flux", "size"]].isna().to_numpy().sum())
    report = html.unescape((folder / "run" / "report.html").read_text(encoding="utf-8"))
    for text in (" ".join(found.output.split()), (folder / "run" / "summary.txt").read_text(encoding="utf-8"), report):
        assert f"{gaps} of {2 * len(kept)} values are missing" in text
        assert "integrated out, as missing at random" in text
        assert f"(column 'count'): {len(kept)} rows with the sum {kept['count'].sum():,}" in text
        assert "measurement noise" in text and "flux_err" in text
        assert f"{(FRAME['count'] == 0).sum()} rows of weight 0 are left out" in text


def test_it_is_repeated_from_its_settings(done: tuple[Any, pathlib.Path]) -> None:
    _, folder = done
    settings = json.loads((folder / "run" / "config.json").read_text())["settings"]
    assert (settings["sample_weight"], settings["noise"], settings["missing"]) == (
        "count",
        {"flux": "flux_err"},
        "integrate",
    )
    again = run("fit", "--config", folder / "run" / "config.json", "--out", folder / "again")
    assert again.exit_code == 0, again.output
    one, other = (tfgmm.load_scorer(folder / name / "model").plug_in() for name in ("run", "again"))
    np.testing.assert_array_equal(one.components["locs"], other.components["locs"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--missing", "refuse"], "`DATA` must hold finite numbers"),
        (["--missing", "drop"], "`--missing` must be"),
        (["--weights", "nowhere"], "`--weights`.*'nowhere'"),
        (["--weights", "flux", "--columns", "flux,size"], "`--weights`.*'flux'"),
        (["--noise", "flux"], "`--noise` must be a column and the column"),
        (["--noise", "flux=nowhere"], "`--noise`.*'nowhere'"),
        (["--noise", "nowhere=flux_err"], "`--noise`.*'nowhere'"),
        (["--noise", "flux=flux"], "`--noise`.*'flux'"),
    ],
)
def test_what_is_wrong_is_one_line(done: tuple[Any, pathlib.Path], arguments: list[str], words: str) -> None:
    import re

    _, folder = done
    found = run("fit", folder / "table.csv", *FEW, *arguments, "--out", folder / "not")
    assert found.exit_code in (1, 2) and not (folder / "not").exists()
    assert re.search(words, " ".join(found.output.split())), found.output
    assert found.output.count("Error:") == 1


def test_the_prior_of_the_weights_has_an_option_of_its_own(done: tuple[Any, pathlib.Path]) -> None:
    _, folder = done
    for number, options in enumerate((["--weight-prior", "stick_breaking"], ["--weights", "stick_breaking"])):
        out = folder / f"prior_{number}"
        found = run("fit", folder / "table.csv", *FEW, *options, "--out", out)
        assert found.exit_code == 0, found.output
        assert json.loads((out / "config.json").read_text())["settings"]["weights"] == "stick_breaking"


def test_settings_are_checked() -> None:
    assert noise_of(["a=b", "c=d"]) == {"a": "b", "c": "d"}
    for pairs in (["a"], ["=b"], ["a="], ["a=b", "a=c"]):
        with pytest.raises(ValueError, match="`noise` must be a column and"):
            noise_of(pairs)
    for wrong in ({"missing": "drop"}, {"noise": ["a"]}, {"sample_weight": 3}):
        with pytest.raises(ValueError, match=f"`{next(iter(wrong))}` must"):
            RunSettings(data="/rows.csv", **wrong)
