"""`tfgmm fit --checkpoint --resume`, and commands that are killed: nothing half-written, in the end the same bytes."""

from __future__ import annotations

import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
from quick_fits import quickly
from typer.testing import CliRunner

import tfgmm
from tfgmm.cli import app as cli
from tfgmm.cli.run import fit as run_fit
from tfgmm.fit.checkpoint import stored

COMMAND = [sys.executable, "-m", "tfgmm"]


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(cli.app, ["fit", *quickly(*arguments)])


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    rows = np.random.default_rng(0).normal([[-3.0, 0.0], [3.0, 1.0], [0.0, 4.0]] * 60)
    pd.DataFrame(rows, columns=["a", "b"]).to_csv(path, index=False)
    return path


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    """All that a folder of a run holds, without the moment at which it was made and the name of the folder."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes().replace(str(folder).encode(), b"FOLDER")
            found[str(path.relative_to(folder))] = re.sub(rb"\d{4}-\d\d-\d\dT[\d:+]+", b"", content)
    return found


# --- What is asked for, and what is there ------------------------------------------------------------------------


def test_the_command_begins_goes_on_and_gives_the_same_folder(table: pathlib.Path, tmp_path: pathlib.Path) -> None:
    checkpoint, options = tmp_path / "c", [table, "--components", "2,3", "--covariance", "full"]
    begun = run(*options, "--out", tmp_path / "begun", "--checkpoint", checkpoint)
    assert begun.exit_code == 0 and "its checkpoint had" not in begun.output
    resumed = run(*options, "--out", tmp_path / "resumed", "--checkpoint", checkpoint, "--resume")
    assert "Note: its checkpoint had" in resumed.output and "nothing was left" in resumed.output
    assert contents(tmp_path / "begun") == contents(tmp_path / "resumed")
    assert "checkpoint" not in (tmp_path / "resumed" / "summary.txt").read_text()


def refusals(folder: pathlib.Path) -> list[tuple[list[Any], int, str]]:
    (folder / "there").write_text("text")
    (folder / "folder").mkdir()
    (folder / "link").symlink_to("out")
    return [
        (["--resume"], 2, "`--resume` needs a checkpoint to go on from. Received: none. Add --checkpoint FILE"),
        (["--checkpoint", folder / "c", "--resume"], 2, "`--checkpoint` must be there to resume from.*Leave out --res"),
        (["--checkpoint", folder / "there"], 2, "`--checkpoint` must be a new file unless --resume.*Add --resume"),
        (["--checkpoint", folder / "there", "--resume"], 1, "`--checkpoint` must be a file that a fit wrote"),
        (["--checkpoint", folder / "folder"], 1, "`--checkpoint` must be a file.*a folder"),
        (["--checkpoint", folder / "out" / "c"], 2, "`--checkpoint` must be a file outside the folder that is made"),
        (["--checkpoint", folder / "out"], 2, "`--checkpoint` must be a file outside the folder that is made"),
        (["--checkpoint", folder / "link" / "c"], 2, "`--checkpoint` must be a file outside the folder that is made"),
        (["--checkpoint", folder / "there" / "c"], 1, "`--checkpoint` must be a file that can be written"),
        (["--checkpoint", "s3://a/b"], 1, "`--checkpoint` must be on this machine. Received: 's3://a/b'"),
    ]


def test_what_does_not_go_together_is_refused_before_work(table: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for options, code, message in refusals(tmp_path):
        result = run(table, "--components", "2", "--out", tmp_path / "out", *options)
        line = " ".join(result.stderr.split())
        assert result.exit_code == code and re.search(message, line), (options, line)
        assert sorted(os.listdir(tmp_path)) == ["folder", "link", "there"]


def test_another_run_is_refused_in_the_words_of_the_command(table: pathlib.Path, tmp_path: pathlib.Path) -> None:
    options = [table, "--checkpoint", tmp_path / "c", "--out", tmp_path / "out"]
    assert run(*options, "--components", "2").exit_code == 0
    for others, message in (
        (["--components", "3"], "`--components` must be what it was for .*: 2. Received: 3"),
        (["--components", "2", "--seed", "1"], "`--seed` must be"),
        (["--components", "2", "--weight-prior", "stick_breaking"], "`--weight-prior` must be"),
        (["--components", "2", "--columns", "a"], "`DATA` must be the rows that"),
        (["--components", "2", "--validation", table], "`--validation` must be the rows that"),
        (["--components", "2", "--moves"], "`--moves` must be"),
    ):
        result = run(*options, *others, "--overwrite", "--resume")
        assert result.exit_code == 1 and re.search(message, " ".join(result.stderr.split())), result.stderr


# --- Ctrl-C ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ctrl_c_ends_a_fit_that_goes_on_another_time(
    table: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [table, "--components", "4", "--no-moves", "--restarts", "1", "--checkpoint", tmp_path / "c"]
    sweeps: list[int] = []
    begin = run_fit.RunMonitor.on_epoch_begin

    def interrupt(self: Any, epoch: int, logs: Any = None) -> None:
        begin(self, epoch, logs)
        sweeps.append(epoch)
        if epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(run_fit.RunMonitor, "on_epoch_begin", interrupt)
        stopped = run(*options, "--out", tmp_path / "stopped")
    assert stopped.exit_code == 0 and sweeps == [0, 1], stopped.output
    assert "stopped by Ctrl-C after 2 sweeps" in (tmp_path / "stopped" / "summary.txt").read_text()
    result = run(*options, "--out", tmp_path / "resumed", "--resume")
    assert "its checkpoint had 2 sweeps over all rows: went on from sweep 3" in result.output
    whole = tfgmm.fit_mixture(table, 4, moves=False, restarts=1).history
    history = pd.read_csv(tmp_path / "resumed" / "history.csv")
    assert all(history[name].tolist() == pytest.approx(whole[name], rel=1e-12) for name in whole)
    assert history["occupied"].tolist()[-1] == 4


def test_a_second_ctrl_c_says_that_what_was_done_is_kept(
    table: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: Any, epoch: int, logs: Any = None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_fit.RunMonitor, "on_epoch_begin", stop)
    options = [table, "--components", "2", "--out", tmp_path / "out"]
    result = run(*options, "--checkpoint", tmp_path / "c")
    assert result.exit_code == 1
    assert "Stopped by Ctrl-C; the checkpoint has what was done: add --resume to go on." in result.stderr
    assert [name.partition(",")[0] for name in stored.read(tmp_path / "c").steps] == ["restarts"]
    assert "Stopped by Ctrl-C; nothing was written." in run(*options).stderr
    assert os.listdir(tmp_path) == ["c"]


# --- SIGKILL -----------------------------------------------------------------------------------------------------


def killed_after(seconds: float, *arguments: Any) -> bool:
    """Runs a command and kills it after some seconds; tells whether it was running still."""
    with subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            _, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return True
    assert process.returncode == 0, errors
    return False


@pytest.mark.slow
def test_a_fit_that_is_killed_at_random_moments_ends_with_the_same_bytes(tmp_path: pathlib.Path) -> None:
    rows = np.random.default_rng(1).normal(np.arange(3.0)[:, None, None], 1.0, (3, 10_000, 2)).reshape(-1, 2)
    pd.DataFrame(rows, columns=["a", "b"]).to_parquet(tmp_path / "rows.parquet")
    options = ["fit", tmp_path / "rows.parquet", "--components", "1:5", "--covariance", "diag,full", "--restarts", 2]
    options += ["--posterior", "mean_field", "--out"]
    began = time.perf_counter()
    assert not killed_after(600.0, *options, tmp_path / "plain")
    seconds, plain = time.perf_counter() - began, contents(tmp_path / "plain")
    choose, num_killed, num_done = random.Random(0), 0, 0
    checkpoint, out = tmp_path / "c", tmp_path / "killed"
    options += [out, "--checkpoint", checkpoint]
    while num_killed < 25:
        resume = ["--resume"] if checkpoint.is_file() else []
        if killed_after(choose.uniform(0.1, seconds), *options, *resume):
            num_killed += 1
            if checkpoint.is_file():
                stored.read(checkpoint)
            if not out.exists():
                continue
        assert contents(out) == plain  # also where the kill came when all was written
        num_done += 1
        for path in (checkpoint, *sorted(out.rglob("*"), reverse=True), out):
            path.rmdir() if path.is_dir() else path.unlink()
    resume = ["--resume"] if checkpoint.is_file() else []
    assert not killed_after(600.0, *options, *resume) and contents(out) == plain
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")] and num_done > 0


@pytest.mark.slow
def test_scores_that_are_killed_at_50_moments_are_whole_or_not_there(tmp_path: pathlib.Path) -> None:
    rows = np.random.default_rng(1).normal(np.arange(3.0)[:, None, None], 1.0, (3, 200_000, 2)).reshape(-1, 2)
    pd.DataFrame(rows, columns=["a", "b"]).to_parquet(tmp_path / "rows.parquet")
    fit = ["fit", tmp_path / "rows.parquet", "--components", 3, "--restarts", 1, "--posterior", "mean_field"]
    assert not killed_after(600.0, *fit, "--out", tmp_path / "run")
    score = ["score", "--model", tmp_path / "run" / "model", "--in", tmp_path / "rows.parquet", "--overwrite", "--out"]
    began = time.perf_counter()
    assert not killed_after(600.0, *score, tmp_path / "plain.csv")
    seconds, plain = time.perf_counter() - began, (tmp_path / "plain.csv").read_bytes()
    choose, num_killed, out = random.Random(0), 0, tmp_path / "scores.csv"
    while num_killed < 50:
        num_killed += killed_after(choose.uniform(0.1, seconds), *score, out)
        assert not out.exists() or out.read_bytes() == plain
        out.unlink(missing_ok=True)
    assert not killed_after(600.0, *score, out) and out.read_bytes() == plain
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]
