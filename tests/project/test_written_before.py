"""Files that earlier versions wrote load, and give the numbers that they gave; see tests/written_before/README.md."""

from __future__ import annotations

import json
import pathlib
import shutil
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import tfgmm
from tfgmm.cli import app as cli

BEFORE = pathlib.Path(__file__).parents[1] / "written_before"
NAMES = ["length", "width"]


def assert_gives_the_numbers_of(name: str, mixture: Any) -> None:
    with np.load(BEFORE / f"{name}.npz") as numbers:
        rows = numbers["rows"]
        np.testing.assert_allclose(mixture.log_prob(rows), numbers["log_prob"], rtol=1e-6)
        np.testing.assert_allclose(mixture.responsibilities(rows), numbers["responsibilities"], rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(mixture.assign(rows), numbers["assignment"])


@pytest.mark.parametrize("name", ["closed_form_diag", "gradients_full"])
def test_keras_file(name: str) -> None:
    model = tfgmm.load_model(BEFORE / f"{name}.keras")
    assert_gives_the_numbers_of(name, model)
    assert model.num_data == 240 and list(model.column_names) == NAMES
    before = model.elbo
    assert before is not None
    history = model.fit(pd.read_csv(BEFORE / "rows.csv"), epochs=2, verbose=0)  # compiled as it was, training goes on
    assert len(history.history["loss"]) == 2 and np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize(
    ("name", "version"), [("export_1_full", 1), ("export_2_diag", 2), ("export_3_full", 3), ("run/model", 3)]
)
def test_export(name: str, version: int) -> None:
    scorer = tfgmm.load_scorer(BEFORE / name)
    assert scorer.card["format_version"] == version
    assert_gives_the_numbers_of(name.removesuffix("/model"), scorer)


@pytest.mark.parametrize("name", ["export_2_diag", "export_3_full"])
@pytest.mark.slow
def test_graph_of_an_export_is_the_one_that_verify_expects(name: str) -> None:
    done = CliRunner().invoke(cli.app, ["verify", str(BEFORE / name)])
    assert done.exit_code == 0, done.stderr


def in_the_order_of(before: Any, again: Any) -> np.ndarray:
    """Returns the component of `again` that is nearest to each of `before`."""
    ours, theirs = before.plug_in().components["locs"], again.plug_in().components["locs"]
    order: np.ndarray = np.square(ours[:, None] - theirs).sum(axis=-1).argmin(axis=1)
    assert sorted(order) == list(range(len(ours)))
    return order


def test_fixed_priors_of_a_run_give_the_same_fit() -> None:
    """Starts, and with them the order of components, have changed since."""
    before = tfgmm.load_scorer(BEFORE / "run" / "model")
    priors = tfgmm.Priors.from_dict(before.card["priors"])
    assert not priors.is_learned and priors.loc_scale_grid is None
    result = tfgmm.fit_mixture(BEFORE / "rows.csv", 3, covariance="full", priors=priors)
    assert result.elbo == pytest.approx(before.card["training"]["elbo_nats"], rel=1e-12)
    order = in_the_order_of(before, result.variational)
    for name, values in before.plug_in().components.items():
        np.testing.assert_allclose(result.variational.plug_in().components[name][order], values, rtol=1e-9)


def test_run_folder_is_repeated_with_the_priors_of_today(tmp_path: pathlib.Path) -> None:
    """Its config.json names none: it asks for what is the default."""
    config = json.loads((BEFORE / "run" / "config.json").read_text())
    rows = shutil.copy(BEFORE / "rows.csv", tmp_path)
    config["settings"]["data"] = str(rows)
    (tmp_path / "config.json").write_text(json.dumps(config))
    asked = ["--posterior", "mean_field", "--out", str(tmp_path / "again")]
    call = ["fit", "--config", str(tmp_path / "config.json"), *asked]
    done = CliRunner().invoke(cli.app, call)
    assert done.exit_code == 0, done.stderr
    before, again = (tfgmm.load_scorer(folder / "model") for folder in (BEFORE / "run", tmp_path / "again"))
    assert tfgmm.Priors.from_dict(again.card["priors"]) == tfgmm.Priors.from_data(rows, "full")
    table = pd.read_csv(rows)
    order = in_the_order_of(before, again)
    np.testing.assert_array_equal(again.assign(table), np.argsort(order)[before.assign(table)])


def test_mlflow_model() -> None:
    mlflow = pytest.importorskip("mlflow.pyfunc")
    with np.load(BEFORE / "mlflow_model.npz") as numbers:
        rows, expected = pd.DataFrame(numbers["rows"], columns=NAMES), dict(numbers)
    scores = mlflow.load_model(str(BEFORE / "mlflow_model")).predict(rows)
    np.testing.assert_allclose(scores["log_prob"], expected["log_prob"], rtol=1e-6)
    np.testing.assert_array_equal(scores["assignment"], expected["assignment"])
    responsibilities = scores[[f"responsibility_{k}" for k in range(3)]]
    np.testing.assert_allclose(responsibilities, expected["responsibilities"], rtol=1e-5, atol=1e-7)
