"""`tfgmm fit` leaves a folder that is whole, says what it did, and can be repeated and broken off."""

from __future__ import annotations

import csv
import os
import pathlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from exports import PACKAGE_ROOT
from quick_fits import quickly
from typer.testing import CliRunner

import tfgmm
from tfgmm.cli import app as cli
from tfgmm.cli.run import fit
from tfgmm.families.variational import COMPONENTS
from tfgmm.families.weights import WEIGHTS

GEYSER = PACKAGE_ROOT / "training" / "data" / "old_faithful.csv"
FILES = ["config.json", "figures/density.png", "figures/restarts.png", "history.csv", "report.html", "summary.txt"]


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(cli.app, ["fit", *quickly(*arguments)])


def example_of_the_help(out: pathlib.Path) -> list[str]:
    example = re.search(r"Example: tfgmm fit (.+)", " ".join(run("--help").stdout.split()))
    assert example is not None and "/tmp/geyser_run" in example[1]
    return example[1].partition("/tmp/geyser_run")[0].split() + [str(out)]


SCRIPT = """
import sys
from tfgmm.cli import app as cli
for command in ("fit", "score", "sample", "plot", "compare", "report", "export", "demo", "verify", "info"):
    try:
        cli.app([command, "--help"])
    except SystemExit as end:
        assert end.code == 0
assert not {"tensorflow", "keras", "numpy"} & sys.modules.keys()
print("--- without TensorFlow")
cli.app(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, pathlib.Path]:
    """The example of the help in a fresh process, its output piped; and the folder that it left, to read only."""
    out = tmp_path_factory.mktemp("runs") / "geyser"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "MPL"))}
    environment |= {"PYTHONPATH": str(PACKAGE_ROOT), "FORCE_COLOR": "1"}
    command = [sys.executable, "-c", SCRIPT, "fit", *example_of_the_help(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE_ROOT, env=environment, timeout=200)
    return done, out


def files_of(folder: pathlib.Path) -> list[str]:
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return [path for path in paths if not path.startswith("model/")]


def history_of(folder: pathlib.Path) -> pd.DataFrame:
    return pd.read_csv(folder / "history.csv")


# --- What it leaves


def test_example_of_the_help_runs_and_says_what_it_did(example: tuple[Any, pathlib.Path]) -> None:
    done, out = example
    assert (done.returncode, done.stderr) == (0, "")  # nothing of TensorFlow's
    assert "\x1b" not in done.stdout and "\r" not in done.stdout
    first, *lines = done.stdout.partition("--- without TensorFlow\n")[2].splitlines()
    assert first == f"{GEYSER}: columns 'eruptions', 'waiting'"
    assert lines[0] == "Mixture of 2 Gaussians (full, dirichlet weights), 272 rows x 2 columns"
    assert lines[-1] == f"{out}: config.json, figures/, history.csv, model/, report.html, summary.txt"
    assert f"tfgmm.load_scorer(&#39;{out}/model&#39;)" in (out / "report.html").read_text(encoding="utf-8")
    assert lines[:-2] == (out / "summary.txt").read_text().splitlines()
    assert files_of(out) == FILES and os.listdir(out.parent) == [out.name]


def test_model_in_the_folder_is_the_one_that_the_summary_tells_of(example: tuple[Any, pathlib.Path]) -> None:
    scorer = tfgmm.load_scorer(example[1] / "model")
    assert scorer.column_names == ("eruptions", "waiting")
    told = re.search(r"log likelihood (-[\d.]+)", (example[1] / "summary.txt").read_text())
    assert told is not None
    found = float(np.sum(scorer.log_prob(pd.read_csv(GEYSER)), dtype=np.float64))
    assert abs(found - float(told[1])) < 0.01  # float32 scores of 272 rows, and two decimals


def test_model_in_the_folder_is_numbers_alone_unless_a_saved_model_is_asked_for(
    example: tuple[Any, pathlib.Path], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, no_graph: None
) -> None:
    assert sorted(os.listdir(example[1] / "model")) == ["model_card.json", "parameters.npz"]
    loaded: list[str] = []
    monkeypatch.setattr("tfgmm.common.quiet.load_tensorflow", lambda _: loaded.append("TensorFlow"))
    options = ("--components", 1, "--restarts", 1, "--columns", "waiting", "--out", tmp_path / "run")
    done = run(GEYSER, *options, "--saved-model")
    assert (done.exit_code, done.stderr, loaded) == (0, "", ["TensorFlow"])
    assert "saved_model.pb" in os.listdir(tmp_path / "run" / "model")
    done = run("--config", tmp_path / "run" / "config.json", "--out", tmp_path / "run", "--overwrite")
    assert (done.exit_code, done.stderr, loaded) == (0, "", ["TensorFlow"])
    assert "saved_model.pb" not in os.listdir(tmp_path / "run" / "model")


def test_history_has_a_line_per_sweep_and_the_bound_never_falls(example: tuple[Any, pathlib.Path]) -> None:
    history = history_of(example[1])
    assert list(history["sweep"]) == list(range(1, len(history) + 1))
    assert (np.diff(history["elbo"]) >= -1e-9 * abs(history["elbo"].iloc[0])).all()
    np.testing.assert_allclose(history["loss"], -history["elbo"] / 272)
    assert (history["occupied"] == 2).all()
    assert f"bound {history['elbo'].iloc[-1]:.2f} nats" in example[0].stdout


def test_figures_are_pictures(example: tuple[Any, pathlib.Path]) -> None:
    for name in ("density", "restarts"):
        picture = matplotlib.image.imread(example[1] / "figures" / f"{name}.png")
        assert min(picture.shape[:2]) > 300 and np.ptp(picture[..., :3]) > 0.5


def test_config_repeats_the_run_from_anywhere(
    example: tuple[Any, pathlib.Path], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("--config", example[1] / "config.json", "--out", "again")
    assert (done.exit_code, done.stderr) == (0, "")  # nor a note: the rows are the same
    again = tmp_path / "again"
    for name in ("history.csv", "config.json", "summary.txt"):
        assert (again / name).read_bytes() == (example[1] / name).read_bytes()
    first, second = (np.load(folder / "model" / "parameters.npz") for folder in (example[1], again))
    assert sorted(first) == sorted(second)
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_validation_and_three_columns_in_the_place_of_an_earlier_run(
    example: tuple[Any, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(150, 3)) + np.repeat([[0.0], [9.0]], 75, axis=0), columns=["a", "b", "c"])
    frame.to_parquet(tmp_path / "rows.parquet")
    frame[:20].to_csv(tmp_path / "more.csv", index=False)
    out = tmp_path / "run"
    out.mkdir()
    (out / "config.json").write_text((example[1] / "config.json").read_text())
    done = run(
        tmp_path / "rows.parquet", "--components", 2, "--restarts", 2, "--validation", tmp_path / "more.csv",
        "--out", out, "--overwrite",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert files_of(out) == [name.replace("density", "pairs") for name in FILES]
    assert np.isfinite(history_of(out)["val_loss"]).all()


# --- What it is asked for


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, dict[str, Any]]]:
    """The calls of `fit_opened`, which fails instead of fitting."""
    calls: list[tuple[Any, dict[str, Any]]] = []

    def fit_opened(rows: Any, survey: Any, numbers: Any, options: Any, callbacks: Any) -> Any:
        calls.append((rows, {"num_components": numbers, **vars(options)}))
        raise ValueError("that is enough")

    monkeypatch.setattr(fit, "fit_opened", fit_opened)
    return calls


OPTIONS: dict[str, tuple[list[str], str, Any]] = {
    "components": (["--components", "5"], "num_components", 5),
    "covariance": (["--covariance", "tied"], "covariance", "tied"),
    "weights": (["--weight-prior", "stick_breaking"], "weights", "stick_breaking"),
    "several components": (["--components", "2:4"], "num_components", (2, 3, 4)),
    "restarts": (["--restarts", "3"], "restarts", 3),
    "max_sweeps": (["--max-sweeps", "7"], "max_sweeps", 7),
    "seed": (["--seed", "11"], "seed", 11),
    "criteria_at": (["--criteria-at", "mode"], "criteria_at", "mode"),
    "moves": (["--moves"], "moves", True),
    "no moves": (["--no-moves"], "moves", False),
}


@pytest.mark.parametrize("with_config", [True, False])
def test_every_option_arrives_and_goes_before_the_config(
    example: tuple[Any, pathlib.Path], tmp_path: pathlib.Path, asked: Any, with_config: bool
) -> None:
    base = ["--config", str(example[1] / "config.json")] if with_config else [str(GEYSER), "--components", "2"]
    defaults = {
        "num_components": 2,
        "covariance": "full" if with_config else "diag",
        "weights": "dirichlet",
        "restarts": "auto",
        "max_sweeps": 200,
        "seed": 0,
        "criteria_at": "mean",
        "moves": "auto",
    }
    for words, name, value in OPTIONS.values():
        done = run(*base, *words, "--out", tmp_path / "run")
        assert done.exit_code == 1 and "that is enough" in done.stderr
        found = {key: asked[-1][1][key] for key in defaults}
        assert found == {**defaults, name: value}
    assert os.listdir(tmp_path) == []


def test_rows_for_validation_arrive_in_the_columns_of_the_fit(tmp_path: pathlib.Path, asked: Any) -> None:
    (tmp_path / "more.csv").write_text("waiting,place,eruptions\n50,sea,2.5\n")
    run(GEYSER, "--components", 1, "--out", tmp_path / "run", "--validation", tmp_path / "more.csv")
    run(GEYSER, "--components", 1, "--out", tmp_path / "run")
    np.testing.assert_array_equal(asked[0][1]["validation_data"].values, [[2.5, 50.0]])
    assert asked[1][1]["validation_data"] is None


def test_help_names_all_choices_of_the_model() -> None:
    described = run("--help").stdout
    assert all(choice in described for choice in (*COMPONENTS, *WEIGHTS))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_of_numbers_are_picked_and_the_others_named(tmp_path: pathlib.Path, asked: Any, kind: str) -> None:
    path = tmp_path / f"rows.{kind}"
    frame = pd.DataFrame({"place": ["river", "sea"], "a": [1.5, 2.5], "b, c": [3, 4], "wet": [True, False]})
    frame.to_csv(path, index=True) if kind == "csv" else frame.to_parquet(path)
    done = run(path, "--components", 1, "--out", tmp_path / "run")
    place = "text, for example 'river' in row 0" if kind == "csv" else "text"
    unnamed = "'' (without a name), " if kind == "csv" else ""
    assert done.stdout == f"{path}: columns 'a', 'b, c', 'wet'; left out: {unnamed}'place' ({place})\n"
    rows = asked[0][0]
    assert rows.column_names == ("a", "b, c", "wet")
    np.testing.assert_array_equal(rows.values, [[1.5, 3.0, 1.0], [2.5, 4.0, 0.0]])
    run(path, "--components", 1, "--out", tmp_path / "run", "--columns", 'wet, "b, c"')
    assert asked[1][0].column_names == ("wet", "b, c")


# --- Ctrl-C


@pytest.fixture(autouse=True)
def python_hears_ctrl_c() -> Iterator[None]:
    """Tests may run in the background, where a shell has Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ignored_ctrl_c_stays_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupt(monkeypatch, 2)
    done = run(GEYSER, "--components", 2, "--columns", "waiting", "--restarts", 1, "--out", tmp_path / "run")
    assert (done.exit_code, done.stderr) == (0, "")


