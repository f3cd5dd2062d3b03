"""Air quality in New York, 1973: 153 days, 42 of them without ozone or without solar radiation, and all of them used.

The gaps are integrated out, the number of components is chosen, and the gaps are filled in, with how sure that is.
Beside it stands what is left of the answer when days with gaps are dropped.
Run from a clone: python training/air_quality.py
"""

from __future__ import annotations

import argparse
import pathlib
import warnings
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

import tfgmm
from tfgmm import plot

HERE = pathlib.Path(__file__).parent
DATA = HERE / "data" / "air_quality.csv"
COLUMNS = ("ozone", "solar", "wind", "temperature")
# Ozone is positive, and its spread grows with it; its cube root, which the book of the data takes too, is even
ROOT = "cube root of ozone"


def days() -> pd.DataFrame:
    """Returns the days, one row each: cube root of ozone, solar radiation, wind and temperature, NaN at gaps."""
    table = pd.read_csv(DATA)[list(COLUMNS)].astype(float)
    return table.assign(ozone=np.cbrt(table["ozone"])).rename(columns={"ozone": ROOT})


def means_table(whole: Any, complete: Any, rows: pd.DataFrame) -> list[str]:
    """Returns lines that set the mean of each column, and its standard deviation, beside those without the gaps' days.

    A mean of the mixture is that of all its components; its standard deviation is that of draws from the posterior.
    """
    lines = [f"{'':20}{'all 153 days':>20}{'111 complete days':>20}{'moved by':>10}"]
    for column, name in enumerate(rows):
        cells, means = [], []
        for result in (whole, complete):
            draws = result.draws(4_000, seed=0)
            mean = np.einsum("csk,csk->cs", draws.weights, draws.locs[..., column])
            means.append(mean.mean())
            cells.append(f"{mean.mean():10.2f} ({mean.std():.2f})")
        moved = (means[1] - means[0]) / mean.std()
        lines.append(f"{name:20}{cells[0]:>20}{cells[1]:>20}{moved:7.1f} sd")
    return lines


def draw_ozone(rows: pd.DataFrame, filled: np.ndarray, draws: np.ndarray) -> Axes:
    """Draws ozone day by day: what was measured, and what was filled in with its 90 % interval, parts per billion."""
    _, ax = plt.subplots(figsize=(9, 4), layout="constrained")
    number, is_gap = np.arange(len(rows)), rows[ROOT].isna().to_numpy()
    seen, imputed = plot.component_colours(2)
    ax.plot(number[~is_gap], rows[ROOT][~is_gap] ** 3, ".", color=seen, label="measured")
    middle, (lower, upper) = filled[is_gap, 0] ** 3, np.quantile(draws[:, is_gap, 0], [0.05, 0.95], axis=0) ** 3
    errors = np.maximum([middle - lower, upper - middle], 0.0)
    ax.errorbar(number[is_gap], middle, errors, fmt="o", ms=4, color=imputed, label="filled in, 90 % of draws")
    ax.set(xlabel="days from 1 May 1973", ylabel="ozone (parts per billion)")
    ax.legend()
    return ax


def main(arguments: Any = None) -> None:
    """Fits, prints, fills in and draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=5, help="largest number of components")
    parser.add_argument("--draws", type=int, default=400, help="of the filled-in values")
    parser.add_argument("--figures", type=pathlib.Path, default=HERE / "figures" / "air_quality")
    options = parser.parse_args(arguments)
    rows = days()
    gaps = rows.isna()
    warnings.filterwarnings("ignore", message=".*missing at random")  # it is said here, in a line of its own
    print(f"gaps: {int(gaps.to_numpy().sum())}, in {int(gaps.any(axis=1).sum())} of {len(rows)} days")
    choice = tfgmm.fit_mixture(rows, range(1, options.most + 1), covariance="full", seed=0)
    whole = choice.best
    print(choice)
    complete = tfgmm.fit_mixture(rows.dropna(), whole.num_components, covariance="full", seed=0)
    print("\nmean of the mixture and its standard deviation\n" + "\n".join(means_table(whole, complete, rows)))
    filled = whole.impute(rows)
    draws = whole.impute(rows, num_draws=options.draws, seed=0, kind="predictive")
    first = np.flatnonzero(gaps[ROOT])[:4]
    for day, values in zip(first, draws[:, first, 0].T ** 3):
        low, high = np.quantile(values, [0.05, 0.95])
        print(
            f"day {day + 1}: ozone {filled[day, 0] ** 3:.0f} parts per billion, 90 % between {low:.0f} and {high:.0f}"
        )
    options.figures.mkdir(parents=True, exist_ok=True)
    draw_ozone(rows, filled, draws)
    plt.savefig(options.figures / "ozone.png", dpi=150)
    plt.close()
    print(f"locations of components\n{whole.locs.round(2)}\nfigure: {options.figures}")


if __name__ == "__main__":
    main()
