"""The gallery: runs the code of docs/pictures.md and writes the picture below each block of it.

So the page and its pictures cannot disagree. All seeds are those of the page.
Run from a clone: python training/pictures.py
"""

from __future__ import annotations

import argparse
import contextlib
import io
import pathlib
import re
from typing import Any

import matplotlib.pyplot as plt
from PIL import Image

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "docs" / "pictures.md"


def blocks(page: str) -> list[tuple[str, str | None]]:
    """Returns every block of Python on the page, and the name of the picture right below it, if there is one."""
    found = re.findall(r"```python\n(.*?)```\n(?:\n!\[[^\]]*\]\(.*?([\w.]+)\))?", page, flags=re.S)
    return [(code, name or None) for code, name in found]


def save_small(path: pathlib.Path) -> None:
    """Returns nothing; writes the figure at hand with 256 colours: a third of the bytes, and no hue is lost."""
    whole = io.BytesIO()
    plt.savefig(whole, dpi=72)
    with Image.open(whole) as image:
        image.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE).save(path, optimize=True)


def main(arguments: Any = None) -> None:
    """Returns nothing; writes the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figures", type=pathlib.Path, default=PAGE.parent / "images" / "pictures")
    options = parser.parse_args(arguments)
    folder = options.figures.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    names: dict[str, Any] = {}
    with contextlib.chdir(ROOT):  # the page reads its rows from there
        for code, name in blocks(PAGE.read_text(encoding="utf-8")):
            exec(code, names)
            if name is not None:
                save_small(folder / name)
                print(folder / name)
            plt.close("all")


if __name__ == "__main__":
    main()
