"""The gallery of scikit-learn's examples: a script that draws each by both programs, and a page that shows them."""

from __future__ import annotations

import importlib
import pathlib
import re

import numpy as np
import pytest
import sklearn.mixture

import tfgmm

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "gallery_scikit_learn.md").read_text(encoding="utf-8")


@pytest.fixture
def gallery(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "training"))
    return importlib.import_module("scikit_learn_gallery")


def test_the_page_shows_every_picture_small_and_as_wide_as_a_page(gallery):
    shown = re.findall(r"\(images/(scikit_learn_\w+)\.png\)", PAGE)
    assert shown == [f"scikit_learn_{name}" for name in gallery.EXAMPLES]
    assert sorted(shown) == sorted(path.stem for path in (ROOT / "docs" / "images").glob("scikit_learn_*.png"))
    for name in shown:
        assert (ROOT / "docs" / "images" / f"{name}.png").stat().st_size < 60_000, name


@pytest.mark.parametrize("shape", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("program", ["scikit-learn", "tfgmm"])
def test_densities_are_judged_by_one_formula_for_both(gallery, program, shape):
    """Expected: `score`, which is the density at the parameters for these two classes."""
    rows = gallery.three_heights()[::5]
    fitted = gallery.PROGRAMS[program].GaussianMixture(n_components=2, covariance_type=shape, random_state=0).fit(rows)
    assert gallery.log_density(fitted, rows) == pytest.approx(fitted.score(rows), abs=1e-6)


def test_one_example_is_drawn_by_both(gallery, tmp_path, capsys):
    gallery.main(["density", "--figures", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["scikit_learn_density.png"]
    told = re.findall(r"log density (\S+), weights \[(.*)\]", capsys.readouterr().out)
    assert len(told) == 2 and told[0] == told[1]


@pytest.mark.slow
def test_the_page_quotes_what_the_script_finds(gallery, tmp_path, capsys):
    gallery.main(["sine", "--figures", str(tmp_path)])
    lines = re.findall(r"(\d+) components above 2 %, mean log density (\S+)", capsys.readouterr().out)
    table = re.findall(r"(\d+) components?, (-\d\.\d{3})", PAGE)
    by_program = np.array(table, float).reshape(-1, 2, 2).swapaxes(0, 1).reshape(-1, 2)
    np.testing.assert_allclose(np.array(lines, float), by_program, atol=0.02)


# --- The page on changing one import ------------------------------------------------------------------------------


def test_the_tables_name_all_that_a_script_may_use():
    page = (ROOT / "docs" / "from_scikit_learn.md").read_text(encoding="utf-8")
    section = page.partition("## What differs\n")[2].partition("\n## ")[0]
    named = {word for line in re.findall(r"^\| (.*?) \|", section, flags=re.M) for word in re.findall(r"`(\w+)", line)}
    theirs = (sklearn.mixture.GaussianMixture, sklearn.mixture.BayesianGaussianMixture)
    arguments = {name for mixture in (*theirs, tfgmm.BayesianGaussianMixture) for name in mixture().get_params()}
    rows = np.random.default_rng(0).normal(np.repeat([[0.0], [9.0]], 10, axis=0))
    fitted = [mixture(n_components=2).fit(rows) for mixture in (theirs[0], tfgmm.BayesianGaussianMixture)]
    members = {name for mixture in fitted for name in dir(mixture) if not name.startswith("_")}
    left_out = {"fit_predict", "fit_transform", "get_metadata_routing", "get_feature_names_out", "lower_bounds_"}
    asked = {name for name in members if re.match(r"set_\w+_request$", name)}
    assert sorted((arguments | members) - named - left_out - asked - {"set_params", "set_output"}) == []
