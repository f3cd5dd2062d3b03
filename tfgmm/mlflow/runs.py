"""A Keras callback that writes a training run to MLflow: its settings, the bound at every epoch, and the result."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfgmm.common.columns import column_labels
from tfgmm.common.version import versions
from tfgmm.mlflow.models import log_model, mlflow_package
from tfgmm.model.keras3 import keras

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tfgmm.model.gaussian_mixture import GaussianMixtureModel

_SECONDS_BETWEEN = 1.0  # one request for each epoch would often take longer than the epoch
_MOST_METRICS = 1000  # that MLflow takes in one request
_LONGEST = 500  # letters of a parameter; priors of a thousand columns are complete in priors.json


class RunLogger(keras.callbacks.Callback):
    """Logs a fit to MLflow: parameters, the figures of every epoch, pictures, and the fitted model with its signature.

    Where a run is active, it writes to that run and leaves it open. Else it begins a run of its own, which ends as
    FINISHED, as FAILED when the fit fails, or as KILLED when the fit is interrupted. Give it to
    `GaussianMixtureModel.fit` or `fit_mixture(callbacks=[...])`, after callbacks that change the model when training
    ends.

    Args:
        model_name: Name of the model within the run, see `tfgmm.mlflow.log_model`; None logs no model.
        registered_model_name: Name in the registry, where the model becomes the next version; None registers nothing.
        run_name: Name of a run that the callback begins; by default MLflow makes one up.
        figures: Whether pictures are logged: the loss by epoch, and the density of one or two columns, else the means.

    Attributes:
        run_id: Identifier of the last run, None before the first.
        model_info: MLflow's `ModelInfo` of the last logged model, None before the first.

    The parameters logged are num_components, num_features, covariance, weights, seed, num_data, epochs, optimizer, the
    priors and the versions. For each epoch, counted from 0, the metrics are those that Keras logs: loss, elbo,
    log_likelihood, kl and val_..., nats. The artifacts are priors.json and figures/. Epochs are sent to MLflow about
    once a second. `fit_mixture` logs its sweeps over all rows; with `polish_steps` or `posterior` it logs the model as
    it was before them: log what it returns with `tfgmm.mlflow.log_model`, which also logs how good the draws from the
    exact posterior are.

    Raises:
        ModuleNotFoundError: MLflow is not installed.
        ValueError: a name for the registry, but no model to register.

    Example: see docs/serving.md.
    """

    def __init__(
        self,
        model_name: str | None = "model",
        *,
        registered_model_name: str | None = None,
        run_name: str | None = None,
        figures: bool = True,
    ) -> None:
        super().__init__()
        if registered_model_name is not None and model_name is None:
            raise ValueError(
                "`model_name` must be a name where a model is registered. Received: model_name=None, "
                f"registered_model_name={registered_model_name!r}. Leave one of the two out."
            )
        self._mlflow = mlflow_package()  # a missing package should be known before hours of training
        self.model_name = model_name
        self.registered_model_name = registered_model_name
        self.run_name = run_name
        self.figures = figures
        self.run_id: str | None = None
        self.model_info: Any = None
        self._is_ours = False  # whether we have begun the run and not ended it
        self._waiting: list[Any] = []
        self._history: dict[str, list[float]] = {}

    def on_train_begin(self, logs: Any = None) -> None:
        """Begins a run, or joins the active one, and logs the settings of the fit."""
        active = self._mlflow.active_run()
        run = active or self._mlflow.start_run(run_name=self.run_name)
        self._is_ours = active is None
        self.run_id = run.info.run_id
        self._client = self._mlflow.MlflowClient()
        self._history, self._waiting, self._sent = {}, [], time.monotonic()
        from mlflow.entities import Param

        settings = parameters_of(self.model) | {"epochs": (self.params or {}).get("epochs")}
        params = [Param(name, _shortened(value)) for name, value in settings.items()]
        self._client.log_batch(self.run_id, params=params)
        self._client.log_dict(self.run_id, self.model.priors.to_dict(), "priors.json")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Records the metrics of the epoch, and sends all that are waiting if the last request is a second ago."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        for name, value in (logs or {}).items():
            self._history.setdefault(name, []).append(float(value))
            self._waiting.append(Metric(name, float(value), now, epoch))
        if time.monotonic() - self._sent > _SECONDS_BETWEEN:
            self._send()

    def on_train_end(self, logs: Any = None) -> None:
        """Logs the model and the pictures, and ends the run if this callback began it."""
        self._send()
        if self.model_name is not None:
            registered = self.registered_model_name
            self.model_info = log_model(self.model, self.model_name, registered_model_name=registered)
        if self.figures:
            for name, figure in figures_of(self.model, self._history).items():
                self._client.log_figure(self.run_id, figure, f"figures/{name}.png")
        self._end("FINISHED")

    def on_train_error(self, error: BaseException) -> None:
        """Ends the run as failed or killed if this callback began it; `fit` calls this when it cannot finish."""
        if not self._is_ours:
            return  # whoever began the run sees the error too
        with contextlib.suppress(Exception):  # the error of the fit matters more, and may come from the server too
            self._send()
        self._end("FAILED" if isinstance(error, Exception) else "KILLED")

    def _send(self) -> None:
        while self._waiting:
            self._client.log_batch(self.run_id, metrics=self._waiting[:_MOST_METRICS])
            del self._waiting[:_MOST_METRICS]
        self._sent = time.monotonic()

    def _end(self, status: str) -> None:
        if self._is_ours:
            self._is_ours = False
            self._mlflow.end_run(status)


def parameters_of(model: GaussianMixtureModel) -> dict[str, Any]:
    """Lists the settings of a fit by the names of MLflow's parameters."""
    return {
        "num_components": model.num_components,
        "num_features": model.num_features,
        "covariance": model.covariance,
        "weights": model.weight_prior,
        "seed": model.seed,
        "num_data": model.num_data,
        "optimizer": "closed form" if model.is_closed_form else model.optimizer.name,
        **{f"priors.{name}": json.dumps(value) for name, value in model.priors.to_dict().items()},
        **{f"versions.{name}": version for name, version in versions(tf, keras, np).items()},
    }


