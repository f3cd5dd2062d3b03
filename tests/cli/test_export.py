"""`tfgmm export` makes a SavedModel, an ONNX file or a LiteRT file of the numbers in a folder, whole or not at all."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
from typing import Any

import numpy as np
import pytest
from exports import FILES, PACKAGE_ROOT, ROWS, K, card_of, contents, make_sums_right, write_card
from typer.testing import CliRunner

import tfgmm
from tfgmm.cli import app as cli
from tfgmm.export import verify

SIZES = f"{K} components, {ROWS.shape[1]} columns, diag"


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(cli.app, ["export", *map(str, arguments)])


@pytest.fixture
def run_folder(tmp_path: pathlib.Path, light: pathlib.Path) -> pathlib.Path:
    """A folder as `tfgmm fit` leaves it, as far as this command looks at it; with files to be kept beside it."""
    shutil.copytree(light, tmp_path / "run" / "model")
    (tmp_path / "run" / "config.json").write_text("{}")
    (tmp_path / "taken.onnx").write_text("mine")
    return tmp_path / "run"


# --- What it makes


def test_saved_model_is_whole_and_has_the_numbers_of_the_run(
    run_folder: pathlib.Path, light: pathlib.Path, model: Any
) -> None:
    out = run_folder.with_name("served")
    done = run(run_folder, "--saved-model", out)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"{out}: a SavedModel of {run_folder / 'model'}, {SIZES}\n"
    assert sorted(contents(out)) == sorted(FILES)
    assert (out / "parameters.npz").read_bytes() == (light / "parameters.npz").read_bytes()
    ours, theirs = card_of(out), card_of(light)
    for field in ("model", "priors", "training", "parameters"):
        assert ours[field] == theirs[field]
    assert {"tensorflow", "keras"} < ours["versions"].keys()
    assert max(verify.verify_export(out).largest_differences.values()) < 1e-6


@pytest.mark.parametrize(("option", "name"), [("--onnx", "mixture.onnx"), ("--litert", "mixture.tflite")])
def test_files_for_other_runtimes_are_those_of_the_functions(
    run_folder: pathlib.Path, model: Any, option: str, name: str
) -> None:
    out, function = run_folder.with_name(name), {"--onnx": tfgmm.export_onnx, "--litert": tfgmm.export_litert}[option]
    done = run(run_folder / "model", option, out)
    assert (done.exit_code, done.stderr) == (0, "")
    what = {"--onnx": "an ONNX file", "--litert": "a LiteRT file"}[option]
    assert done.stdout == f"{out}: {what} of {run_folder / 'model'}, {SIZES}\n"
    expected = function(model, run_folder.with_name(f"theirs{out.suffix}")).read_bytes()
    assert abs(len(out.read_bytes()) - len(expected)) < 200  # converters put names of their own into it
    if option == "--onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
        [found] = session.run(["log_prob"], {"x": ROWS.astype(np.float32)})
        np.testing.assert_allclose(found, model.log_prob(ROWS), rtol=0, atol=1e-4)
        assert session.get_modelmeta().custom_metadata_map["column_names"] == '["width", "height", "depth"]'


def test_export_in_its_own_place_keeps_the_numbers(run_folder: pathlib.Path, light: pathlib.Path) -> None:
    place = run_folder / "model"
    assert "--overwrite" in run(place, "--saved-model", place).stderr
    done = run(place, "--saved-model", place, "--overwrite")
    assert done.exit_code == 0, done.stderr
    assert (place / "parameters.npz").read_bytes() == (light / "parameters.npz").read_bytes()
    assert sorted(contents(place)) == sorted(FILES)


@pytest.mark.slow
def test_examples_of_the_help_run(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    text = " ".join(run("--help").stdout.split())
    examples = re.findall(r"tfgmm export (saved_models/old_faithful .+?/tmp/\S+)", text)
    assert len(examples) == 2
    monkeypatch.chdir(PACKAGE_ROOT)
    for example in examples:
        done = run(*example.replace("/tmp/", f"{tmp_path}/").split())
        assert (done.exit_code, done.stderr) == (0, ""), done.stderr


# --- What it refuses


REFUSALS: dict[str, tuple[list[str], int, str]] = {
    "nothing to make": (["run"], 2, "must be given. Received: none. Say what to make"),
    "two things to make": (["run", "--onnx", "a.onnx", "--saved-model", "b"], 2, "Received: --saved-model and --onnx."),
    "no run": (["--onnx", "a.onnx"], 2, "Missing argument"),
    "another ending": (
        ["run", "--onnx", "a.pb"],
        2,
        "`--onnx` must be a file whose name ends in .onnx. Received: a.pb",
    ),
    "the ending of the other": (
        ["run", "--litert", "a.onnx"],
        2,
        "`--litert` must be a file whose name ends in .tflite",
    ),
    "inside an export": (["run", "--onnx", "run/model/a.onnx"], 2, "`--onnx` must not be inside an export"),
    "a folder inside one": (["run", "--saved-model", "run/model/b"], 2, "`--saved-model` must not be inside an export"),
    "a folder that is not there": (["none", "--onnx", "a.onnx"], 1, "`RUN` must be a folder that"),
    "a folder that is no run": ([".", "--onnx", "a.onnx"], 1, "`RUN` must be a folder that"),
    "a file": (["taken.onnx", "--onnx", "a.onnx"], 1, "which is a file"),
    "a file that is there": (["run", "--onnx", "taken.onnx"], 1, "`--onnx` must be a new file unless --overwrite"),
    "a folder that is there": (["run", "--saved-model", "run"], 1, "`--saved-model` must be a new folder"),
    "a folder of others": (["run", "--saved-model", "run", "--overwrite"], 1, "nothing was touched"),
    "a folder in place of a file": (["run", "--onnx", "folder.onnx", "--overwrite"], 1, "`--onnx` must be a file."),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusal_is_one_line_and_changes_nothing(
    run_folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    place = run_folder.parent
    monkeypatch.chdir(place)
    monkeypatch.setattr("tfgmm.common.quiet.load_tensorflow", lambda _: pytest.fail("it was loaded for nothing"))
    (place / "folder.onnx").mkdir()
    before, names = contents(place), sorted(os.listdir(place))
    arguments, code, words = REFUSALS[case]
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (code, "")
    assert words in " ".join(done.stderr.split())
    if case != "no run":  # typer's own
        assert done.stderr.startswith("Error: ") and "Received: " in done.stderr and done.stderr.count("\n") == 1
    assert contents(place) == before and sorted(os.listdir(place)) == names


def test_damaged_folder_is_refused(run_folder: pathlib.Path) -> None:
    with open(run_folder / "model" / "parameters.npz", "ab") as file:
        file.write(b"x")
    done = run(run_folder, "--onnx", run_folder.with_name("a.onnx"))
    assert done.exit_code == 1 and "`RUN` must be a complete, unchanged export. Received: " in done.stderr


def test_export_of_an_earlier_version_has_no_draws_for_a_saved_model(run_folder: pathlib.Path) -> None:
    from exports import write_parameters

    model, drawn = run_folder / "model", ("drawn_log_weights", "drawn_locs", "drawn_precisions")
    card = card_of(model)
    for name in drawn:
        del card["parameters"][name]
    write_card(model, card | {"format_version": 2})
    write_parameters(model, **dict.fromkeys(drawn))
    make_sums_right(model)
    done = run(run_folder, "--saved-model", run_folder.with_name("served"))
    assert done.exit_code == 1 and done.stderr.startswith("Error: `RUN` must hold draws from the posterior")
    assert not run_folder.with_name("served").exists()
    assert run(run_folder, "--onnx", run_folder.with_name("a.onnx")).exit_code == 0


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize(
    ("options", "place"),
    [(["--saved-model", "served"], "tfgmm.export.served.save"), (["--onnx", "taken.onnx"], "onnx.save")],
)
def test_failure_keeps_what_was_there(
    run_folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, options: list[str], place: str
) -> None:
    monkeypatch.chdir(run_folder.parent)
    before, names = contents(run_folder.parent), sorted(os.listdir(run_folder.parent))

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(place, fail)
    done = run("run", *options, "--overwrite")
    assert (done.exit_code, done.stdout) == (1, "") and done.stderr.count("\n") == 1
    assert contents(run_folder.parent) == before and sorted(os.listdir(run_folder.parent)) == names


def test_mixture_that_float32_cannot_hold_is_one_line(
    run_folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfgmm.export.portable._fault_in", lambda *_: "nonsense")
    done = run(run_folder, "--onnx", run_folder.with_name("a.onnx"))
    assert done.exit_code == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(
        "Error: `RUN` must be a mixture that float32 can hold. Received: one whose file gives"
    )
    assert "Use --saved-model, which computes in float64" in done.stderr
    assert not run_folder.with_name("a.onnx").exists()


def test_missing_package_is_one_line(run_folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    done = run(run_folder, "--onnx", run_folder.with_name("a.onnx"))
    assert done.exit_code == 1 and done.stderr.count("\n") == 1
    assert 'Install them: pip install "tfgmm[onnx]"' in done.stderr


# --- What the other commands do with a folder of numbers alone


def test_other_commands_take_a_folder_without_a_graph(light: pathlib.Path, tmp_path: pathlib.Path) -> None:
    import pandas as pd

    rows = tmp_path / "rows.csv"
    pd.DataFrame(ROWS, columns=["width", "height", "depth"]).to_csv(rows, index=False)
    lines = {
        "score": ["--model", light, "--in", rows, "--out", tmp_path / "scored.csv"],
        "sample": ["--model", light, "--num-rows", 5, "--out", tmp_path / "new.csv"],
        "plot": ["--model", light, "--data", rows, "--out", tmp_path / "picture.png"],
        "report": ["--model", light, "--data", rows, "--out", tmp_path / "page.html"],
        "compare": [light, light, "--data", rows],
        "info": [light],
        "verify": [light],
    }
    printed = {}
    for name, arguments in lines.items():
        done = CliRunner().invoke(cli.app, [name, *map(str, arguments)], env={"COLUMNS": "120"})
        assert (done.exit_code, done.stderr) == (0, ""), (name, done.stderr)
        printed[name] = done.stdout
    assert all((tmp_path / name).stat().st_size for name in ("scored.csv", "new.csv", "picture.png", "page.html"))
    assert "numbers alone" in printed["info"] and "; written by tfgmm" in printed["compare"]
    assert "tensorflow" not in printed["compare"]
    first, *_, last = printed["verify"].splitlines()
    assert first == f"{light}: whole; it holds numbers alone" and last.startswith("graph: none")


def test_verify_of_numbers_alone_loads_no_tensorflow(light: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfgmm.common.quiet.load_tensorflow", lambda _: pytest.fail("it was loaded for nothing"))
    assert CliRunner().invoke(cli.app, ["verify", str(light)]).exit_code == 0
