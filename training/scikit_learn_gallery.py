"""Four examples of scikit-learn's gallery of mixtures, told anew: each drawn by scikit-learn and tfgmm, side by side.

An example is one function. It is given a module that has `GaussianMixture` and `BayesianGaussianMixture`,
`sklearn.mixture` or `tfgmm.sklearn`, and is the same for both. Rows are simulated here with fixed seeds.
docs/gallery_scikit_learn.md says what differs. Run from a clone: python training/scikit_learn_gallery.py
"""

from __future__ import annotations

import argparse
import io
import pathlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import sklearn.mixture
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from PIL import Image
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

import tfgmm.sklearn

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROGRAMS: Mapping[str, Any] = {"scikit-learn": sklearn.mixture, "tfgmm": tfgmm.sklearn}
COLOURS = plt.get_cmap("tab10").colors  # type: ignore[attr-defined]
SHAPES = ("spherical", "tied", "diag", "full")
PRIORS = {"dirichlet_distribution": (0.001, 1.0, 1000.0), "dirichlet_process": (1.0, 1000.0, 100_000.0)}
TWO_DEVIATIONS = 2.0  # ellipses hold 86 % of a component


# --- Rows ---------------------------------------------------------------------------------------------------------


def round_and_stretched(num_rows: int, places: Any = ((20.0, 20.0), (0.0, 0.0))) -> np.ndarray:
    """Draws rows of two groups, as many of each, in no order: one round, one stretched."""
    random = np.random.default_rng(0)
    unit = random.standard_normal((2, num_rows, 2))
    stretched = unit[1] @ np.array([[0.0, -0.7], [3.5, 0.7]])
    return random.permutation(np.concatenate([unit[0] + places[0], stretched + places[1]]))


def three_heights() -> np.ndarray:
    """Draws 900 rows of three flat groups above each other, half of them in the middle."""
    random = np.random.default_rng(2)
    centres, sizes = np.array([[0.0, -0.7], [0.0, 0.0], [0.0, 0.7]]), np.array([200, 500, 200])
    return random.normal(np.repeat(centres, sizes, axis=0), [0.45, 0.15])


def sine() -> np.ndarray:
    """Draws 100 rows along a noisy sine curve: no mixture of Gaussians."""
    random = np.random.default_rng(0)
    along = np.arange(100) * 4 * np.pi / 100
    return np.column_stack([along - 6, 3 * (np.sin(along) + random.normal(0.0, 0.2, 100))]) + random.normal(
        0.0, 0.1, (100, 2)
    )


# --- Examples: the same for both programs --------------------------------------------------------------------------


def density(mixture: Any, axes: Any) -> str:
    """Draws lines of equal density of two groups."""
    rows = round_and_stretched(300)
    fitted = mixture.GaussianMixture(n_components=2, covariance_type="full", random_state=0).fit(rows)

    columns, lines = np.linspace(-20.0, 30.0, 120), np.linspace(-20.0, 40.0, 120)
    grid = np.stack(np.meshgrid(columns, lines), axis=-1)
    heights = -fitted.score_samples(grid.reshape(-1, 2)).reshape(120, 120)
    axes[0].contour(columns, lines, heights, levels=np.logspace(0.5, 3, 12), cmap="viridis_r", norm="log", linewidths=1)
    axes[0].plot(*rows.T, ".", color="black", markersize=1.5)
    return f"mean log density {log_density(fitted, rows):.3f}, weights {np.sort(fitted.weights_).round(3).tolist()}"


def selection(mixture: Any, axes: Any) -> str:
    """Draws the BIC of four shapes and six numbers of components, and the mixture that is best by it."""
    rows = round_and_stretched(500, places=((-4.0, 2.0), (0.0, 0.0)))
    grid = {"n_components": range(1, 7), "covariance_type": SHAPES}
    search = GridSearchCV(
        mixture.GaussianMixture(random_state=0), grid, scoring=lambda fitted, rows: -fitted.bic(rows)
    ).fit(rows)

    found = search.cv_results_
    for place, shape in enumerate(SHAPES):
        chosen = [number for number, options in enumerate(found["params"]) if options["covariance_type"] == shape]
        heights = -found["mean_test_score"][chosen]
        axes[0].bar(np.arange(1, 7) + 0.2 * (place - 1.5), heights, 0.2, color=COLOURS[place], label=shape)
    best = search.best_params_
    low, high = -found["mean_test_score"].max(), -found["mean_test_score"].min()
    axes[0].set(xlabel="components", ylabel="BIC of rows held out", ylim=(low - 0.1 * (high - low), high * 1.01))
    axes[0].set_title(f"best: {best['covariance_type']}, {best['n_components']}", fontsize=9)
    axes[0].legend(fontsize=7)
    draw_groups(axes[1], search.best_estimator_, rows)
    return f"best {best}, mean BIC {low:.1f}"


def concentration(mixture: Any, axes: Any) -> str:
    """Draws what two kinds of prior of the weights, each of three strengths, make of three groups."""
    rows, told = three_heights(), []
    for place, (kind, strengths) in enumerate(PRIORS.items()):
        for column, strength in enumerate(strengths):
            fitted = mixture.BayesianGaussianMixture(
                n_components=6,
                weight_concentration_prior_type=kind,
                weight_concentration_prior=strength,
                random_state=2,
                max_iter=1500,
            ).fit(rows)
            above, below = axes[2 * place, column], axes[2 * place + 1, column]
            draw_groups(above, fitted, rows)
            above.set_title(f"{kind.removeprefix('dirichlet_')}, {strength:g}", fontsize=8)
            weights = np.sort(fitted.weights_)[::-1]
            below.bar(range(6), weights, color="black")
            below.hlines([200 / 900, 500 / 900], -0.5, 5.5, colors=COLOURS[3], linestyles="dotted")
            below.set(ylim=(0, 1), xticks=[])
            told.append(f"{kind} {strength:g}: {weights.round(2).tolist()}")
    return "\n  ".join(told)


