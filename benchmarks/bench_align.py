"""Seconds of label alignment: many draws of eight components in random order.

Run: python benchmarks/bench_align.py [--quick] [--repeats 3]
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import common
import numpy as np

import tfgmm

NUM_COMPONENTS = 8


def shuffled_draws(num_draws: int, num_features: int, gap: float) -> tfgmm.Draws:
    """Returns draws, ten chains, of components `gap` widths apart, each draw in an order of its own."""
    rng = np.random.default_rng(0)
    shape = (10, num_draws // 10, NUM_COMPONENTS, num_features)
    locs = gap * np.arange(NUM_COMPONENTS)[:, None] + 0.3 * rng.standard_normal(shape)
    draws = tfgmm.Draws(np.full(shape[:3], 1 / NUM_COMPONENTS), locs, np.exp(0.1 * rng.standard_normal(shape)))
    return draws.permuted(rng.permuted(np.broadcast_to(np.arange(NUM_COMPONENTS), shape[:3]).copy(), axis=-1))


def compare(report: common.Report, num_draws: int, num_features: int, gap: float, rounds: int) -> None:
    """Adds a table of the ways to align."""
    draws = shuffled_draws(num_draws, num_features, gap)
    rows = np.random.default_rng(1).uniform(0.0, gap * NUM_COMPONENTS, (50, num_features))
    ways: dict[str, Callable[[], Any]] = {
        "pivot": functools.partial(tfgmm.align, draws),
        "order": functools.partial(tfgmm.align, draws, method="order"),
        "responsibilities, 50 rows": functools.partial(tfgmm.align, draws, method="responsibilities", rows=rows),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # components half a width apart are said to be alike
        times = common.timed_in_turn(ways, rounds)
    lines = [{"way": way, "seconds": found["median"], "first call": found["first"]} for way, found in times.items()]
    title = f"{num_draws:,} draws of {NUM_COMPONENTS} components, {num_features} columns, {gap:g} widths apart"
    report.add(title, lines, [f"medians of {rounds} calls"])


def main() -> None:
    """Prints the tables and writes results/bench_align.json."""
    arguments = common.arguments_of(__doc__)
    report = common.Report("bench_align", arguments)
    for num_features, gap in ((1, 3.0), (1, 0.7), (16, 3.0)):
        compare(report, 1_000 if arguments.quick else 100_000, num_features, gap, arguments.repeats)


if __name__ == "__main__":
    main()
