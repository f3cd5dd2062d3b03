"""The worked example: steps per second, and with --losses what 1,000 epochs of each way end at.

The script is the one of the TensorFlow document that tfgmm grew from, written plainly with tfd.Mixture, its
variables in a tf.Module because Keras 3 does not track a bare tf.Variable.

Run: python benchmarks/bench_blog.py [--epochs 100] [--repeats 3] [--losses]
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import tfgmm

tfd = tfp.distributions
NUM_ROWS, BATCH_SIZE, LEARNING_RATE = 3000, 500, 1e-3
STEPS_PER_EPOCH = NUM_ROWS // BATCH_SIZE


def worked_example_rows() -> np.ndarray:
    """Returns the rows of the worked example, (3000, 2) float32: its recipe, its seed."""
    np.random.seed(12345)  # noqa: NPY002  the legacy generator is part of the recipe
    rows = np.random.randn(NUM_ROWS, 2).astype("float32")  # noqa: NPY002
    rows[:1000] += [2, 0]
    rows[1000:2000] -= [2, 4]
    rows[2000:] += [-2, 4]
    return rows


class PublishedModel(tf.Module):
    """The model of the worked example: raw positive variables, one draw per row, tfd.Mixture."""

    def __init__(self) -> None:
        super().__init__()
        self.locs = tf.Variable(tf.random.normal((3, 2)))
        self.scales = tf.Variable(tf.pow(tf.random.gamma((3, 2), 5.0, 5.0), -0.5))
        self.alpha = tf.Variable(tf.random.uniform((3, 2), 4.0, 6.0))
        self.beta = tf.Variable(tf.random.uniform((3, 2), 4.0, 6.0))
        self.counts = tf.Variable(2 * tf.ones((3,)))
        self.priors = (
            tfd.Normal(tf.zeros((3, 2)), tf.ones((3, 2))),
            tfd.Gamma(5 * tf.ones((3, 2)), 5 * tf.ones((3, 2))),
            tfd.Dirichlet(2 * tf.ones((3,))),
        )

    def __call__(self, rows: Any) -> tuple[Any, Any]:
        """Returns log likelihoods per row and the KL sum."""
        posteriors = tfd.Normal(self.locs, self.scales), tfd.Gamma(self.alpha, self.beta), tfd.Dirichlet(self.counts)
        mu, tau, theta = (posterior.sample(rows.shape[0]) for posterior in posteriors)
        components = [
            tfd.MultivariateNormalDiag(loc=mu[:, k, :], scale_diag=tf.pow(tau[:, k, :], -0.5)) for k in range(3)
        ]
        mixture = tfd.Mixture(cat=tfd.Categorical(probs=theta), components=components)
        divergences = [tfd.kl_divergence(posterior, prior) for posterior, prior in zip(posteriors, self.priors)]
        return mixture.log_prob(rows), tf.add_n([tf.reduce_sum(divergence) for divergence in divergences])


def gradient_step(model: Any, optimizer: Any) -> Callable[[Any], None]:
    """Returns the hand-written training step of the worked example for either model."""
    variables = model.trainable_variables
    optimizer.build(variables)

    def step(rows: Any) -> None:
        with tf.GradientTape() as tape:
            log_likelihoods, kl_sum = model(rows)
            loss = kl_sum / NUM_ROWS - tf.reduce_mean(log_likelihoods)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))

    return step


def published_script(rows: np.ndarray, model: PublishedModel | None = None) -> Callable[[int], None]:
    """Returns a function that runs the published loop for some epochs."""
    step = tf.function(gradient_step(model or PublishedModel(), keras.optimizers.Adam(LEARNING_RATE)))
    dataset = tf.data.Dataset.from_tensor_slices(rows).shuffle(10_000).batch(BATCH_SIZE)

    def run(epochs: int) -> None:
        for _ in range(epochs):
            for batch in dataset:
                step(batch)

    return run


def epochs_in_one_graph(rows: np.ndarray) -> Callable[[int], None]:
    """Returns a function that runs a hand-written loop on our model, all epochs inside one tf.function."""
    model = tfgmm.GaussianMixtureModel(3, 2, seed=0).initialize(rows)
    step = gradient_step(model, keras.optimizers.Adam(LEARNING_RATE))
    data = tf.constant(rows)

    @tf.function
    def loop(epochs: Any) -> None:
        for epoch in tf.range(epochs):
            order = tf.random.experimental.stateless_shuffle(tf.range(NUM_ROWS), seed=tf.stack([0, epoch]))
            for batch in tf.range(STEPS_PER_EPOCH):
                step(tf.gather(data, order[batch * BATCH_SIZE : (batch + 1) * BATCH_SIZE]))

    return lambda epochs: loop(tf.constant(epochs))


def keras_fit(rows: np.ndarray) -> Callable[[int], None]:
    """Returns a function that calls `fit`."""
    model = tfgmm.GaussianMixtureModel(3, 2, seed=0)
    model.compile(keras.optimizers.Adam(LEARNING_RATE))
    return lambda epochs: model.fit(rows, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)


def mean_loss(model: Any, rows: np.ndarray) -> float:
    """Returns minus the marginal bound per row, nats, averaged over 20 sets of draws for all rows."""
    terms = [model(tf.constant(rows)) for _ in range(20)]
    return statistics.mean(float(kl) / NUM_ROWS - float(tf.reduce_mean(values)) for values, kl in terms)


def final_losses(rows: np.ndarray) -> dict[str, float]:
    """Returns the loss that each way of training ends at, all from the same rows."""
    tf.random.set_seed(12345)
    script, ours = PublishedModel(), tfgmm.GaussianMixtureModel(3, 2, seed=0)
    published_script(rows, script)(1000)
    ours.compile(keras.optimizers.Adam(LEARNING_RATE))
    ours.fit(rows, batch_size=BATCH_SIZE, epochs=1000, verbose=0)
    closed = tfgmm.GaussianMixtureModel(3, 2, seed=0)
    closed.compile()
    began = time.perf_counter()
    closed.fit(rows, epochs=30, verbose=0)
    seconds = time.perf_counter() - began
    losses = {
        "script, 1000 epochs": mean_loss(script, rows),
        "fit with Adam, 1000 epochs": mean_loss(ours, rows),
        "closed form, 30 sweeps": mean_loss(closed, rows),
    }
    for name, loss in losses.items():
        print(f"{name:<28} {loss:.4f} nats per row")
    print(f"the closed form took {seconds:.1f} s, tracing included")
    return losses


def main() -> None:
    """Returns nothing; prints the table and writes benchmarks/results/bench_blog.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--losses", action="store_true")
    arguments = parser.parse_args()
    rows = worked_example_rows()
    ways = {"script": published_script(rows), "fit": keras_fit(rows), "one graph": epochs_in_one_graph(rows)}
    for run in ways.values():
        run(2)  # traces
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.repeats):  # in turn, so that a slow minute of the machine meets all of them
        for name, run in ways.items():
            began = time.perf_counter()
            run(arguments.epochs)
            speeds[name].append(arguments.epochs * STEPS_PER_EPOCH / (time.perf_counter() - began))
    print(f"{platform.machine()}, {os.cpu_count()} cores, TensorFlow {tf.__version__}, Keras {keras.__version__}")
    print(f"{'way':<10} {'steps/s':>8} {'ratio to script':>16}")
    ratios = {
        name: statistics.median(ours / script for ours, script in zip(values, speeds["script"]))
        for name, values in speeds.items()
    }
    for name, values in speeds.items():
        print(f"{name:<10} {statistics.median(values):>8.0f} {ratios[name]:>16.2f}")
    results_of_run: dict[str, Any] = {"steps_per_second": speeds, "ratios": ratios}
    if arguments.losses:
        results_of_run["losses"] = final_losses(rows)
    results = pathlib.Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "bench_blog.json").write_text(json.dumps(results_of_run, indent=1))


if __name__ == "__main__":
    main()