def sine_curve(mixture: Any, axes: Any) -> str:
    """Draws ten components along a sine curve, without prior and with two, and rows simulated from each."""
    rows, told = sine(), []
    options = {"n_components": 10, "max_iter": 300, "random_state": 2}
    ways = {"GaussianMixture": mixture.GaussianMixture(**options)}
    for strength in (0.01, 1.0, 100.0):
        priors = {"weight_concentration_prior_type": "dirichlet_process", "weight_concentration_prior": strength}
        ways[f"process, {strength:g}"] = mixture.BayesianGaussianMixture(**options, **priors)
    for line, (name, unfitted) in enumerate(ways.items()):
        fitted = unfitted.fit(rows)
        draw_groups(axes[line, 0], fitted, rows)
        axes[line, 0].set_title(name, fontsize=8)
        drawn, groups = fitted.sample(1000)
        axes[line, 1].scatter(*drawn.T, s=2, linewidth=0, color=[COLOURS[group] for group in groups])
        axes[line, 1].set_title("1000 rows simulated", fontsize=8)
        for each in axes[line]:
            each.set(xlim=(-8, 9), ylim=(-6, 6))
        used, height = (fitted.weights_ > 0.02).sum(), log_density(fitted, rows)
        told.append(f"{name}: {used} components above 2 %, mean log density {height:.3f}")
    return "\n  ".join(told)


# --- Pictures ------------------------------------------------------------------------------------------------------


def draw_groups(axis: Any, fitted: Any, rows: np.ndarray) -> None:
    """Draws the component of each row in its colour, and an ellipse of two standard deviations of each in use."""
    groups = fitted.predict(rows)
    axis.scatter(*rows.T, s=3, color=[COLOURS[group] for group in groups], linewidth=0)
    for group, (mean, covariance) in enumerate(zip(fitted.means_, matrices(fitted))):
        if (groups == group).any():
            squares, directions = np.linalg.eigh(covariance)
            width, height = 2 * TWO_DEVIATIONS * np.sqrt(squares)
            angle = np.degrees(np.arctan2(*directions[::-1, 0]))
            inside, edge = (*COLOURS[group], 0.3), "black"
            axis.add_patch(Ellipse(mean, width, height, angle=angle, facecolor=inside, edgecolor=edge, linewidth=0.8))


def matrices(fitted: Any) -> Iterator[np.ndarray]:
    """Yields the covariance matrix of each component, from scikit-learn's layouts."""
    for group, mean in enumerate(fitted.means_):
        shape, values = fitted.covariance_type, fitted.covariances_
        values = values if shape == "tied" else values[group]
        yield values if shape in ("full", "tied") else np.diag(np.broadcast_to(values, mean.shape))


def log_density(fitted: Any, rows: np.ndarray) -> float:
    """Returns the mean log density of rows, nats, at the fitted weights, means and covariances.

    `score` of scikit-learn's `BayesianGaussianMixture` is none: it takes expectations of logarithms.
    """
    each = [multivariate_normal(mean, matrix).logpdf(rows) for mean, matrix in zip(fitted.means_, matrices(fitted))]
    return float(logsumexp(np.transpose(each), b=fitted.weights_, axis=1).mean())


# Name -> the example, lines and columns of its axes, and inches of one
EXAMPLES: Mapping[str, tuple[Callable[[Any, Any], str], tuple[int, int], tuple[float, float]]] = {
    "density": (density, (1, 1), (4.4, 3.6)),
    "selection": (selection, (2, 1), (4.4, 2.9)),
    "concentration": (concentration, (4, 3), (1.6, 1.5)),
    "sine": (sine_curve, (4, 2), (2.3, 1.7)),
}


def draw(name: str) -> Figure:
    """Draws an example by both programs, scikit-learn's on the left, and prints what each found."""
    example, (lines, columns), (width, height) = EXAMPLES[name]
    figure = plt.figure(figsize=(2 * columns * width, lines * height + 0.3), layout="constrained")
    halves: Any = figure.subfigures(1, 2)
    for part, (program, mixture) in zip(halves, PROGRAMS.items()):
        part.suptitle(program, fontsize=11, fontweight="bold")
        axes = part.subplots(lines, columns)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            told = example(mixture, np.atleast_1d(axes))
        print(f"{name}, {program}\n  {told}")
    for axis in figure.axes:
        axis.tick_params(labelsize=7)
    return figure


def save_small(figure: Figure, path: pathlib.Path) -> None:
    """Writes a figure with 256 colours: a third of the bytes, and no hue is lost."""
    whole = io.BytesIO()
    figure.savefig(whole, dpi=80)
    with Image.open(whole) as image:
        image.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE).save(path, optimize=True)


def main(arguments: Any = None) -> None:
    """Writes the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("examples", nargs="*", metavar="EXAMPLE", help=f"default: {', '.join(EXAMPLES)}")
    parser.add_argument("--figures", type=pathlib.Path, default=ROOT / "docs" / "images")
    options = parser.parse_args(arguments)
    options.figures.mkdir(parents=True, exist_ok=True)
    for name in options.examples or EXAMPLES:
        figure = draw(name)
        save_small(figure, options.figures / f"scikit_learn_{name}.png")
        plt.close(figure)


if __name__ == "__main__":
    main()
