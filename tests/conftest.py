"""What every test needs: a quiet TensorFlow and figures without a screen; and the fixtures of several test modules."""

from __future__ import annotations

import os

# Must run before either is imported: the fixtures import what they need themselves.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

import importlib.util
import pathlib
import shutil
import sqlite3  # noqa: F401  before TensorFlow, which else puts its own SQLite, without mathematics, in its place
from collections.abc import Iterator
from typing import Any

import pytest

pytest.register_assert_rewrite("drawn_moments", "exports", "pictures", "scored_files", "tables_of_rows")


@pytest.fixture(scope="session")
def models() -> list[Any]:
    """Two models to export, not fitted; see exports.py."""
    import exports

    return [exports.model_of(0), exports.model_of(1)]


@pytest.fixture(scope="session")
def model(models: list[Any]) -> Any:
    return models[0]


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, model: Any) -> pathlib.Path:
    """An export of model 0, to read only."""
    import tfgmm

    return tfgmm.export_model(model, tmp_path_factory.mktemp("whole") / "mixture")


@pytest.fixture(scope="session")
def light(tmp_path_factory: pytest.TempPathFactory, model: Any) -> pathlib.Path:
    """An export of model 0 without a graph, to read only."""
    import tfgmm

    return tfgmm.export_model(model, tmp_path_factory.mktemp("light") / "mixture", saved_model=False)


@pytest.fixture
def folder(tmp_path: pathlib.Path, whole: pathlib.Path) -> pathlib.Path:
    """An export of model 0, alone in its parent folder, to damage or replace."""
    return pathlib.Path(shutil.copytree(whole, tmp_path / "mixture"))


@pytest.fixture
def no_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of the folder alone: exports without the time that their graph takes."""
    import exports

    exports.leave_out_graph(monkeypatch)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A fitted model and its export, to read only."""
    import exports
    import numpy as np
    import pandas as pd

    import tfgmm

    rows = np.random.default_rng(0).normal(size=(300, exports.D)) * 2.0 + 1.0
    fitted = exports.fitted(pd.DataFrame(rows, columns=list(exports.NAMES)))
    return exports.Exported(fitted, tfgmm.export_model(fitted, tmp_path_factory.mktemp("exported") / "mixture"))


@pytest.fixture(scope="session")
def dask_workers() -> Iterator[Any]:
    """The client of two Dask workers, which nobody ends."""
    from dask_clusters import started

    with started(2) as client:
        yield client


@pytest.fixture
def dask_client(dask_workers: Any) -> Iterator[Any]:
    """The same, as the client that Dask finds itself."""
    with dask_workers.as_current():
        yield dask_workers


@pytest.fixture
def no_figures_left() -> Iterator[None]:
    """Closes all figures before and after; no drawing may change matplotlib's settings."""
    import matplotlib
    import matplotlib.pyplot as plt

    plt.close("all")
    settings = dict(matplotlib.rcParams)
    yield
    plt.close("all")
    assert dict(matplotlib.rcParams) == settings


BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def missing(reason: str) -> None:
    """Skips; fails where a browser was promised."""
    if os.environ.get("TFGMM_NEED_BROWSER") == "1":
        pytest.fail(f"TFGMM_NEED_BROWSER=1, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The Chromium of this machine, headless."""
    found = [path for path in map(shutil.which, BROWSERS) if path]
    if not found:
        missing(f"this machine has no {', '.join(BROWSERS)}")
    if importlib.util.find_spec("playwright") is None:
        missing('playwright is not installed: pip install "tfgmm[test]"')
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's own refuses root
        opened = driver.chromium.launch(executable_path=found[0], args=flags)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Spark session in this process, two workers, one for the whole test run: its JVM takes long to start."""
    import spark_sessions

    spark_sessions.skip_without()
    with spark_sessions.session("local[2,4]", tmp_path_factory.mktemp("spark")) as opened:
        yield opened
