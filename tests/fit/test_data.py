"""`fit_mixture` gives the same bytes for the same numbers, in whatever form and process they come."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
import tensorflow as tf

import tfgmm

NAMES = ["eruptions", "waiting"]
# Numbers that float16 and whole numbers can hold
ROWS = np.random.default_rng(0).normal([[-30.0, 0.0]] * 50 + [[30.0, 10.0]] * 50, 5.0).round()


def digest(data, **options):
    """Returns a hash of everything that a fit found."""
    result = tfgmm.fit_mixture(data, 2, seed=1, restarts=2, **options)
    figures = [result.elbo, result.log_likelihood, *result.history["elbo"], *(r.elbo for r in result.restarts)]
    values = [np.asarray(value) for value in result.model.trainable_variables]
    return hashlib.sha256(b"".join([np.array(figures).tobytes(), *(value.tobytes() for value in values)])).hexdigest()


@pytest.fixture(scope="module")
def expected():
    return digest(ROWS)


def read_only():
    rows = ROWS.copy()
    rows.setflags(write=False)
    return rows


def csv_file(folder):
    pd.DataFrame(ROWS, columns=NAMES).to_csv(folder / "rows.csv", index=False)
    return folder / "rows.csv"


KINDS = {
    "again": lambda folder: ROWS,
    "pandas": lambda folder: pd.DataFrame(ROWS, columns=NAMES),
    "polars": lambda folder: pl.DataFrame(ROWS, schema=NAMES),
    "CSV": csv_file,
    "CSV by name": lambda folder: str(csv_file(folder)),
    "list": lambda folder: ROWS.tolist(),
    "Fortran order": lambda folder: np.asfortranarray(ROWS),
    "read-only": lambda folder: read_only(),
    "negative strides": lambda folder: ROWS[::-1].copy()[::-1],
    "every other row": lambda folder: np.repeat(ROWS, 2, axis=0)[::2],
    "float32": lambda folder: ROWS.astype(np.float32),
    "float16": lambda folder: ROWS.astype(np.float16),
    "whole numbers": lambda folder: ROWS.astype(np.int8),
    "tensor": lambda folder: tf.constant(ROWS),
    "tf.data": lambda folder: tf.data.Dataset.from_tensor_slices(ROWS).batch(100),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_of_data_changes_no_bit(expected, kind, tmp_path):
    assert digest(KINDS[kind](tmp_path)) == expected


def test_batches_of_a_dataset_change_nothing_but_rounding():
    whole, cut = (
        tfgmm.fit_mixture(tf.data.Dataset.from_tensor_slices(ROWS).batch(size), 2, seed=1) for size in (100, 32)
    )
    assert cut.elbo == pytest.approx(whole.elbo, rel=1e-12)
    np.testing.assert_allclose(cut.model.locs, whole.model.locs, rtol=1e-9)


def test_truth_values_are_numbers():
    rows = ROWS[:, :1] > 0
    with pytest.warns(UserWarning, match="column 0 .2 values. has few different values"):
        result = tfgmm.fit_mixture(rows, 2, restarts=1)
    np.testing.assert_allclose(np.sort(result.model.locs, axis=0), [[0.0], [1.0]], atol=0.01)


def test_whole_numbers_above_two_to_the_24_keep_their_differences():
    """float32 holds multiples of 2**17 at 2**40, more than the range of these rows."""
    near = ROWS.astype(np.int64) * 16
    one, other = (tfgmm.fit_mixture(rows, 2, seed=1, restarts=1) for rows in (near, near + 2**40))
    assert other.elbo == pytest.approx(one.elbo, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("hash_seed", ["1", "2", "3"])
def test_the_hash_seed_of_python_changes_no_byte(expected, hash_seed):
    """In another process, with nothing imported before."""
    code = "import test_data; print(test_data.digest(test_data.ROWS))"
    folder = os.path.dirname(__file__)
    path = os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])
    settings = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
    found = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True, timeout=300)
    assert found.stdout.strip() == expected, found.stderr
