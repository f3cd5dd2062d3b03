"""Brings README, SECURITY, CHANGELOG and the notebooks into the site, and makes links to them work in both places.

The files stay where GitHub shows them; a link written for GitHub is turned into the site's here, so that the strict
build can check it. Notebooks are files to take away, not pages: GitHub shows them, a browser saves them.
"""

from __future__ import annotations

import pathlib
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

# file beside docs/ -> page of the site. "README.md" itself would be taken for the index
PAGES = {"README.md": "readme.md", "SECURITY.md": "security.md", "CHANGELOG.md": "changes.md"}
NOTEBOOKS = "notebooks/"  # beside docs/, and in the site
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Returns the files of the site, those from beside docs/ added."""
    root = pathlib.Path(config.config_file_path).parent
    for outside, page in PAGES.items():
        files.append(File.generated(config, page, content=(root / outside).read_text(encoding="utf-8")))
    for path in sorted((root / NOTEBOOKS).glob("*.ipynb")):
        files.append(File.generated(config, f"{NOTEBOOKS}{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Returns the page with its links turned into links between pages of the site."""
    is_outside = page.file.src_uri in PAGES.values()
    return _LINK.sub(lambda found: f"]({site_link(found[1], is_outside)})", markdown)


def site_link(target: str, is_outside: bool) -> str:
    """Returns a link as the site has it.

    Args:
        target: as GitHub needs it: `docs/x.md` of a file beside docs/, `../README.md` or `../notebooks/x.ipynb` of one
            in it.
        is_outside: whether the link is of a file beside docs/.
    """
    path, mark, anchor = target.partition("#")
    if is_outside:
        path = PAGES.get(path, path.removeprefix("docs/"))
    elif path.startswith("../"):
        outside = path.removeprefix("../")
        path = outside if outside.startswith(NOTEBOOKS) else PAGES.get(outside, path)
    return path + mark + anchor