def _shortened(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]} ..."


def figures_of(model: GaussianMixtureModel, history: Mapping[str, Sequence[float]]) -> dict[str, Figure]:
    """Draws the pictures of a fit: Returns them by the names of their files. No window is opened, none need be closed.

    Args:
        model: Fitted model.
        history: Logs by name, one number per epoch; without "loss" its picture is left out.
    """
    from matplotlib.figure import Figure

    from tfgmm import plot

    figures = {name: Figure((6.4, 4.8), layout="constrained") for name in ("convergence", _mixture_figure(model))}
    if history.get("loss"):
        names = [name for name in ("loss", "val_loss") if len(history.get(name, ())) == len(history["loss"])]
        plot.loss({name: history[name] for name in names}, ax=figures["convergence"].subplots())
    else:
        del figures["convergence"]
    _draw_mixture(model, figures[_mixture_figure(model)].subplots())
    return figures


def _mixture_figure(model: GaussianMixtureModel) -> str:
    return "density" if model.num_features <= 2 else "means"


def _draw_mixture(model: GaussianMixtureModel, ax: Any) -> None:
    """Draws the density of one or two columns; for more, the means in the two columns that separate components best."""
    from tfgmm import plot
    from tfgmm.plot.frames import data_limits

    names = column_labels(model.column_names, model.num_features)
    summary: Any = model.data_summary  # not None after a fit
    locs, scales = model.locs.numpy(), model.scales.numpy()
    if model.num_features == 1:
        mixture = model.plug_in()
        widths = mixture.form.covariances(mixture.components)[0][:, 0]
        weights = np.exp(mixture.log_weights)
        plot.weighted_components(weights, locs[:, 0], widths, column_name=names[0], ax=ax)
    elif model.num_features == 2:
        plot.density(model.log_prob, limits=data_limits(summary), column_names=names, ax=ax)
    else:
        apart = np.ptp(locs, axis=0) / np.array(summary.spread)
        pair = np.sort(np.argsort(-apart, kind="stable")[:2])
        plot.means(locs[:, pair], scales[:, pair], column_names=[names[index] for index in pair], ax=ax)
