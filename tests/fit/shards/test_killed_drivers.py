"""Fits to rows in parts whose own process is killed: the checkpoint has what is needed to go on to the same bytes."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
import spark_sessions

import tfgmm


def driver(engine: str, output: pathlib.Path, checkpoint: pathlib.Path) -> subprocess.Popen[str]:
    """Starts a fit in a process of its own; returns when the fit begins."""
    script = spark_sessions.HELPERS / "engine_fit.py"
    paths = [str(pathlib.Path(tfgmm.__file__).parents[1]), str(script.parent), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        [sys.executable, str(script), engine, str(output), str(checkpoint)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    return process


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["dask", "spark"])
def test_drivers_killed_at_random_moments_go_on_to_the_same_bytes(engine: str, tmp_path: pathlib.Path) -> None:
    if engine == "spark":
        spark_sessions.skip_without()
    known = tmp_path / "known"
    with driver(engine, known, tmp_path / "known.ck") as process:
        begun = time.perf_counter()
        while not known.exists():
            assert process.poll() in (None, 0)
            time.sleep(0.01)
        seconds = time.perf_counter() - begun
        assert process.wait() == 0
    rng, num_killed, num_fits = np.random.default_rng(0), 0, 0
    while num_killed < 20:
        num_fits += 1
        found, checkpoint = tmp_path / f"found{num_fits}", tmp_path / f"{num_fits}.ck"
        while not found.exists():
            with driver(engine, found, checkpoint) as process:
                try:
                    assert process.wait(float(rng.uniform(0.1, 0.9)) * seconds if num_killed < 20 else None) == 0
                except subprocess.TimeoutExpired:
                    process.kill()
                    num_killed += 1
        assert found.read_bytes() == known.read_bytes()
    assert num_fits >= 2
