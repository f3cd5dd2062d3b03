"""Pictures and pages are made without TensorFlow, and without the packages that only other pictures need."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest
from exports import PACKAGE_ROOT

HEAVY = ("tensorflow", "keras", "tensorflow_probability", "pandas", "scipy.stats", "matplotlib.pyplot")

# With a GPU it is TensorFlow that scores rows
HEAD = "import sys\nfrom tfgmm.scoring import devices\ndevices.has_gpu = lambda: False\n"
TAIL = f"\nprint('loaded:', *(name for name in {HEAVY!r} if name in sys.modules))"

FIT = """
import numpy as np
import tfgmm
rows = np.random.default_rng(0).normal([[-3.0, 0.0]] * 50 + [[3.0, 1.0]] * 50, 0.5)
choice = tfgmm.fit_mixture(rows, [1, 2], restarts=2)
before = {{name for name in {heavy!r} if name in sys.modules}}
for result in (choice.best, choice):
    tfgmm.write_report(result, rows, {path!r}, overwrite=True)
print("by the fit:", *before, "by the page:", *({{name for name in {heavy!r} if name in sys.modules}} - before))
"""
COMMAND = """
from tfgmm.cli import app
try:
    app.app({words!r})
except SystemExit as end:
    assert end.code == 0
"""


def output_of(code: str) -> str:
    """Gives what a fresh process with this code writes; a warning is an error in it."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE_ROOT)}
    command = [sys.executable, "-W", "error", "-c", HEAD + code + TAIL]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200, cwd=PACKAGE_ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_fits_and_their_pages_load_no_tensorflow(tmp_path: pathlib.Path) -> None:
    output = output_of(FIT.format(path=str(tmp_path / "report.html"), heavy=HEAVY))
    assert (tmp_path / "report.html").read_text("utf-8").count("<img") >= 3
    assert output.partition("by the page:")[2].split("\n")[0] == ""  # nor what only other pictures need
    assert not {"tensorflow", "keras", "tensorflow_probability"} & set(output.split())


@pytest.mark.parametrize(("command", "name"), [("report", "geyser.html"), ("plot", "geyser.png")])
def test_commands_that_draw_an_export_load_no_tensorflow(tmp_path: pathlib.Path, command: str, name: str) -> None:
    model, rows = (
        PACKAGE_ROOT / "saved_models" / "old_faithful",
        PACKAGE_ROOT / "training" / "data" / "old_faithful.csv",
    )
    arguments = [command, "--out", str(tmp_path / name), "--model", str(model), "--data", str(rows)]
    assert (
        output_of(COMMAND.format(words=arguments)).endswith("\nloaded:\n") and (tmp_path / name).stat().st_size > 1000
    )


def test_two_of_three_columns_are_drawn_without_tensorflow(tmp_path: pathlib.Path, whole: pathlib.Path) -> None:
    arguments = ["plot", "--columns", "width,depth", "--out", str(tmp_path / "a.png"), "--model", str(whole)]
    assert output_of(COMMAND.format(words=arguments)).endswith("\nloaded:\n") and (tmp_path / "a.png").is_file()
