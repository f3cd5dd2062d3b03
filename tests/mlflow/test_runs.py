"""Training runs and models on MLflow's tracking page, in a database of SQLite."""

from __future__ import annotations

import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from exports import NAMES, D, contents

import tfgmm
from tfgmm.mlflow.models import mlflow_package
from tfgmm.mlflow.runs import figures_of

mlflow = mlflow_package()
RNG = np.random.default_rng(11)
FRAME = pd.DataFrame(RNG.normal([[-3.0] * D] * 60 + [[3.0] * D] * 60, 0.7), columns=list(NAMES))
# MLflow's registry says on standard error what it does; nothing else of it is of interest here
ARTIFACTS = {"priors.json", "figures/convergence.png", "figures/means.png"}


@pytest.fixture(scope="module", autouse=True)
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    """A tracking database with an experiment, in which all runs of this module are; returns the artifacts' folder."""
    folder = tmp_path_factory.mktemp("tracking")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'runs.db'}")
    experiment = mlflow.create_experiment("mixtures", artifact_location=(folder / "artifacts").as_uri())
    mlflow.set_experiment(experiment_id=experiment)
    yield folder / "artifacts"
    mlflow.set_tracking_uri(before)


@pytest.fixture(autouse=True)
def no_run_left() -> Iterator[None]:
    yield
    left = mlflow.active_run()
    mlflow.end_run()
    assert left is None


def compiled(**options: Any) -> tfgmm.GaussianMixtureModel:
    model = tfgmm.GaussianMixtureModel(2, D, seed=4, priors=tfgmm.Priors.from_data(FRAME), **options)
    model.compile()
    return model


def metrics_of(run_id: str) -> dict[str, list[float]]:
    """Returns every metric's values, once their steps are known to count from 0."""
    client, found = mlflow.MlflowClient(), {}
    for name in mlflow.get_run(run_id).data.metrics:
        history = client.get_metric_history(run_id, name)
        assert [metric.step for metric in history] == list(range(len(history)))
        found[name] = [metric.value for metric in history]
    return found


def artifacts_of(run_id: str) -> dict[str, bytes]:
    root = mlflow.get_run(run_id).info.artifact_uri.removeprefix("file://")
    return contents(pathlib.Path(root))


@pytest.fixture(scope="module")
def logged() -> tuple[tfgmm.FitResult, Any]:
    """A fit by fit_mixture and its logger: a run of its own."""
    logger = tfgmm.mlflow.RunLogger(registered_model_name="clusters", run_name="first")
    return tfgmm.fit_mixture(FRAME, 2, callbacks=[logger], restarts=2, validation_data=FRAME[:20]), logger


def test_a_run_holds_the_bound_of_every_epoch_and_what_was_asked_for(logged: Any) -> None:
    result, logger = logged
    run = mlflow.get_run(logger.run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "first")
    assert metrics_of(logger.run_id) == {name: list(values) for name, values in result.history.items()}
    assert {"loss", "elbo", "log_likelihood", "kl", "val_elbo"} <= set(result.history)
    params = run.data.params
    expected = {"num_components": 2, "num_features": D, "covariance": "diag", "weights": "dirichlet", "seed": 0}
    expected |= {"num_data": 120, "optimizer": "closed form", "epochs": 200, "versions.keras": keras.__version__}
    assert {name: params[name] for name in expected} == {name: str(value) for name, value in expected.items()}
    assert json.loads(params["priors.loc_scale"]) == list(result.model.priors.loc_scale)


def test_a_run_holds_pictures_priors_and_the_model(logged: Any) -> None:
    result, logger = logged
    found = artifacts_of(logger.run_id)
    assert set(found) == ARTIFACTS
    assert all(found[name].startswith(b"\x89PNG") for name in found if name.endswith(".png"))
    assert tfgmm.Priors.from_dict(json.loads(found["priors.json"])) == result.model.priors
    for uri in (logger.model_info.model_uri, "models:/clusters/1"):
        scores = mlflow.pyfunc.load_model(uri).predict(FRAME)
        np.testing.assert_allclose(scores["log_prob"], result.model.log_prob(FRAME), rtol=1e-6, atol=1e-6)


def test_the_registry_counts_versions_and_further_arguments_pass_through(whole: pathlib.Path) -> None:
    with mlflow.start_run() as run:
        first = tfgmm.mlflow.log_model(whole, "mixture", registered_model_name="shapes", tags={"stage": "trial"})
        second = tfgmm.mlflow.log_model(whole, "mixture", registered_model_name="shapes", metadata={"of": "two"})
    assert [info.registered_model_version for info in (first, second)] == [1, 2]
    assert mlflow.get_logged_model(first.model_id).tags["stage"] == "trial"
    assert first.run_id == run.info.run_id
    loaded = mlflow.pyfunc.load_model("models:/shapes/2")
    assert loaded.metadata.metadata["of"] == "two"
    folder = pathlib.Path(mlflow.artifacts.download_artifacts("models:/shapes/1")) / "data" / whole.name
    assert contents(folder) == contents(whole)


