"""`tfgmm score` of a folder in processes of its own: the bar, Ctrl-C, and runs that are killed at any moment."""

from __future__ import annotations

import functools
import os
import pathlib
import pty
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from exports import FRAME, PACKAGE_ROOT, contents
from scored_files import write

pytestmark = pytest.mark.slow


def test_bar_counts_the_rows_of_all_workers(tmp_path: pathlib.Path, whole: pathlib.Path) -> None:
    source = tmp_path / "parts"
    source.mkdir()
    for number in (20, 13, 6):
        write(source / f"{number}.parquet", FRAME.iloc[:number])
    ours, theirs = pty.openpty()
    env = {**os.environ, "PYTHONPATH": str(PACKAGE_ROOT), "TERM": "xterm"}
    arguments = ["--model", whole, "--in", source, "--out", tmp_path / "scored", "--workers", 2]
    command = [sys.executable, "-W", "error", "-m", "tfgmm", "score", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, env=env, timeout=100, text=True)
    os.close(theirs)
    shown = b""
    while b"39 rows" not in shown:
        try:
            shown += os.read(ours, 100_000)
        except OSError:
            break
    os.close(ours)
    assert done.returncode == 0 and "39 rows" in shown.decode(), shown.decode()


def begun(
    tmp_path: pathlib.Path, model: pathlib.Path, source: pathlib.Path, out: str, workers: int
) -> subprocess.Popen[str]:
    """Begins a run that a terminal could stop by Ctrl-C, in a group of processes of its own."""
    env = {**os.environ, "PYTHONPATH": str(PACKAGE_ROOT)}
    options = ["--model", model, "--in", source, "--out", tmp_path / out, "--columns", "outlier,imputed", "--keep"]
    command = [sys.executable, "-m", "tfgmm", "score", *map(str, options), "--workers", str(workers)]
    heeds = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(
        command, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=heeds
    )


@pytest.fixture
def large(tmp_path: pathlib.Path) -> pathlib.Path:
    """Four files that take a second each."""
    source = tmp_path / "large"
    source.mkdir()
    for part in range(4):
        frame = FRAME.sample(300_000, replace=True, random_state=part)
        frame.iloc[::3, part % 3] = np.nan
        pa.parquet.write_table(pa.Table.from_pandas(frame, preserve_index=False), source / f"part-{part}.parquet")
    return source


def half_written(tmp_path: pathlib.Path) -> list[pathlib.Path]:
    return list(tmp_path.glob(".*.writing/*.parquet"))


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_all_and_leaves_nothing(
    tmp_path: pathlib.Path, whole: pathlib.Path, large: pathlib.Path, workers: int
) -> None:
    with begun(tmp_path, whole, large, "scored", workers) as process:
        until = time.monotonic() + 60.0
        while not half_written(tmp_path) and time.monotonic() < until:
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (1, "Error: Stopped by Ctrl-C; nothing was written.\n")
    assert os.listdir(tmp_path) == ["large"]


def test_run_killed_at_any_moment_leaves_all_or_nothing_and_repeated_gives_the_same(
    tmp_path: pathlib.Path, whole: pathlib.Path, large: pathlib.Path
) -> None:
    with begun(tmp_path, whole, large, "wanted", 1) as process:
        assert process.wait(timeout=100) == 0
    wanted, generator = contents(tmp_path / "wanted"), np.random.default_rng(0)
    num_halves = 0
    for moment in generator.uniform(0.3, 6.0, 6):
        with begun(tmp_path, whole, large, "scored", 2) as process:
            time.sleep(moment)
            process.kill()
        num_halves += bool(half_written(tmp_path))
        if (tmp_path / "scored").exists():
            assert contents(tmp_path / "scored") == wanted
            shutil.rmtree(tmp_path / "scored")
    with begun(tmp_path, whole, large, "scored", 2) as process:
        assert process.wait(timeout=100) == 0
    assert contents(tmp_path / "scored") == wanted
    assert sorted(os.listdir(tmp_path)) == ["large", "scored", "wanted"] and num_halves > 0
