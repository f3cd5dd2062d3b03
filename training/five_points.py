"""Five points, two clusters: memberships summed out with Pyro, and the same rows through the Keras model.

The posterior mode, memberships in three ways, draws by NUTS from two chains, and what label alignment does to them.
Run from a clone, with the extra `pyro` installed: python training/five_points.py
"""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

import tfgmm
from tfgmm import plot
from tfgmm.companions import pyro_mixture

HERE = pathlib.Path(__file__).parent
ROWS = np.array([0.0, 1.0, 10.0, 11.0, 12.0])
GRID = np.arange(-3.0, 15.0, 0.1)
BOUNDARY = np.arange(5.5, 6.0, 0.005)


def matching_priors() -> tfgmm.Priors:
    """Returns the priors of the Pyro model for the Keras model, whose precisions have Gamma priors.

    scale ~ LogNormal(0, 2) means log precision ~ Normal(0, 4^2). The Gamma whose logarithm has that mean and variance
    is the nearest one: digamma(shape) = log(rate), trigamma(shape) = 16.
    """
    shape = brentq(lambda value: polygamma(1, value) - 16.0, 0.01, 1.0)
    rate = float(np.exp(digamma(shape)))
    return tfgmm.Priors(0.0, 10.0, precision_shape=float(shape), precision_rate=rate, weight_concentration=0.5)


def keras_answer() -> tfgmm.GaussianMixtureModel:
    """Returns the Keras model fitted to the five points in closed form: one scale for both components."""
    return tfgmm.fit_mixture(ROWS[:, None], 2, covariance="tied_diag", priors=matching_priors(), seed=0).model


def table(fit: pyro_mixture.MapFit, draws: tfgmm.Draws, model: tfgmm.GaussianMixtureModel) -> list[tuple[str, ...]]:
    """Returns the lines of the comparison: posterior mode, NUTS and Keras, components in order of their location."""
    by_loc = np.argsort(fit.locs)
    posterior = tfgmm.align(model.draws(4_000, seed=0), method="order")
    lines: list[tuple[str, ...]] = []
    for name, modes in (("weight", fit.weights), ("location", fit.locs)):
        field = {"weight": "weights", "location": "locs"}[name]
        for k in range(2):
            cells = (_mean_and_sd(getattr(found, field)[:, :, k]) for found in (draws, posterior))
            lines.append((f"{name} {k}", f"{modes[by_loc[k]]:.3f}", *cells))
    cells = (_mean_and_sd(found.scales[:, :, 0]) for found in (draws, posterior))
    lines.append(("scale", f"{float(fit.scale):.3f}", *cells))
    return [("", "Pyro, mode", "Pyro, NUTS", "Keras, closed form"), *lines]


def _mean_and_sd(values: np.ndarray) -> str:
    return f"{values.mean():.3f} ({values.std():.3f})"


def figures(
    fit: pyro_mixture.MapFit, learnt: pyro_mixture.AssignmentFit, draws: tfgmm.Draws, aligned: tfgmm.Draws
) -> dict[str, Axes]:
    """Returns the pictures of the worked example by name."""
    both, labels = draws.locs[..., 0], ("location of component 0", "location of component 1")
    return {
        "convergence": plot.convergence(fit.losses),
        "gradient_norms": plot.gradient_norms(fit.gradient_norms),
        "density": plot.weighted_components(fit.weights, fit.locs, fit.scale, ROWS),
        "map_assignment": plot.assignments(GRID, fit.classify(GRID), title="Most probable component"),
        "random_assignment": plot.assignments(
            BOUNDARY, fit.classify(BOUNDARY, temperature=1), num_components=2, title="Random posterior assignment"
        ),
        "assignment_convergence": plot.convergence(learnt.losses),
        "assignment_gradient_norms": plot.gradient_norms(learnt.gradient_norms),
        "assignment_probabilities": plot.assignment_probabilities(ROWS, learnt.probabilities, locs=fit.locs),
        "locations": plot.joint_histogram(both.reshape(-1, 2), labels=labels, title="NUTS: two modes"),
        "locations_aligned": plot.joint_histogram(aligned.locs.reshape(-1, 2), labels=labels, title="NUTS, aligned"),
        "trace": plot.trace(both, label="location", title="Before alignment: components change places"),
        "trace_aligned": plot.trace(aligned.locs[..., 0], label="location", title="After alignment"),
    }


def num_swaps(draws: tfgmm.Draws) -> int:
    """Returns how often the order of the two locations changes from one draw to the next, within chains."""
    is_swapped = draws.locs[..., 0, 0] > draws.locs[..., 1, 0]
    return int(np.sum(is_swapped[:, 1:] != is_swapped[:, :-1]))


def save(axes: dict[str, Axes], folder: pathlib.Path) -> None:
    """Writes the pictures into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, ax in axes.items():
        plt.sca(ax)
        plt.savefig(folder / f"{name}.png", dpi=150, bbox_inches="tight")
        plt.close()


def print_memberships(fit: pyro_mixture.MapFit, learnt: pyro_mixture.AssignmentFit) -> None:
    """Prints the component of each point in three ways."""
    print(f"row               {ROWS}")
    print(f"most probable     {fit.classify(ROWS)}")
    print(f"random            {fit.classify(ROWS, temperature=1)}")
    print(f"P(component 0)    {np.round(fit.probabilities(ROWS)[:, 0], 3)}")
    print(f"the same, learnt  {np.round(learnt.probabilities[:, 0], 3)}")
    changes = GRID[1:][np.diff(fit.classify(GRID)) != 0]
    print(f"the most probable component changes at {', '.join(f'{x:.1f}' for x in changes)}")


def main(arguments: Any = None) -> None:
    """Fits, prints, and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200, help="of each optimisation")
    parser.add_argument("--draws", type=int, default=250, help="of each of two chains")
    parser.add_argument("--figures", type=pathlib.Path, default=HERE / "figures" / "five_points")
    options = parser.parse_args(arguments)
    fit = pyro_mixture.fit_map(ROWS, num_components=2, num_steps=options.steps, seed=0)
    learnt = pyro_mixture.fit_assignments(fit, ROWS, num_steps=options.steps)
    draws = pyro_mixture.sample_nuts(ROWS, num_components=2, num_samples=options.draws, num_chains=2, seed=6)
    aligned = tfgmm.align(draws)
    print_memberships(fit, learnt)
    print(
        f"NUTS swapped the components {num_swaps(draws)} times in {draws.locs[..., 0, 0].size} draws: posterior means"
    )
    print(f"of single components mean nothing before alignment, which moved {aligned.share_moved:.0%} of the draws")
    for line in table(fit, tfgmm.align(draws, method="order"), keras_answer()):
        print("{:12}{:>14}{:>18}{:>22}".format(*line))
    save(figures(fit, learnt, draws, aligned), options.figures)
    print(f"figures: {options.figures}")


if __name__ == "__main__":
    main()
