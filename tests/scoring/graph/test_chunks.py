"""Rows that go through a graph in chunks give what they give in one piece, for every number of rows."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfgmm.mixture.features import num_products
from tfgmm.mixture.parameters import FORMS
from tfgmm.scoring.graph.chunks import compiled_sums, mapped_over_chunks
from tfgmm.scoring.graph.triangular import log_abs_determinants

SPECS = (tf.TensorSpec((None,), tf.float64), tf.TensorSpec((None, 2, 3), tf.float64))


@pytest.mark.parametrize("num_rows", [0, 1, 3, 4, 7, 9])
def test_chunks_stand_in_the_order_of_the_rows(num_rows):
    rows = np.random.default_rng(0).normal(size=(num_rows, 3))
    lengths = []

    def of_chunk(chunk):
        lengths.append(len(chunk))
        return tf.reduce_sum(chunk, axis=1), tf.stack([chunk, -chunk], axis=1)

    sums, pairs = mapped_over_chunks(tf.constant(rows), of_chunk, 4, SPECS)
    np.testing.assert_array_equal(sums, rows.sum(axis=1))
    np.testing.assert_array_equal(pairs, np.stack([rows, -rows], axis=1))
    assert len(lengths) == max(1, -(-num_rows // 4)) and max(lengths) <= 4 and len(set(lengths)) == 1


@pytest.mark.parametrize("shape", [(4, 4), (5, 3, 3), (2, 5, 1, 1)])
def test_log_determinants_of_any_matrices_are_those_of_numpy(shape):
    matrices = np.random.default_rng(1).normal(size=shape)
    np.testing.assert_allclose(log_abs_determinants(matrices), np.linalg.slogdet(matrices)[1], rtol=1e-12, atol=1e-13)
    assert (np.linalg.slogdet(matrices)[0] < 0).any()


@pytest.mark.parametrize("form", FORMS)
def test_sums_that_xla_compiles_are_those_of_the_rows_alone(form):
    """Two chunks of 501 hold 1,001 rows, and XLA fixes the length of both."""
    generator = np.random.default_rng(2)
    rows = tf.constant(generator.normal(size=(1001, 3)), tf.float32)
    coefficients = generator.normal(size=(3 + num_products(FORMS[form].write_products, 3), 2)), np.zeros(2)
    plain = compiled_sums(form, 3, 2)
    jitted = tf.function(lambda rows: plain(rows, *coefficients), jit_compile=True)(rows)
    for found, expected in zip(tf.nest.flatten(jitted), tf.nest.flatten(plain(rows, *coefficients)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(tf.nest.flatten(jitted)[0].numpy().sum(), 1001, rtol=1e-6)