def test_a_logged_model_says_what_its_intervals_come_from(tmp_path: pathlib.Path) -> None:
    plain = tfgmm.fit_mixture(FRAME, 2, restarts=1)
    exact = plain.with_posterior(FRAME, "importance")
    with mlflow.start_run() as run:
        tfgmm.mlflow.log_model(plain.export(tmp_path / "plain"))
        tags = mlflow.get_run(run.info.run_id).data.tags
        assert (tags["posterior"], tags["posterior_asked"]) == ("mean_field", "mean_field")
        assert mlflow.get_run(run.info.run_id).data.metrics == {}
        logged = tfgmm.mlflow.log_model(exact.export(tmp_path / "mixture"))
    found, record = mlflow.get_run(run.info.run_id).data, exact.exact.record
    assert (found.tags["posterior"], found.tags["posterior_asked"]) == ("importance", "importance")
    names = ("k_hat", "ess", "share_moved", "log_evidence", "evidence_error")
    assert found.metrics == {name: getattr(record, name) for name in names}
    folder = pathlib.Path(mlflow.artifacts.download_artifacts(logged.model_uri)) / "data" / "mixture"
    assert tfgmm.load_scorer(folder).draws().posterior == record
    assert mlflow.pyfunc.load_model(logged.model_uri).metadata.metadata["tfgmm"]["posterior"] == "importance"


def test_fit_logs_to_the_active_run_and_leaves_it_open() -> None:
    logger = tfgmm.mlflow.RunLogger(None, figures=False, run_name="not used")
    model = compiled(covariance="tied")
    with mlflow.start_run(run_name="mine") as run:
        history = model.fit(FRAME, epochs=3, verbose=0, validation_split=0.25, callbacks=[logger]).history
        assert mlflow.active_run().info.run_id == run.info.run_id == logger.run_id
    assert mlflow.get_run(logger.run_id).info.run_name == "mine"
    assert metrics_of(logger.run_id) == history
    assert mlflow.get_run(logger.run_id).data.params["covariance"] == "tied"
    assert set(artifacts_of(logger.run_id)) == {"priors.json"}
    assert logger.model_info is None and not mlflow.search_logged_models(
        filter_string=f"source_run_id = '{logger.run_id}'", output_format="list"
    )


def test_epochs_wait_for_each_other_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    send = mlflow.MlflowClient.log_batch

    def counted(self: Any, run_id: str, metrics: Any = (), **others: Any) -> Any:
        sizes.append(len(metrics))
        return send(self, run_id, metrics=metrics, **others)

    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", counted)
    logger, model = tfgmm.mlflow.RunLogger(None, figures=False), compiled()
    monkeypatch.setattr("tfgmm.mlflow.runs._SECONDS_BETWEEN", 1e9)
    monkeypatch.setattr("tfgmm.mlflow.runs._MOST_METRICS", 7)
    history = model.fit(FRAME, epochs=5, verbose=0, callbacks=[logger]).history
    assert sizes == [0, 7, 7, 6]  # the parameters, then 5 epochs of 4 figures at the end
    assert metrics_of(logger.run_id) == history
    sizes.clear()
    monkeypatch.setattr("tfgmm.mlflow.runs._SECONDS_BETWEEN", -1.0)
    model.fit(FRAME, epochs=2, verbose=0, callbacks=[logger])
    assert sizes == [0, 4, 4]


class Failing(keras.callbacks.Callback):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            raise self.error


