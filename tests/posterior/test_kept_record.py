"""The record of how draws were made: plain values and back, and what is refused in those from elsewhere."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from tfgmm.posterior.draws import Draws
from tfgmm.posterior.record import PosteriorRecord

FULL = PosteriorRecord(
    "importance",
    "auto",
    k_hat=0.31,
    ess=1812.5,
    r_hat=1.004,
    share_moved=0.02,
    moved=(0.02, 0.02, 0.0),
    log_evidence=-431.25,
    evidence_error=0.03,
    efficiency=0.4,
    width_error=0.01,
    note="it was stopped before it was done",
)


@pytest.mark.parametrize("record", [FULL, PosteriorRecord("laplace"), PosteriorRecord("mean_field", "mean_field")])
def test_json_keeps_every_field(record):
    assert PosteriorRecord.from_dict(json.loads(json.dumps(record.to_dict(), allow_nan=False))) == record


def test_figures_of_numpy_and_without_end_are_plain():
    record = PosteriorRecord("laplace", k_hat=np.float64(math.nan), ess=np.float32(2.0), efficiency=math.nan)
    assert json.loads(json.dumps(record.to_dict(), allow_nan=False)) | {"ess": 2.0} == record.to_dict()
    restored = PosteriorRecord.from_dict(record.to_dict())
    assert (restored.k_hat, restored.efficiency, restored.ess) == (None, None, 2.0)
    assert not restored.is_trusted and not record.is_trusted


def test_fields_of_later_versions_are_left_out_and_missing_ones_are_not_known():
    assert PosteriorRecord.from_dict({"method": "mcmc", "colour": "red"}) == PosteriorRecord("mcmc")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("method", "exact", "`method` must be one of 'mean_field', 'laplace', 'importance', 'mcmc'"),
        ("method", None, "`method` must be one of"),
        ("asked", 3, "`asked` must be one of"),
        ("k_hat", "0.3", "`k_hat` must be a finite number from -inf to inf, or null. Received: '0.3'"),
        ("ess", -1.0, "`ess` must be a finite number from 0 to inf"),
        ("r_hat", math.nan, "`r_hat` must be a finite number"),
        ("share_moved", 1.5, "`share_moved` must be a finite number from 0 to 1"),
        ("evidence_error", True, "`evidence_error` must be a finite number"),
        ("width_error", -0.1, "`width_error` must be a finite number from 0"),
        ("moved", "all", "`moved` must be a list of shares. Received: 'all'"),
        ("moved", [0.1, 2.0], "`moved` must be a finite number from 0 to 1"),
        ("note", ["<b>"], "`note` must be text"),
    ],
)
def test_odd_fields_are_named(field, value, words):
    with pytest.raises(ValueError) as caught:
        PosteriorRecord.from_dict(FULL.to_dict() | {field: value})
    assert words in str(caught.value)


# --- ArviZ


def draws_with(record, **stats):
    weights, locs = np.full((1, 6, 2), 0.5), np.arange(12.0).reshape(1, 6, 2, 1)
    return Draws(weights, locs, np.ones((1, 6, 2, 1)), sample_stats=stats, posterior=record)


@pytest.mark.parametrize("record", [FULL, PosteriorRecord("mcmc"), None])
def test_arviz_and_its_files_keep_the_record_and_the_figures_of_draws(record, tmp_path):
    draws = draws_with(record, log_importance_ratio=np.arange(6.0)[None])
    data = draws.to_arviz()
    data.to_netcdf(str(tmp_path / "draws.nc"))
    for source in (data, tmp_path / "draws.nc"):
        restored = Draws.from_arviz(source)
        assert restored.posterior == record
        np.testing.assert_array_equal(restored.sample_stats["log_importance_ratio"], np.arange(6.0)[None])


@pytest.mark.parametrize("text", ["{", "[]", '{"method": "exact"}', 3])
def test_an_odd_record_in_arviz_is_named(text):
    data = draws_with(dataclasses.replace(FULL, note="")).to_arviz()
    data.posterior.attrs["posterior_record"] = text
    with pytest.raises(ValueError, match=r"`data.posterior.attrs\['posterior_record'\]` must be what Draws.to_arviz"):
        Draws.from_arviz(data)
