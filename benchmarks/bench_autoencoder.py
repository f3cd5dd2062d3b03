"""A variational autoencoder of scikit-learn's digits: a standard normal prior against mixtures, on held-out images.

The images are 1,797 of 8 x 8 pixels, whole numbers from 0 to 16: 64 binomials, so that bounds are in nats per image.
All ways begin as the same autoencoder, trained for some epochs under a standard normal, and go on for as many epochs as
each other: under that; under a mixture that is fitted in closed form to the encodings, and moved by sweeps every few
epochs; under one that begins as the same fit and is trained with the layers, by gradients.

Run: python benchmarks/bench_autoencoder.py [--quick] [--repeats 3] [--epochs 360]
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import common
import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from sklearn.datasets import load_digits

import tfgmm

tfd = tfp.distributions
MOST = 16.0
WAYS = ("standard normal", "mixture, closed form", "mixture, gradients")


class Settings(NamedTuple):
    """Columns of the latent rows, units of a hidden layer, components, epochs before and after, epochs between fits."""

    num_latent: int = 8
    num_hidden: int = 128
    num_components: int = 10
    first_epochs: int = 40
    more_epochs: int = 360
    between: int = 10
    num_draws: int = 100


class Autoencoder(keras.Model):
    """A variational autoencoder of counts, whose prior is any function that gives log densities.

    Args:
        encoder, decoder: Layers: images to means and log scales of latent rows; latent rows to logits of pixels.
        log_prior: Function of latent rows (B, L) that returns (B,) nats.
        mixture: The prior where it is trained with the layers; otherwise None.
        num_images: N of training, which scales the divergence of `mixture`.
    """

    def __init__(
        self, encoder: Any, decoder: Any, log_prior: Callable[[Any], Any], mixture: Any = None, num_images: int = 1
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.log_prior, self.mixture, self.num_images = log_prior, mixture, num_images

    def encoded(self, images: Any) -> Any:
        """Returns q(latent row | image)."""
        mean, log_scale = tf.split(self.encoder(images / MOST), 2, axis=-1)
        return tfd.MultivariateNormalDiag(mean, tf.exp(log_scale))

    def log_ratios(self, images: Any) -> Any:
        """Returns log p(image, z) - log q(z) of one draw z per image, (B,) nats: their mean is a bound."""
        encoded = self.encoded(images)
        latent = encoded.sample()
        pixels = tfd.Independent(tfd.Binomial(MOST, logits=self.decoder(latent)), 1)
        return pixels.log_prob(images) + self.log_prior(latent) - encoded.log_prob(latent)

    def call(self, images: Any) -> Any:
        """Returns the bounds of images; minus their mean is the loss."""
        bounds = self.log_ratios(images)
        self.add_loss(-tf.reduce_mean(bounds))
        if self.mixture is not None:
            self.add_loss(tf.cast(self.mixture.kl(), tf.float32) / self.num_images)
        return bounds


class Sweeps(keras.callbacks.Callback):
    """Moves a mixture by sweeps over the encodings as they have become, every few epochs."""

    def __init__(self, mixture: Any, images: np.ndarray, between: int) -> None:
        super().__init__()
        self.mixture, self.images, self.between = mixture, images, between

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Sweeps after the epochs whose turn it is."""
        if (epoch + 1) % self.between == 0:
            self.mixture.fit(self.model.encoded(self.images).sample(), epochs=3, verbose=0)


