"""The pictures of the pages in docs/: runs the code of a page and writes the picture below each block of it.

So a page and its pictures cannot disagree. All seeds are those of the page. The pages of Pyro and NumPyro need their
extras. Run from a clone: python training/pictures.py, or with the names of pages, such as engine_keras
"""

from __future__ import annotations

import argparse
import contextlib
import io
import pathlib
import re
import tempfile
from typing import Any

import matplotlib.pyplot as plt
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs"


def blocks(page: str) -> list[tuple[str, str | None]]:
    """Returns every block of Python on the page, and the name of the picture right below it, if there is one."""
    found = re.findall(r"```python\n(.*?)```\n(?:\n!\[[^\]]*\]\(.*?([\w.]+)\))?", page, flags=re.S)
    return [(code, name or None) for code, name in found]


def save_small(path: pathlib.Path) -> None:
    """Writes the figure at hand with 256 colours: a third of the bytes, and no hue is lost."""
    whole = io.BytesIO()
    plt.savefig(whole, dpi=72)
    with Image.open(whole) as image:
        image.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE).save(path, optimize=True)


def pages_with_pictures() -> list[str]:
    """Returns the names of the pages that have a picture right below a block of code."""
    pages = sorted(PAGES.glob("*.md"))
    return [page.stem for page in pages if any(name for _, name in blocks(page.read_text(encoding="utf-8")))]


def draw_page(page: str, folder: pathlib.Path) -> None:
    """Runs a page from its first block to its last picture, and writes its pictures."""
    found = blocks((PAGES / f"{page}.md").read_text(encoding="utf-8"))
    last = max(number for number, (_, name) in enumerate(found) if name)
    names: dict[str, Any] = {}
    for code, name in found[: last + 1]:
        exec(code, names)
        if name is not None:
            save_small(folder / name)
            print(folder / name)
        plt.close("all")


def main(arguments: Any = None) -> None:
    """Writes the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=f"default: {', '.join(pages_with_pictures())}")
    parser.add_argument("--figures", type=pathlib.Path, default=PAGES / "images" / "pictures")
    options = parser.parse_args(arguments)
    folder = options.figures.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:  # for the files that pages write
        (pathlib.Path(place) / "training").symlink_to(ROOT / "training")  # pages read their rows from there
        with contextlib.chdir(place):
            for page in options.pages or pages_with_pictures():
                draw_page(page, folder)


if __name__ == "__main__":
    main()
