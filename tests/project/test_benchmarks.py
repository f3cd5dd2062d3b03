"""Every benchmark runs, with --quick, and writes finite numbers. What they measure is not tested here."""

from __future__ import annotations

import json
import math
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

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