def images_of(seed: int, num_images: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Returns images to train on and 500 held-out ones, (N, 64) float32, in an order of the seed."""
    pixels = np.random.default_rng(seed).permutation(load_digits().data.astype(np.float32))
    return pixels[500:][:num_images], pixels[:500]


def layers_of(num_hidden: int, num_outputs: int) -> Any:
    """Returns one hidden layer and the outputs."""
    return keras.Sequential([keras.layers.Dense(num_hidden, activation="relu"), keras.layers.Dense(num_outputs)])


def standard_normal(latent: Any) -> Any:
    """Returns the log densities of latent rows, (B,) nats."""
    return tfd.MultivariateNormalDiag(tf.zeros(latent.shape[-1])).log_prob(latent)


def train(model: Autoencoder, images: np.ndarray, epochs: int, callbacks: Any = None) -> None:
    """Trains an autoencoder with an optimizer of its own."""
    # XLA does not compile what the mixture answers, and Keras knows nothing of one inside a function
    steps = math.ceil(len(images) / 100)
    model.compile(keras.optimizers.Adam(2e-3), steps_per_execution=steps, jit_compile=False)
    model.fit(images, epochs=epochs, batch_size=100, verbose=0, callbacks=callbacks)


def continued(way: str, begun: Autoencoder, images: np.ndarray, settings: Settings, seed: int) -> Autoencoder:
    """Goes on with an autoencoder, under the prior that `way` names; returns it."""
    layers = begun.encoder, begun.decoder
    if way == "standard normal":
        model, callbacks = Autoencoder(*layers, standard_normal), []
    else:
        latent = begun.encoded(images).sample()
        mixture = tfgmm.fit_mixture(latent, settings.num_components, covariance="full", seed=seed).model

        def log_prior(latent: Any) -> Any:  # of the mixture as it stands whenever it is asked
            return mixture(latent, sampling=False)[0]

        is_trained = way == "mixture, gradients"
        model = Autoencoder(*layers, log_prior, mixture if is_trained else None, len(images))
        callbacks = [] if is_trained else [Sweeps(mixture, images, settings.between)]
    train(model, images, settings.more_epochs, callbacks)
    return model


def bounds_of(model: Autoencoder, images: np.ndarray, num_draws: int) -> tuple[float, float]:
    """Returns two bounds on the log density, nats per image, and of S draws: their mean, and the log of their mean."""
    ratios = tf.function(model.log_ratios)
    log_ratios = np.stack([ratios(tf.constant(images)) for _ in range(num_draws)])
    return float(log_ratios.mean()), float(np.mean(np.logaddexp.reduce(log_ratios, axis=0)) - math.log(num_draws))


def compared(seed: int, settings: Settings, num_images: int | None = None) -> list[dict[str, Any]]:
    """Trains one autoencoder and goes on in all ways; returns a line for each."""
    images, held_out = images_of(seed, num_images)
    keras.utils.set_random_seed(seed)
    begun = Autoencoder(
        layers_of(settings.num_hidden, 2 * settings.num_latent), layers_of(settings.num_hidden, 64), standard_normal
    )
    train(begun, images, settings.first_epochs)
    numbers, lines = [part.get_weights() for part in (begun.encoder, begun.decoder)], []
    for way in WAYS:
        for part, values in zip((begun.encoder, begun.decoder), numbers):
            part.set_weights(values)
        keras.utils.set_random_seed(seed)
        start = time.perf_counter()
        model = continued(way, begun, images, settings, seed)
        seconds = time.perf_counter() - start
        bound, tighter = bounds_of(model, held_out, settings.num_draws)
        lines.append({"prior": way, "bound": bound, "tighter bound": tighter, "seconds": seconds})
    return lines


def main() -> None:
    """Prints a table per seed and one of the means, and writes results/bench_autoencoder.json."""
    epochs = {"type": int, "default": Settings().more_epochs, "help": "epochs after the first 40"}
    arguments = common.arguments_of(__doc__, repeats=3, options={"--epochs": epochs})
    report = common.Report("bench_autoencoder", arguments)
    quick = Settings(first_epochs=2, more_epochs=5, num_draws=2)
    settings = quick if arguments.quick else Settings(more_epochs=arguments.epochs)
    runs = []
    for seed in range(arguments.repeats):
        runs.append(compared(seed, settings, 300 if arguments.quick else None))
        report.add(f"seed {seed}, 500 held-out digits, nats per image", runs[-1])
    columns = ("bound", "tighter bound", "seconds")
    lines = []
    for place, way in enumerate(WAYS):
        means = {column: float(np.mean([run[place][column] for run in runs])) for column in columns}
        gains = [run[place]["bound"] - run[0]["bound"] for run in runs]
        lines.append({"prior": way, **means, "least gain": min(gains), "largest gain": max(gains)})
    report.add(f"means of {len(runs)} seeds", lines, ["gains are over the standard normal of the same seed, in bound"])


if __name__ == "__main__":
    main()
