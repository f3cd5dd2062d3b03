"""Options that need rows by themselves are refused for rows in parts, before any work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from array_engine import rows_in_parts

import tfgmm
from tfgmm.data.sources import open_source

PARTS = [np.zeros((5, 2)), np.ones((5, 2))]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"polish_steps": 10}, "`polish_steps` must be left out where the rows are in arrays in parts. Received: 10"),
        ({"batch_size": 100}, "`batch_size` must be left out.*The partitions are the batches"),
        ({"start": np.zeros(10, int)}, "`start` must be left out.*Received: a group for each row"),
        ({"posterior": "auto"}, "`posterior` must be left out.*Received: 'auto'"),
        ({"callbacks": [type("Foreign", (), {"on_epoch_end": None})()]}, "`callbacks` must be left out.*Foreign"),
    ],
)
def test_options_are_refused_before_any_work(options: dict[str, Any], expected: str) -> None:
    rows, engine = rows_in_parts(PARTS, ["a", "b"])
    with pytest.raises(ValueError, match=expected):
        tfgmm.fit_mixture(rows, 2, **options)
    assert engine.calls == []


@pytest.mark.parametrize("several", [{"num_components": [1, 2]}, {"num_components": 2, "covariance": "auto"}])
def test_validation_rows_of_several_fits_are_in_memory(several: dict[str, Any]) -> None:
    rows, engine = rows_in_parts(PARTS, ["a", "b"])
    others, _ = rows_in_parts(PARTS, ["a", "b"])
    with pytest.raises(ValueError, match="`validation_data` must be rows in memory or in files where several fits"):
        tfgmm.fit_mixture(rows, validation_data=(others, None), **several)
    assert engine.calls == []


def test_other_doors_refuse_rows_that_were_opened() -> None:
    rows, engine = rows_in_parts(PARTS, ["a", "b"])
    with pytest.raises(TypeError, match="must be rows in memory or in files here. Received: rows of arrays in parts"):
        open_source(rows, "x", None)
    with pytest.raises(TypeError, match="`data` must be rows in memory or in files here.*tfgmm.fit_mixture fits it"):
        rows.blocks()
    assert engine.calls == []
