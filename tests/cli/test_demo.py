"""`tfgmm demo` shows commands that a user can type, runs them, and takes the place of nothing but an earlier demo."""

from __future__ import annotations

import os
import pathlib
import re
import shlex
import subprocess
import sys
from typing import Any

import pytest
from exports import PACKAGE_ROOT
from typer.testing import CliRunner

import tfgmm
from tfgmm.cli import app as cli
from tfgmm.cli import demo

FILES = ["density.png", "old_faithful.csv", "run", "scored.csv"]


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(cli.app, ["demo", *map(str, arguments)])


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, pathlib.Path]:
    """The example of the help, its folder moved; and the folder, to read only. Page and figures are left out."""
    example = re.search(r"Example: tfgmm demo (.+?) Options", " ".join(run("--help").stdout.split()))
    assert example is not None
    out = tmp_path_factory.mktemp("demo") / "its folder"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfgmm.cli.run.folder._report", lambda *_: "a page")
        patch.setattr("tfgmm.report.pictures.drawings", lambda *_: ())
        return run(*(word.replace("/tmp/tfgmm_demo", str(out)) for word in example[1].split())), out


def test_demo_leaves_what_it_says(shown: tuple[Any, pathlib.Path]) -> None:
    done, out = shown
    assert (done.exit_code, done.stderr) == (0, "") and "\x1b" not in done.stdout
    assert sorted(os.listdir(out)) == FILES
    for path in re.findall(rf"{re.escape(str(out))}/[\w./]+", done.stdout):
        assert pathlib.Path(path).exists() or path.endswith("new_rows.csv"), path
    assert "272 rows scored" in done.stdout and "Mixture of 2 Gaussians (full" in done.stdout
    assert (out / "scored.csv").read_text().splitlines()[0].replace('"', "") == (
        "eruptions,waiting,log_prob,assignment,outlier"
    )
    assert tfgmm.load_scorer(out / "run" / "model").card["training"]["num_data"] == 272


def test_commands_that_are_shown_are_those_that_were_run(
    shown: tuple[Any, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    done, out = shown
    commands = [shlex.split(line) for line in re.findall(r"^ *\$ (.+)$", done.stdout, flags=re.M)]
    assert [words[1] for words in commands] == ["fit", "score", "plot", "sample", "fit", "--help"]
    moved = [word.replace(str(out / "scored.csv"), str(tmp_path / "scored.csv")) for word in commands[1][1:]]
    assert CliRunner().invoke(cli.app, moved).exit_code == 0
    assert (tmp_path / "scored.csv").read_bytes() == (out / "scored.csv").read_bytes()


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
@pytest.mark.parametrize("earlier", ["a file", "a folder of others", "a demo"])
def test_what_stands_there_is_kept(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, earlier: str, options: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "tfgmm_demo"
    if earlier == "a file":
        out.touch()
    else:
        out.mkdir()
        (out / "old_faithful.csv").write_text(demo.ROWS.read_text() if earlier == "a demo" else "eruptions,waiting\n")
    asked: list[list[str]] = []
    monkeypatch.setattr(demo, "_run", lambda context, words: asked.append(words))
    done = run(*options)  # in the default folder
    if earlier == "a demo" and options:
        assert done.exit_code == 0 and len(asked) == 3 and all(words[-1] == "--overwrite" for words in asked)
        return
    assert (done.exit_code, done.stdout, asked) == (1, "", []) and done.stderr.count("\n") == 1
    assert done.stderr.startswith("Error: `--out` must be a new folder. Received: tfgmm_demo, which ")
    assert ("--overwrite" in done.stderr) is (earlier == "a demo")


def test_step_that_fails_ends_the_demo(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no space")

    monkeypatch.setattr("tfgmm.cli.run.folder.check_out", fail)
    done = run("--out", tmp_path / "demo")
    assert done.exit_code == 1 and done.stderr == "Error: no space\n" and "2. " not in done.stdout


@pytest.mark.slow
def test_demo_in_a_fresh_process_shows_nothing_of_tensorflow(tmp_path: pathlib.Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "MPL"))}
    environment |= {"PYTHONPATH": str(PACKAGE_ROOT), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "tfgmm", "demo"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=200)
    assert (done.returncode, done.stderr) == (0, "") and "\x1b" not in done.stdout
    assert sorted(os.listdir(tmp_path / "tfgmm_demo")) == FILES
    assert "<h1>Mixture of 2 Gaussians</h1>" in (tmp_path / "tfgmm_demo" / "run" / "report.html").read_text("utf-8")
