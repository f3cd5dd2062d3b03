"""Three overlapping components: the exact posterior by NUTS, and how far the fast closed form can stand in for it.

2,500 simulated rows of one column; four chains side by side; ArviZ's and our own pictures. Run from a clone, with the
extra `numpyro` installed: python training/three_components.py
"""

from __future__ import annotations

import argparse
import pathlib
import warnings
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import numpyro

import tfgmm
from tfgmm import plot
from tfgmm.companions import numpyro_mixture

HERE = pathlib.Path(__file__).parent
NAMES = ("closed form", "NUTS")


def simulated_rows() -> np.ndarray:
    """Returns the rows of the worked example, (2500,): a fifth, three tenths and a half in three components."""
    np.random.seed(42)  # noqa: NPY002  the legacy generator is part of the recipe
    drawn = np.random.choice(3, size=2500, p=np.array([0.2, 0.3, 0.5]))  # noqa: NPY002
    means, sds = np.array([-1.0, 1.0, 4.0]), np.array([0.2, 0.9, 0.5])
    return np.random.normal(means[drawn], sds[drawn], size=2500)  # noqa: NPY002


def draw_arviz_figures(draws: tfgmm.Draws, folder: pathlib.Path) -> None:
    """Writes ArviZ's trace and pair plots into `folder`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ArviZ 0.23 announces its next version, and uses names matplotlib will drop
        import arviz

        data = draws.to_arviz()
        names = ["weights", "locs", "scales"]
        arviz.plot_trace(data, var_names=names, compact=True, backend_kwargs={"tight_layout": True})
        _save_and_close(folder / "trace.png")
        overlapped = {"component": 1}
        arviz.plot_pair(data, var_names=names, coords=overlapped, kind="kde", marginals=True, figsize=(8, 8))
        _save_and_close(folder / "pair.png")


def draw_figures(
    rows: np.ndarray, draws: tfgmm.Draws, comparison: tfgmm.Agreement, folder: pathlib.Path, seed: int
) -> None:
    """Writes our own pictures into `folder`."""
    grid = np.linspace(rows.min() - 1.0, rows.max() + 1.0, 200)
    band = numpyro_mixture.density_band(draws, grid)
    predicted = numpyro_mixture.sample_predictive(draws, len(rows), seed=seed)
    both = comparison.aligned_a, comparison.aligned_b
    axes = {
        "density": plot.density_with_band(rows, grid, band.mean, band.lower, band.upper, column_name="x"),
        "predictive": plot.predictive_check(rows, predicted[:, 0], column_name="x"),
        "agreement_locations": plot.agreement(
            *(d.locs[..., 0] for d in both), label="location", names=NAMES, centred=True
        ),
        "agreement_scales": plot.agreement(*(d.scales[..., 0] for d in both), label="scale", names=NAMES),
        "agreement_weights": plot.agreement(*(d.weights for d in both), label="weight", names=NAMES),
    }
    for name, ax in axes.items():
        plt.sca(ax)
        _save_and_close(folder / f"{name}.png")
    _, panels = plt.subplots(3, 3, figsize=(11, 8), layout="constrained")
    parts = {"weight": draws.weights, "location": draws.locs[..., 0], "scale": draws.scales[..., 0]}
    for line, (what, values) in zip(panels, parts.items()):
        for k, colour in enumerate(plot.component_colours(3)):
            plot.posterior(values[..., k].ravel(), label=f"{what}, component {k}", colour=colour, ax=line[k])
    _save_and_close(folder / "posterior.png")


def _save_and_close(path: pathlib.Path) -> None:
    plt.savefig(path, dpi=150, bbox_inches="tight")
    plt.close()


def main(arguments: Any = None) -> None:
    """Samples, compares, prints, writes figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000, help="of each chain")
    parser.add_argument("--chains", type=int, default=4, help="side by side in one program")
    parser.add_argument("--platform", choices=("cpu", "gpu", "tpu"), help="where JAX runs; default: what it finds")
    parser.add_argument("--figures", type=pathlib.Path, default=HERE / "figures" / "three_components")
    options = parser.parse_args(arguments)
    if options.platform:
        numpyro.set_platform(options.platform)
    rows = simulated_rows()
    lengths = {"num_samples": options.draws, "num_chains": options.chains}
    draws = tfgmm.align(numpyro_mixture.sample_nuts(rows, 3, **lengths, seed=42), method="order")
    print(numpyro_mixture.diagnose(draws))
    model = tfgmm.fit_mixture(rows[:, None], 3, seed=0).model
    exact = numpyro_mixture.sample_nuts(rows, 3, **lengths, seed=42, priors=model.priors)
    fast = model.draws(options.draws, seed=0, data=rows[:, None])
    comparison = tfgmm.compare(fast, tfgmm.align(exact, method="order"))
    print(f"\na: the closed form of GaussianMixtureModel; b: NUTS, with the same priors\n{comparison}")
    options.figures.mkdir(parents=True, exist_ok=True)
    draw_arviz_figures(draws, options.figures)
    draw_figures(rows, draws, comparison, options.figures, seed=42)
    draws.to_arviz().to_netcdf(str(options.figures / "draws.nc"))
    print(f"figures and draws: {options.figures}")


if __name__ == "__main__":
    main()
