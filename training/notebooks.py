"""The notebooks: runs notebooks/*.py and writes each, with what it prints and draws, as an .ipynb beside it.

The .py is the source (jupytext's percent format, of which Jupyter opens either); the .ipynb is for reading, on GitHub
too. Run from a clone, with the extras `docs`, `pyro` and `numpyro`: make notebooks
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image

from tfgmm.common.quiet import stderr_kept_back

NOTEBOOKS = pathlib.Path(__file__).parents[1] / "notebooks"

# Runs before a notebook and is not part of it. Warnings are errors, except those that others have to mend.
PREFACE = """
import warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", "distutils Version classes are deprecated", DeprecationWarning)
warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy keyword", DeprecationWarning)
%config InlineBackend.rc = {"figure.dpi": 80, "savefig.bbox": "tight"}
"""
# Lines of TensorFlow's C++ half about processor and GPU, which no setting stops
CHATTER = re.compile(
    r"(WARNING: All log messages before absl::|[IWE]\d{4} [\d:.]+ |To enable the following instruc).*\n"
)


def source_of(path: pathlib.Path) -> Any:
    """Returns the notebook in `path`, a .py, not run; its cells are numbered, so that writing it is repeatable."""
    notebook = jupytext.read(path)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    notebook.metadata.jupytext = {"formats": "ipynb,py:percent"}
    return notebook


def executed(path: pathlib.Path, further: Sequence[str] = ()) -> Any:
    """Returns the notebook in `path`, a .py, with outputs.

    Args:
        path: Path of the source.
        further: code to run after it, in cells of their own.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed, or warned.
        ValueError: a cell wrote to standard error what is not TensorFlow's chatter.
    """
    notebook = source_of(path)
    notebook.cells[:0] = [nbformat.v4.new_code_cell(PREFACE)]
    notebook.cells += [nbformat.v4.new_code_cell(code) for code in further]
    environment = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ}
    environment.pop("MPLBACKEND", None)  # another than the kernel's own would keep the pictures out of the notebook
    with stderr_kept_back():  # what the kernel's process says beside the notebook: TensorFlow's chatter, Jupyter's own
        NotebookClient(notebook, timeout=300, kernel_name="python3").execute(env=environment)
    del notebook.cells[0]
    for number, cell in enumerate(cell for cell in notebook.cells if cell.cell_type == "code"):
        cell.metadata.pop("execution", None)  # the time of day
        cell.execution_count = number + 1
        cell.outputs = [tidy for tidy in map(_tidied, cell.outputs) if tidy is not None]
    notebook.metadata.language_info.pop("version", None)
    return notebook


def _tidied(output: Any) -> Any:
    """Returns an output with small pictures; None for TensorFlow's chatter."""
    if output.get("name") == "stderr":
        rest = CHATTER.sub("", output.text)
        if rest:
            raise ValueError(f"a notebook must write nothing to standard error. Received: {rest!r}. Silence its cause.")
        return None
    if "image/png" in output.get("data", {}):
        output.data["image/png"] = _small(output.data["image/png"])
    return output


def _small(png: str) -> str:
    """Returns a picture, in base64, with 256 colours: a third of the bytes, and no hue is lost."""
    found = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        image.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE).save(found, "PNG", optimize=True)
    return base64.b64encode(found.getvalue()).decode("ascii")


def main(arguments: Any = None) -> None:
    """Writes the notebooks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="such as three_clusters; default all")
    parser.add_argument("--out", type=pathlib.Path, default=NOTEBOOKS)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for source in sorted(NOTEBOOKS.glob("*.py")):
        if not options.names or source.stem in options.names:
            path = options.out / f"{source.stem}.ipynb"
            unfinished = path.with_suffix(".unfinished")
            nbformat.write(executed(source), unfinished)
            os.replace(unfinished, path)
            print(f"{path}  {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
