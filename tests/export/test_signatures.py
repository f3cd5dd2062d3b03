"""The table of signatures is what a SavedModel has, in every version."""

from __future__ import annotations

import pathlib

import pytest
import tensorflow as tf

import tfgmm
from tfgmm.export.signatures import SIGNATURES, signatures_of


def test_versions_add_signatures() -> None:
    added = [signatures_of(version, True).keys() - signatures_of(version - 1, True).keys() for version in (1, 2, 3)]
    assert added[0] == {"serving_default", "log_prob", "responsibilities", "assignment", "sample"}
    assert added[1:] == [{"outlier"}, {"predictive_log_prob", "interval", "marginal_log_prob", "conditional"}]
    assert signatures_of(3, True) == SIGNATURES


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_saved_model_has_what_the_table_says(tmp_path: pathlib.Path, covariance: str) -> None:
    folder = tfgmm.export_model(tfgmm.GaussianMixtureModel(2, 3, covariance, seed=0), tmp_path / "mixture")
    signatures = tf.saved_model.load(str(folder)).signatures
    expected = signatures_of(3, covariance == "full")
    assert signatures.keys() == expected.keys()
    for name, signature in expected.items():
        assert signatures[name].structured_input_signature[1].keys() == set(signature.inputs)
        assert signatures[name].structured_outputs.keys() == set(signature.outputs)
