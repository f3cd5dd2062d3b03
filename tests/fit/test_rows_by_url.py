"""Whatever takes a path of rows takes a URL: the same fits and scores; a failing network changes no model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fsspec
import keras
import numpy as np
import pytest
from rows_by_url import TABLE, VALUES, Faulty, csv, memory_file, parquet

import tfgmm


@pytest.fixture
def urls() -> Iterator[list[str]]:
    """The same rows as Parquet, as CSV and as a folder."""
    yield [
        memory_file("/fits/x.parquet", parquet(TABLE)),
        memory_file("/fits/x.csv", csv(TABLE)),
        memory_file("/fits/folder/1.parquet", parquet(TABLE)).removesuffix("/1.parquet"),
    ]
    fsspec.filesystem("memory").store.clear()


def test_fits_of_urls_are_those_of_arrays(urls: list[str]) -> None:
    options: dict[str, Any] = {"restarts": 2, "seed": 1}
    frame = TABLE.to_pandas()
    plain = tfgmm.fit_mixture(frame, 2, validation_data=frame, **options)
    for url in urls:
        fitted = tfgmm.fit_mixture(url, 2, validation_data=url, **options)
        assert fitted.elbo == pytest.approx(plain.elbo, rel=1e-12)


@pytest.mark.slow
def test_a_model_trains_on_urls_and_a_failing_network_leaves_it_as_it_was(urls: list[str]) -> None:
    fsspec.register_implementation("faulty", Faulty, clobber=True)
    model = tfgmm.GaussianMixtureModel(2, 3, priors=tfgmm.Priors.from_data(VALUES), seed=0)
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(urls[0], epochs=2, verbose=0, validation_data=urls[1])
    expected = model.predict(VALUES, verbose=0)
    for url in urls:
        np.testing.assert_array_equal(model.predict(url, verbose=0), expected)
    before = [variable.numpy() for variable in model.variables]
    faulty = memory_file("/fits/x.parquet", parquet(TABLE), "faulty")
    Faulty.error, Faulty.left = ConnectionResetError(104, "reset"), 6_000
    for use in (lambda: model.fit(faulty, epochs=1, verbose=0), lambda: tfgmm.fit_mixture(faulty, 2)):
        with pytest.raises(
            ConnectionError, match="must be rows that can be reached. Received: 'faulty://fits/x.parquet'"
        ):
            use()
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