def interrupt(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Has Ctrl-C pressed at the end of the first sweep."""
    counted = fit.num_occupied

    def num_occupied(posterior: Any) -> int:
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
        return counted(posterior)

    monkeypatch.setattr(fit, "num_occupied", num_occupied)


def test_ctrl_c_keeps_the_model_as_it_stands_and_says_so(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(monkeypatch, 1)
    handler = signal.getsignal(signal.SIGINT)
    done = run(GEYSER, "--components", 2, "--columns", "waiting", "--restarts", 1, "--out", tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is handler
    assert done.exit_code == 0
    note = "stopped by Ctrl-C after 1 sweep: the model is as it stood then"
    assert done.stderr.splitlines() == [
        "Ctrl-C: ending after this sweep. Once more to leave at once, with nothing written.",
        f"Note: {note}",
    ]
    assert (tmp_path / "run" / "summary.txt").read_text().endswith(f"\nNote: {note}\n")
    assert len(history_of(tmp_path / "run")) == 1
    assert files_of(tmp_path / "run") == [name for name in FILES if "restarts" not in name]
    assert np.isfinite(tfgmm.load_scorer(tmp_path / "run" / "model").log_prob([[70.0]])).all()


def test_second_ctrl_c_leaves_at_once_and_nothing(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(monkeypatch, 2)
    done = run(GEYSER, "--components", 2, "--restarts", 1, "--out", tmp_path / "run")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[1:] == ["Error: Stopped by Ctrl-C; nothing was written."]
    assert os.listdir(tmp_path) == []


# --- The console


@pytest.mark.slow
@pytest.mark.parametrize("colour", [True, False])
def test_terminal_shows_what_goes_on_and_no_colour_is_respected(tmp_path: pathlib.Path, colour: bool) -> None:
    rows = np.random.default_rng(0).normal(size=(300_000, 4)).round(3)
    with open(tmp_path / "rows.csv", "w", newline="") as file:
        csv.writer(file).writerows([["a", "b", "c", "d"], *rows.tolist()])
    # Long enough for a display that is drawn ten times a second
    shape = ["--components", "16", "--covariance", "full"]
    arguments = ["fit", str(tmp_path / "rows.csv"), *shape, "--out", str(tmp_path / "run")]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE_ROOT), "TERM": "xterm", "COLUMNS": "120"}
    environment |= {} if colour else {"NO_COLOR": "1"}
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tfgmm", *arguments], stdout=subprocess.PIPE, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65_536):
            shown += part
    except OSError:  # what the end of a terminal reads like on Linux
        pass
    assert process.wait() == 0 and process.stdout is not None
    assert b"\x1b" not in process.stdout.read()
    process.stdout.close()
    os.close(ours)
    text = shown.decode()
    for words in ("reading the rows", "start ", " of 8", "sweep 1", "of 16 occupied", "rows/s", "bound -", "writing"):
        assert words in text
    assert bool(re.search(r"\x1b\[[0-9;]*3\d", text)) is colour
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    seconds = [60 * int(minutes) + int(rest) for minutes, rest in re.findall(r"0:(\d\d):(\d\d)", plain)]
    assert seconds == sorted(seconds)
    assert len(set(seconds)) >= seconds[-1] - 2  # it moved in all seconds but two, on a machine with other work