@pytest.mark.parametrize(("error", "status"), [(RuntimeError("no"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_a_fit_that_fails_ends_its_run_so(error: BaseException, status: str) -> None:
    logger = tfgmm.mlflow.RunLogger()
    with pytest.raises(type(error)):
        compiled().fit(FRAME, epochs=4, verbose=0, callbacks=[logger, Failing(error)])
    assert mlflow.active_run() is None
    assert mlflow.get_run(logger.run_id).info.status == status
    assert len(metrics_of(logger.run_id)["elbo"]) == 2
    assert logger.model_info is None and set(artifacts_of(logger.run_id)) == {"priors.json"}


def test_a_failed_fit_leaves_a_run_that_others_began_to_them() -> None:
    logger = tfgmm.mlflow.RunLogger()
    with pytest.raises(RuntimeError, match="no"), mlflow.start_run():
        with pytest.raises(RuntimeError, match="no"):
            compiled().fit(FRAME, epochs=4, verbose=0, callbacks=[logger, Failing(RuntimeError("no"))])
        assert mlflow.get_run(logger.run_id).info.status == "RUNNING"
        raise RuntimeError("no")
    assert mlflow.get_run(logger.run_id).info.status == "FAILED"


def test_rows_that_cannot_be_fitted_begin_no_run() -> None:
    logger = tfgmm.mlflow.RunLogger()
    with pytest.raises(ValueError, match="NaN"):
        compiled().fit(FRAME.assign(width=np.nan), verbose=0, callbacks=[logger])
    assert logger.run_id is None


def test_a_registry_without_a_model_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`model_name` must be a name.*registered_model_name='x'"):
        tfgmm.mlflow.RunLogger(None, registered_model_name="x")


def test_long_priors_are_shortened_in_the_parameters_only() -> None:
    wide = pd.DataFrame(RNG.normal(size=(40, 60)))
    logger = tfgmm.mlflow.RunLogger(None, figures=False)
    model = tfgmm.GaussianMixtureModel(1, 60, seed=0, priors=tfgmm.Priors.from_data(wide))
    model.compile()
    model.fit(wide, verbose=0, callbacks=[logger])
    shown = mlflow.get_run(logger.run_id).data.params["priors.loc_mean"]
    assert len(shown) == 500 and shown.endswith(" ...")
    assert tfgmm.Priors.from_dict(json.loads(artifacts_of(logger.run_id)["priors.json"])) == model.priors


@pytest.mark.parametrize("num_features", [1, 2, 4])
def test_the_pictures_show_the_mixture(num_features: int, no_figures_left: None) -> None:
    places = np.array([[0.0] * num_features, [9.0] + [0.0] * (num_features - 1)])
    # A generator of its own: else what other tests draw decides how far out a row is, in spreads
    rows = np.random.default_rng(1).normal(np.repeat(places, 50, axis=0))
    rows[0, -1] = 400.0 if num_features == 2 else rows[0, -1]  # one row far from all others
    model = tfgmm.GaussianMixtureModel(2, num_features, seed=0, priors=tfgmm.Priors.from_data(rows))
    model.compile()
    with pytest.warns(UserWarning, match="spreads from the centre") if num_features == 2 else contextlib.nullcontext():
        model.initialize(rows, start=places)
        history = model.fit(rows, epochs=3, verbose=0).history
    history["val_loss"] = history["loss"][:1]  # validated once: no curve
    figures = figures_of(model, history)
    name = "density" if num_features <= 2 else "means"
    assert list(figures) == ["convergence", name]
    [line] = figures["convergence"].axes[0].lines
    np.testing.assert_allclose(line.get_ydata(), history["loss"])
    ax = figures[name].axes[0]
    if num_features == 1:
        x, y = ax.lines[-1].get_data()  # the sum
        np.testing.assert_allclose(np.log(y), model.log_prob(np.reshape(x, (-1, 1))), atol=1e-4)
    elif num_features == 2:
        assert ax.get_ylim()[1] < 100.0 and ax.get_xlim()[0] < 0.0 < 9.0 < ax.get_xlim()[1]
    else:
        assert "column 0" in (ax.get_xlabel(), ax.get_ylabel())  # the one that tells the components apart
    assert list(figures_of(model, {})) == [name]


@pytest.mark.parametrize("kind", ["one", "nested", "CallbackList"])
def test_training_tells_its_error_to_callbacks_of_any_kind(kind: str) -> None:
    told = []

    class Told(Failing):
        def on_train_error(self, error: BaseException) -> None:
            told.append(error)

    callback = Told(RuntimeError("no"))
    model = compiled()
    kinds = {"one": callback, "nested": ([callback],)}
    callbacks = kinds.get(kind) or keras.callbacks.CallbackList([callback], model=model, epochs=4)
    with pytest.raises(RuntimeError, match="no"):
        model.fit(FRAME, epochs=4, verbose=0, callbacks=callbacks)
    assert told == [callback.error]
    assert model.elbo is not None  # the callback of our own was there too


def test_one_list_of_callbacks_serves_two_fits() -> None:
    model, logger = compiled(), tfgmm.mlflow.RunLogger(None, figures=False)
    callbacks = keras.callbacks.CallbackList([logger], add_history=True, model=model)
    for num_epochs in (2, 1):
        model.fit(FRAME, epochs=num_epochs, verbose=0, callbacks=callbacks)
        assert len(metrics_of(logger.run_id)["elbo"]) == num_epochs
    assert len(callbacks.callbacks) == 3


@pytest.mark.slow  # tests/model/test_feed.py reads the dataset as MLflow does, in a fraction of the time
def test_mlflow_may_log_by_itself_and_the_fit_ends() -> None:
    """It reads to its end the dataset that Keras is handed."""
    mlflow.tensorflow.autolog(log_models=False, silent=True)
    try:
        with mlflow.start_run() as run:
            compiled().fit(FRAME, epochs=3, batch_size=40, verbose=0)
    finally:
        mlflow.tensorflow.autolog(disable=True, silent=True)
    found = mlflow.get_run(run.info.run_id)
    assert found.data.params["opt_name"] == "closed_form"
    assert set(metrics_of(run.info.run_id)) >= {"loss", "elbo"}
    [dataset] = found.inputs.dataset_inputs
    assert json.loads(dataset.dataset.profile) == {"features_cardinality": 9}
