"""The pages as a site: built without a warning, every public name on one, and nothing asked from elsewhere."""

from __future__ import annotations

import ast
import html.parser
import inspect
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

import tfgmm

ROOT = pathlib.Path(__file__).parents[2]
MODULES = ("plot", "callbacks", "mlflow")
COMPANIONS = ("numpyro_mixture", "pyro_mixture")
LOOKED_AT = ["index", "readme", "from_scikit_learn", "fast_answer", "pictures", "tensorboard", "command_line"]
LOOKED_AT += ["reference/models"]
NOTEBOOKS = {"engine_keras": "three_clusters", "engine_pyro": "five_points", "engine_numpyro": "three_components"}
# attributes whose targets a browser fetches by itself, by element; links that a reader follows are not among them
FETCHED = {
    "audio": ("src",),
    "embed": ("src",),
    "iframe": ("src",),
    "image": ("href", "xlink:href"),
    "img": ("src", "srcset"),
    "link": ("href",),
    "object": ("data",),
    "script": ("src",),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """What the command of `make docs` builds, to read only."""
    [line] = re.findall(r"^\t(.*mkdocs build.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M)
    setting, python, *arguments = shlex.split(line)
    assert python == "$(VENV)/bin/python" and "--strict" in arguments
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, *arguments, "--site-dir", str(folder)]
    environment = {**os.environ, **dict([setting.split("=")])}
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300)
    assert ran.returncode == 0, ran.stderr
    said = [line for line in (ran.stdout + ran.stderr).splitlines() if line and not line.startswith("INFO")]
    assert said == []
    return folder


class _Page(html.parser.HTMLParser):
    """Collects what a page fetches, its anchors, and the text of its blocks of code."""

    def __init__(self, text):
        super().__init__()
        self.fetched, self.anchors = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.fetched += [found[name] for name in FETCHED.get(tag, ()) if found.get(name)]
        self.anchors.add(found.get("id"))


@pytest.fixture(scope="module")
def pages(site):
    found = {path.relative_to(site).as_posix(): path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    assert {"index.html", "readme.html", "security.html", "changes.html", "reference/models.html"} <= set(found)
    return {name: (text, _Page(text)) for name, text in found.items()}


def test_no_page_fetches_anything_from_another_host(site, pages):
    fetched = {name: page.fetched for name, (_, page) in pages.items()}
    assert all(len(targets) > 3 for targets in fetched.values())  # style sheets and scripts at least
    outside = [(name, to) for name, targets in fetched.items() for to in targets if re.match(r"\s*(\w+:)?//", to)]
    assert outside == []
    for path in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:\w+:)?//", path.read_text(encoding="utf-8")) == [], path


def exported_names(path):
    """Returns __all__ as the source has it: importing the companions would take seconds."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    [found] = [node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "__all__"]
    return ast.literal_eval(found)


def own_methods(found):
    """Returns the public methods and properties that a class has from classes of ours."""
    for base in found.__mro__ if inspect.isclass(found) else ():
        if base.__module__.startswith("tfgmm"):
            is_method = (inspect.isfunction, lambda member: isinstance(member, (property, classmethod, staticmethod)))
            for name, member in vars(base).items():
                if not name.startswith("_") and any(check(member) for check in is_method):
                    yield name


def public_names():
    names = [f"tfgmm.{name}" for name in tfgmm.__all__ if name != "__version__"]
    for module in MODULES:
        found = getattr(tfgmm, module)
        own = getattr(found, "__all__", None) or [
            name for name, value in vars(found).items() if getattr(value, "__module__", None) == found.__name__
        ]
        names += [f"tfgmm.{module}.{name}" for name in own]
    for module in COMPANIONS:
        own = exported_names(ROOT / "tfgmm" / "companions" / module / "__init__.py")
        names += [f"tfgmm.companions.{module}.{name}" for name in own]
    return names


def test_every_public_name_has_its_place_in_the_reference(pages):
    anchors = set().union(*(page.anchors for name, (_, page) in pages.items() if name.startswith("reference/")))
    names = public_names()
    assert len(names) > 60
    classes = {name: getattr(tfgmm, name) for name in tfgmm.__all__ if name not in ("__version__", "mlflow")}
    methods = [f"tfgmm.{name}.{method}" for name, found in classes.items() for method in own_methods(found)]
    assert {"tfgmm.GaussianMixtureModel.fit", "tfgmm.Scorer.interval", "tfgmm.Priors.from_data"} <= set(methods)
    assert sorted(set(names + methods) - anchors) == []


def test_examples_and_arguments_of_docstrings_are_typeset(pages):
    for name, (text, _) in pages.items():
        if name.startswith("reference/"):
            assert "<blockquote>" not in text, name  # what Markdown makes of a bare ">>>"
            assert "doctest:" not in text and "<p>Example:</p>" not in text
    text = pages["reference/models.html"][0]
    section = text[text.index('id="tfgmm.fit_mixture"') : text.index('id="tfgmm.FitResult"')]
    code = re.sub(r"<[^>]+>", "", "".join(re.findall(r"<pre>.*?</pre>", section, flags=re.S)))
    assert "&gt;&gt;&gt; result = tfgmm.fit_mixture(rows, 2, seed=1)" in code
    for title in ("Parameters", "Raises", "Warns"):
        assert f"{title}:" in section


@pytest.mark.parametrize("path", ["README.md", "SECURITY.md", "CHANGELOG.md", "docs"])
def test_links_between_pages_work_on_github_too(path):
    files = sorted((ROOT / path).rglob("*.md")) if path == "docs" else [ROOT / path]
    for file in files:
        for target in re.findall(r"\]\(([^)\s]+)\)", file.read_text(encoding="utf-8")):
            if not target.startswith(("http", "#")):
                assert (file.parent / target.partition("#")[0]).exists(), f"{file.name}: {target}"


@pytest.mark.parametrize(("page", "notebook"), NOTEBOOKS.items())
def test_page_of_an_engine_hands_out_its_notebook(site, pages, page, notebook):
    name = f"notebooks/{notebook}.ipynb"
    assert f'href="{name}"' in pages[f"{page}.html"][0]
    assert (site / name).read_bytes() == (ROOT / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1200])
def test_pages_in_chromium_fit_search_and_ask_nobody(browser, site, width):
    trouble, asked = [], []
    for scheme in ("light", "dark"):
        page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        for name in LOOKED_AT:
            page.goto((site / f"{name}.html").as_uri())
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide == 0, name  # what is wide scrolls inside its box
            assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 1)")
            assert page.evaluate("document.body.dataset.mdColorScheme") == {"light": "default", "dark": "slate"}[scheme]
    if width < 500:
        page.click("label[for=__search]")
    page.locator(".md-search__input").press_sequentially("stick_breaking")  # without a server
    page.wait_for_selector(".md-search-result__item >> visible=true", timeout=20_000)
    page.close()
    assert trouble == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "about:"))] == []
