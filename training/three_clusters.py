"""Three clusters in the plane: the worked example that tfgmm grew from.

3,000 simulated rows, a mixture of three components fitted by gradient steps on minibatches of 500, its density, and
the posterior of its parameters. Run from a clone: python training/three_clusters.py
"""

from __future__ import annotations

import argparse
import pathlib

import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import tfgmm
from tfgmm import callbacks, plot

HERE = pathlib.Path(__file__).parent
NUM_DRAWS = 10_000


def simulated_rows() -> np.ndarray:
    """Returns three round clusters, (3000, 2) float32, from the recipe and the seed of the worked example."""
    np.random.seed(12345)  # noqa: NPY002  the legacy generator is part of the recipe
    rows = np.random.randn(3000, 2).astype("float32")  # noqa: NPY002
    rows[:1000] += [2, 0]
    rows[1000:2000] -= [2, 4]
    rows[2000:] += [-2, 4]
    return rows


def fitted_model(rows: np.ndarray, epochs: int) -> tuple[tfgmm.GaussianMixtureModel, keras.callbacks.History]:
    """Returns the mixture after `epochs` passes over the rows, and its loss per epoch."""
    model = tfgmm.GaussianMixtureModel(num_components=3, num_features=2, seed=12345)
    steps = epochs * 6
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, steps)))
    bar = callbacks.ProgressBar("three clusters")
    history = model.fit(rows, batch_size=500, epochs=epochs, verbose=0, callbacks=[bar])
    return model, history


def draw_figures(
    model: tfgmm.GaussianMixtureModel, rows: np.ndarray, history: keras.callbacks.History, folder: pathlib.Path
) -> None:
    """Writes the pictures of the worked example into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    locs, scales = model.locs.numpy(), model.scales.numpy()
    # The posteriors are TensorFlow Probability's own distributions, so they can be drawn from as in any script.
    precisions = tfp.distributions.Gamma(model.alpha, model.beta).sample(NUM_DRAWS, seed=1)
    means = tfp.distributions.Normal(model.locs, model.scales).sample(NUM_DRAWS, seed=2)
    colour = plot.component_colours(3)[0]
    axes = {
        "density": plot.density(model.log_prob, rows, limits=((-6, 6), (-8, 8)), column_names=("x", "y")),
        "means": plot.means(locs, scales, column_names=("x", "y")),
        "loss": plot.loss(history),
        "scale": plot.posterior(
            tf.pow(precisions[:, 0, 0], -0.5).numpy(), label="standard deviation of x, component 0", colour=colour
        ),
        "mean": plot.posterior_joint(
            means[:, 0].numpy(), labels=("mean of x, component 0", "mean of y, component 0"), colour=colour
        ),
    }
    for name, ax in axes.items():
        plt.sca(ax)
        plt.savefig(folder / f"{name}.png", dpi=150, bbox_inches="tight")
        plt.close()


def main() -> None:
    """Fits, prints a table, writes figures and an export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=400)
    parser.add_argument("--figures", type=pathlib.Path, default=HERE / "figures" / "three_clusters")
    parser.add_argument("--export", type=pathlib.Path, default=HERE.parent / "saved_models" / "three_clusters")
    arguments = parser.parse_args()
    rows = simulated_rows()
    model, history = fitted_model(rows, arguments.epochs)
    model.summary()
    print(f"loss {model.evaluate(rows, verbose=0)[0]:.3f} nats per row; the published script ends at 4.115")
    draw_figures(model, rows, history, arguments.figures)
    tfgmm.export_model(model, arguments.export, overwrite=True)
    print(f"figures: {arguments.figures}\nexport:  {arguments.export}")


if __name__ == "__main__":
    main()
