"""Old Faithful: 272 eruptions of a geyser, their length and the wait before the next, as 2 and as 3 clusters.

Real rows in the units they were measured in (minutes), so the priors are given in minutes too.
Run from a clone: python training/old_faithful.py
"""

from __future__ import annotations

import argparse
import pathlib

import keras
import matplotlib.pyplot as plt
import pandas as pd

import tfgmm
from tfgmm import callbacks, plot

HERE = pathlib.Path(__file__).parent
DATA = HERE / "data" / "old_faithful.csv"

# Wide priors: locations anywhere among the rows, standard deviations of a tenth of the data's and up.
PRIORS = tfgmm.Priors(
    loc_mean=(3.5, 70.0),
    loc_scale=(3.4, 41.0),
    precision_shape=1.0,
    precision_rate=(0.026, 3.7),
    weight_concentration=1.0,
)
UNITS = ("eruptions (minutes)", "waiting (minutes)")


def fitted_model(num_components: int, epochs: int) -> tuple[tfgmm.GaussianMixtureModel, keras.callbacks.History]:
    """Returns the mixture of `num_components` after `epochs` steps over all rows, and its loss per epoch."""
    model = tfgmm.GaussianMixtureModel(num_components, 2, priors=PRIORS, seed=1)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, epochs)))
    bar = callbacks.ProgressBar(f"Old Faithful, {num_components} components")
    history = model.fit(DATA, epochs=epochs, verbose=0, callbacks=[bar])
    return model, history


def draw_figures(
    model: tfgmm.GaussianMixtureModel, history: keras.callbacks.History, rows: pd.DataFrame, folder: pathlib.Path
) -> None:
    """Writes the density with the rows and the posterior of the means, and the loss, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    locs, scales = model.locs.numpy(), model.scales.numpy()
    density = plot.density(model.log_prob, rows.to_numpy(), column_names=UNITS)
    plot.means(locs, scales, ax=density)
    axes = {
        "density": density,
        "means": plot.means(locs, scales, column_names=UNITS),
        "loss": plot.loss(history),
        "scale": plot.posterior(
            model.draws(10_000, seed=1).scales[0, :, 0, 1],
            label="standard deviation of waiting (minutes), component 0",
            colour=plot.component_colours(model.num_components)[0],
        ),
    }
    for name, ax in axes.items():
        plt.sca(ax)
        plt.savefig(folder / f"{name}.png", dpi=150, bbox_inches="tight")
        plt.close()


def main() -> None:
    """Fits both mixtures, prints a table each, writes figures and exports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=1500)
    parser.add_argument("--figures", type=pathlib.Path, default=HERE / "figures")
    parser.add_argument("--exports", type=pathlib.Path, default=HERE.parent / "saved_models")
    arguments = parser.parse_args()
    rows = pd.read_csv(DATA)
    for num_components in (2, 3):
        model, history = fitted_model(num_components, arguments.epochs)
        model.summary()
        figures = arguments.figures / f"old_faithful_{num_components}"
        draw_figures(model, history, rows, figures)
        export = tfgmm.export_model(model, arguments.exports / f"old_faithful_{num_components}", overwrite=True)
        print(f"bound {model.elbo:.1f} nats for all {model.num_data} rows")
        print(f"figures: {figures}\nexport:  {export}")


if __name__ == "__main__":
    main()
