"""The same few rows in every form, and what the tests of readers and summaries do with them."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

NAMES = ("eruptions", "waiting")
VALUES = np.array([[3.6, 79.0], [1.8, 54.0], [3.333, 74.0]])
FRAME = pd.DataFrame(VALUES, columns=list(NAMES))
TABLE = pa.table(dict(zip(NAMES, VALUES.T, strict=True)))


def write_ipc(table, path, new=pa.ipc.new_file):
    with new(str(path), table.schema) as writer:
        writer.write_table(table)
    return path


def text_file(folder, text, name="x.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def message_of(error_type, function, *args, **kwargs):
    with pytest.raises(error_type) as caught:
        function(*args, **kwargs)
    message = str(caught.value)
    assert re.search(r"^`\w+`.* must .*Received.*\. \S.*\.$", message, re.DOTALL), message
    return message
