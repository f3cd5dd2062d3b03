"""What all commands share: a folder of a run is a model, every failure is one line, every help has an example."""

from __future__ import annotations

import errno
import os
import pathlib
import re
import shutil
from typing import Any

import numpy as np
import pytest
import typer
from exports import FRAME, PACKAGE_ROOT
from scored_files import read, write
from typer.testing import CliRunner

import tfgmm
from tfgmm.cli import app as cli
from tfgmm.cli import display, shared
from tfgmm.common import quiet

NAMES = ["compare", "demo", "export", "fit", "info", "plot", "report", "sample", "score", "verify"]


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def test_every_command_has_an_example_in_its_help() -> None:
    assert sorted(command.name or command.callback.__name__ for command in cli.app.registered_commands) == NAMES
    for name in NAMES:
        assert f"Example: tfgmm {name} " in " ".join(run(name, "--help").stdout.split()), name


@pytest.mark.parametrize(("name", "words"), [("score", "272 rows scored"), ("info", "eruptions, waiting")])
def test_example_of_the_help_runs(
    name: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    example = re.search(
        rf"Example: tfgmm {name} (.+?) (?:A folder|In a database|For other programs)",
        " ".join(run(name, "--help").stdout.split()),
    )
    assert example is not None
    monkeypatch.chdir(PACKAGE_ROOT)
    done = run(name, *example[1].replace("/tmp/", f"{tmp_path}/").split())
    assert (done.exit_code, done.stderr) == (0, "") and words in done.stdout


@pytest.fixture
def run_folder(tmp_path: pathlib.Path, whole: pathlib.Path) -> pathlib.Path:
    """A folder as `tfgmm fit` leaves it, as far as commands look at it."""
    shutil.copytree(whole, tmp_path / "run" / "model")
    (tmp_path / "run" / "config.json").write_text("{}")
    return tmp_path / "run"


def test_folder_of_a_run_stands_for_its_model(
    run_folder: pathlib.Path, whole: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shared.model_folder(whole) == whole and shared.model_folder(run_folder) == run_folder / "model"
    rows = write(tmp_path / "rows.csv", FRAME)
    assert run("score", "--model", run_folder, "--in", rows, "--out", tmp_path / "a.parquet").exit_code == 0
    expected = tfgmm.load_scorer(whole).log_prob(FRAME)
    np.testing.assert_allclose(read(tmp_path / "a.parquet")["log_prob"].to_numpy(), expected, rtol=1e-6)
    assert run("sample", "--model", run_folder, "--num-rows", 3, "--out", tmp_path / "b.csv").exit_code == 0
    assert "width, height, depth" in " ".join(run("info", run_folder).stdout.split())

    def verify(folder: pathlib.Path, name: str) -> None:
        raise ValueError(f"asked about {folder}")  # the check itself takes seconds, and has tests of its own

    monkeypatch.setattr("tfgmm.export.verify.verify_export", verify)
    assert run("verify", run_folder).stderr == f"Error: asked about {run_folder / 'model'}\n"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("nothing", "which is not there"),
        ("file", "which is a file"),
        ("empty", "an empty folder"),
        ("others", "a folder without model_card.json: it holds a0, a1, a2, a3 and 2 more"),
    ],
)
def test_what_is_no_model_is_said_to_be_what_it_is(tmp_path: pathlib.Path, kind: str, words: str) -> None:
    path = tmp_path / "model"
    if kind == "file":
        path.touch()
    elif kind != "nothing":
        path.mkdir()
    if kind == "others":
        for number in range(6):
            (path / f"a{number}").touch()
    with pytest.raises(FileNotFoundError) as caught:
        shared.model_folder(path, "A")
    assert str(caught.value).startswith("`A` must be a folder that") and f"Received: {path}, {words}." in str(
        caught.value
    )


