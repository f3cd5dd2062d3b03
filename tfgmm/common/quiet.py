"""TensorFlow's start without its log lines, for our own commands; in the library only `export.portable` uses it.

python -m tfgmm.common.quiet SCRIPT [ARGUMENTS]     runs a script in this way
"""

from __future__ import annotations

import contextlib
import os
import runpy
import sys
import tempfile
from collections.abc import Iterator

from tfgmm.common.extras import check_tensorflow


@contextlib.contextmanager
def stderr_kept_back() -> Iterator[None]:
    """Holds back what is written to file descriptor 2 in the block, and replays it on failure.

    Ctrl-C is no failure: whoever pressed it knows why the block ended.

    TensorFlow's C++ half writes a handful of lines at import and at the first operation that no log level stops.
    """
    original = os.dup(2)
    with tempfile.TemporaryFile() as file:
        sys.stderr.flush()
        os.dup2(file.fileno(), 2)
        try:
            yield
        except Exception:
            os.dup2(original, 2)
            file.seek(0)
            os.write(2, file.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)


def load_tensorflow(purpose: str = "this") -> None:
    """Imports TensorFlow and runs one operation, silently unless it fails.

    Args:
        purpose: What needs it, for the error.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with stderr_kept_back():
        check_tensorflow(purpose)
        import tensorflow as tf

        tf.zeros(())


if __name__ == "__main__":
    load_tensorflow()
    sys.argv = sys.argv[1:]
    sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[0])))
    runpy.run_path(sys.argv[0], run_name="__main__")
