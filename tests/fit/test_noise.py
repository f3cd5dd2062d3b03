"""Fits to rows with measurement noise: from files with blocks that say nothing, and what is said of the answer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import tfgmm


@pytest.mark.parametrize("covariance", ["diag", "full"])
@pytest.mark.parametrize("kind", ["weight 0", "no value"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.filterwarnings("ignore:.*without any value")
def test_blocks_of_a_file_that_say_nothing_are_no_rows(tmp_path, monkeypatch, ending, kind, covariance):
    monkeypatch.setattr("tfgmm.data.files.opening._LARGE_BYTES", 0)  # read block by block
    generator = np.random.default_rng(0)
    table = pd.DataFrame(generator.normal(size=(90, 2)), columns=["a", "b"])
    table["e"], table["w"] = generator.uniform(0.2, 1.0, 90), 1.0
    if kind == "weight 0":
        table.loc[30:59, "w"] = 0.0
    else:
        table.loc[30:59, ["a", "b"]] = np.nan
    path = tmp_path / f"rows.{ending}"
    table.to_csv(path, index=False) if ending == "csv" else table.to_parquet(path)
    options = {"covariance": covariance, "noise": {"a": "e"}, "sample_weight": "w", "restarts": 1, "seed": 0}
    stored = tfgmm.fit_mixture(path, 1, batch_size=15, validation_data=path, **options)
    assert stored.num_data == 60
    framed = tfgmm.fit_mixture(table, 1, validation_data=table, **options)
    np.testing.assert_allclose(stored.elbo, framed.elbo, rtol=1e-10)
    np.testing.assert_allclose(stored.locs, framed.locs, rtol=1e-8)
    for name in ("val_elbo", "elbo"):
        np.testing.assert_allclose(stored.history[name][-1], framed.history[name][-1], rtol=1e-10)