def test_damaged_model_is_called_by_its_option(run_folder: pathlib.Path) -> None:
    (run_folder / "model" / "parameters.npz").write_bytes(b"")
    with pytest.raises(ValueError, match="^`A` must be a complete, unchanged export.*parameters.npz"):
        shared.read_model(run_folder, "A")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (shared.UsageError("two\nlines"), 2, "Error: TWO LINES\n"),
        (ValueError("wrong\x1b[2J"), 1, "Error: WRONG?[2J\n"),
        (ModuleNotFoundError("missing"), 1, "Error: MISSING\n"),
        (KeyboardInterrupt(), 1, "Error: Stopped by Ctrl-C; nothing was written.\n"),
    ],
)
def test_failure_is_one_line_and_an_exit_code(
    error: BaseException, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as caught, shared.errors_as_one_line(str.upper):
        raise error
    assert caught.value.exit_code == code and capsys.readouterr() == ("", words)


@pytest.mark.parametrize(("error", "shown"), [(KeyboardInterrupt, ""), (RuntimeError, "chatter\n")])
def test_chatter_is_shown_for_failures_and_not_for_ctrl_c(
    error: type[BaseException], shown: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(error), quiet.stderr_kept_back():
        os.write(2, b"chatter\n")
        raise error
    os.write(2, b"after\n")
    assert capfd.readouterr().err == f"{shown}after\n"


def test_reader_that_hung_up_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("tfgmm.cli.fit._settings", broken)
    done = run("fit", "rows.csv", "--out", "new")
    assert (done.exit_code, done.output) == (1, "")


def test_what_is_not_foreseen_is_not_hidden() -> None:
    with pytest.raises(KeyError), shared.errors_as_one_line():
        raise KeyError("a mistake of ours")


def test_work_is_done_once_tensorflow_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr("tfgmm.common.quiet.load_tensorflow", lambda _: order.append("loaded"))
    assert shared.with_tensorflow(lambda shown: (order.append(type(shown).__name__), 7)[1], "this") == 7
    assert order == ["loaded", display._Plain.__name__]


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (b"width,height\n1,\xff\n", "Save it as UTF-8, or name what it is: --encoding latin-1, for example."),
        (b"width,height,depth\n1,2,4\n3\n", "--skip-rows leaves out lines at the top."),
    ],
)
def test_advice_is_for_the_shell(contents: bytes, words: str, whole: pathlib.Path, tmp_path: pathlib.Path) -> None:
    rows = tmp_path / "rows (1).csv"
    rows.write_bytes(contents)
    for arguments in (("fit", rows, "--components", 2), ("plot", "--model", whole, "--data", rows)):
        done = run(*arguments, "--out", tmp_path / "new.png")
        assert done.exit_code == 1 and words in done.stderr and "pandas" not in done.stderr
        assert done.stderr.count("\n") == 1 and "rows (1).csv" in done.stderr


def test_nothing_is_written_into_an_export(run_folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "link").symlink_to(run_folder / "model")
    before = sorted(run_folder.rglob("*"))
    rows, model = write(tmp_path / "rows.csv", FRAME), ("--model", run_folder)
    for arguments, name in [
        (("fit", rows, "--components", 2), "new"),
        (("score", *model, "--in", rows), "a.csv"),
        (("sample", *model, "--num-rows", 3), "variables/a.csv"),
        (("plot", *model), "a.png"),
        (("report", *model, "--data", rows), "a.html"),
        (("demo",), "new"),
    ]:
        for folder in (run_folder / "model", tmp_path / "link"):
            done = run(*arguments, "--out", folder / name)
            assert done.exit_code == 2 and "`--out` must not be inside an export" in done.stderr, done.output
    assert sorted(run_folder.rglob("*")) == before
    (tmp_path / "model_card.json").write_text("{}")  # somebody else's
    assert run("sample", *model, "--num-rows", 3, "--out", tmp_path / "new" / "a.csv").exit_code == 0
    assert len(read(tmp_path / "new" / "a.csv")) == 3
