"""Every benchmark runs, with --quick, and writes finite numbers. What they measure is not tested here."""

from __future__ import annotations

import importlib
import json
import math
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(FOLDER.glob("bench_*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_quick_run_prints_its_tables_and_writes_finite_numbers(script: pathlib.Path, tmp_path: pathlib.Path) -> None:
    command = [sys.executable, str(script), "--quick", "--results", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads((tmp_path / f"{script.stem}.json").read_text(encoding="utf-8"))
    assert found["quick"] and found["machine"]["cores"] >= 1 and found["machine"]["versions"]["tensorflow"]
    assert found["tables"]
    for title, table in found["tables"].items():
        assert title in done.stdout
        for line in table["lines"]:
            numbers = list(numbers_in(line))
            assert len(numbers) >= 2 and all(map(math.isfinite, numbers)), line
            assert line.get("seconds", 0.0) is not None, f"{line} took too long"


def test_there_is_a_benchmark_to_run() -> None:
    assert len(SCRIPTS) >= 6


def numbers_in(line: dict[str, Any]) -> Iterator[float]:
    """Returns the numbers of a line; texts, yes and no, and what was not measured are none."""
    return (value for value in line.values() if isinstance(value, (int, float)) and not isinstance(value, bool))


# --- EM in plain loops, the judge of bench_tables ------------------------------------------------------------------


@pytest.fixture
def plain_em(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("plain_em")


def some_rows() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    rows = rng.normal([[-2.0, 0.0]] * 20 + [[2.0, 1.0]] * 25)
    rows[[0, 3, 30], [0, 1, 1]] = np.nan
    factors = rng.normal(0.0, 0.5, (45, 2, 2))
    return {"rows": rows, "noise": factors @ factors.swapaxes(1, 2), "weights": rng.integers(1, 4, 45).astype(float)}


def start_of(plain_em: Any) -> Any:
    return plain_em.Mixture(np.array([0.5, 0.5]), np.array([[-1.0, 0.0], [1.0, 0.0]]), np.stack([np.eye(2)] * 2))


def test_plain_loops_never_fall(plain_em: Any) -> None:
    run = plain_em.fit(**some_rows(), start=start_of(plain_em), max_steps=15)
    assert (np.diff(run.log_likelihoods) > 0).all() and len(run.log_likelihoods) == 16


def test_plain_loops_end_where_the_slope_is_zero(plain_em: Any) -> None:
    """Of one component, in every number by differences."""
    one = plain_em.Mixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None])
    run = plain_em.fit(**some_rows(), start=one, max_steps=100, tolerance=1e-11)
    for field, index in (("means", (0, 0)), ("means", (0, 1)), ("covariances", (0, 0, 0)), ("covariances", (0, 1, 1))):
        values = []
        for step in (1e-3, -1e-3):
            moved = getattr(run.mixture, field).copy()
            moved[index] += step
            values.append(plain_em.log_likelihood(mixture=run.mixture._replace(**{field: moved}), **some_rows()))
        assert abs(values[0] - values[1]) / 2e-3 < 1e-3


def test_plain_loops_count_a_row_as_often_as_its_weight(plain_em: Any) -> None:
    case = some_rows()
    counts = case["weights"].astype(int)
    repeated = {name: np.repeat(values, counts, axis=0) for name, values in case.items()} | {"weights": None}
    runs = [plain_em.fit(one.pop("rows"), start_of(plain_em), **one, max_steps=5) for one in (case, repeated)]
    np.testing.assert_allclose(runs[0].log_likelihoods, runs[1].log_likelihoods, rtol=1e-12)


def test_plain_loops_of_one_component_without_noise_take_mean_and_covariance(plain_em: Any) -> None:
    rows = np.random.default_rng(0).normal(size=(30, 2))
    one = plain_em.Mixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None])
    run = plain_em.fit(rows, one)
    np.testing.assert_allclose(run.mixture.means[0], rows.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(run.mixture.covariances[0], np.cov(rows.T, ddof=0), atol=1e-12)
