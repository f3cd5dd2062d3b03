"""What is written for people runs: the examples in docstrings and README, and the recipes, small."""

import doctest
import importlib
import json
import pathlib
import pkgutil
import re
import shlex
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from printed_output import assert_shows

import tfgmm

ROOT = pathlib.Path(__file__).parents[2]
MODULES = sorted(
    found.name for found in pkgutil.walk_packages(tfgmm.__path__, "tfgmm.") if not found.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name):
    module = importlib.import_module(name)
    names = {**vars(module), "tfgmm": tfgmm, "np": np, "keras": keras, "tf": tf}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in doctest.DocTestFinder().find(module, globs=names):
        runner.run(test)
    assert runner.failures == 0, f"{name}: see the captured output"


def test_docstrings_hold_examples():
    found = [test for name in MODULES for test in doctest.DocTestFinder().find(importlib.import_module(name))]
    assert sum(bool(test.examples) for test in found) >= 20


def blocks(language, path="README.md"):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / path).read_text(encoding="utf-8"), flags=re.S)


def test_readme_example_runs(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(ROOT)
    examples = blocks("python")
    assert len(examples) == 3
    names = {}
    for block in examples:
        exec(block.replace("/tmp/geyser", str(tmp_path / "geyser")), names)
    shown = capsys.readouterr().out
    printed, *_ = blocks("txt")
    assert shown.splitlines()[:4] == printed.splitlines()[:4]  # the head; intervals below may differ in the last digit
    densities = names["result"].log_prob(names["new_rows"])
    assert densities[2] < densities[:2].min() - 5  # the row that README calls an outlier
    assert "r_hat" in shown and "Pareto k-hat" in shown  # NUTS and its comparison ran too


def test_readme_repeats_only_figures_that_its_pages_hold():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for title, pages in {
        "How it compares": ["benchmarks", "fast_answer"],
        "Limits": ["limits", "second_opinion"],
    }.items():
        section = readme.partition(f"## {title}\n")[2].partition("\n## ")[0]
        numbers = set(
            re.findall(r"(?<![\w.])-?\d[\d,.]*\d|(?<![\w.])\d(?![\w.])", re.sub(r"\]\([^)]*\)", "]", section))
        )
        text = "".join((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8") for page in pages)
        assert numbers and [number for number in sorted(numbers) if number not in text] == []


def test_readme_gives_the_order_of_the_packages():
    assert blocks("text") == blocks("text", "docs/architecture.md")


# Pages that wait for NUTS, or for Adam
SLOW_GUIDES = {"engine_keras.md", "engine_numpyro.md", "engine_pyro.md", "fast_answer.md", "mixture_prior.md"}
SLOW_PAGES = {*SLOW_GUIDES, "pictures.md", "portable.md", "second_opinion.md", "serving.md", "tensorboard.md", "tfp.md"}
# No Python: what command_line.md shows is run by tests/cli/test_command_line_page.py
WITHOUT_PYTHON = {"command_line.md", "architecture.md", "benchmarks.md", "limits.md"}
# What ArviZ 0.23 says when it is imported, and where pandas and matplotlib will take something away
OF_ARVIZ = [
    pytest.mark.filterwarnings(f"ignore:{words}")
    for words in (
        "\\nArviZ is undergoing:FutureWarning",
        "Passing a dict or None as alias_mapping:DeprecationWarning",
        "The inplace keyword in DataFrame.sort_values:DeprecationWarning",
    )
]
WITH_ARVIZ = {"arviz.md", "second_opinion.md"}
PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.md") if path.name not in WITHOUT_PYTHON)


@pytest.mark.usefixtures("no_figures_left")
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(page, marks=[pytest.mark.slow] * (page in SLOW_PAGES) + OF_ARVIZ * (page in WITH_ARVIZ))
        for page in PAGES
    ],
)
def test_examples_in_the_docs_run(path, monkeypatch, tmp_path, capsys):
    beside_the_training_folder(monkeypatch, tmp_path)
    names = {}
    for block, printed in blocks_and_outputs(f"docs/{path}"):
        capsys.readouterr()
        exec(block, names)
        if printed is not None:
            assert_shows(capsys.readouterr().out, printed)
    fitted = names["result"] if "result" in names else names["model"]
    assert fitted.num_data == len(names["rows"])


def blocks_and_outputs(path):
    """Returns every block of Python on a page, and what the page says that it prints: a `txt` block right below it."""
    text = (ROOT / path).read_text(encoding="utf-8")
    found = re.findall(r"```python\n(.*?)```\n(?:\n```txt\n(.*?)```)?", text, flags=re.S)
    return [(block, printed or None) for block, printed in found]


@pytest.mark.parametrize(
    ("shown", "printed", "agrees"),
    [
        ("a 1.24 [2]", "a 1.23 [2]\n", True),
        ("a 1.26 [2]", "a 1.23 [2]\n", False),
        ("b 1.24 [2]", "a 1.23 [2]\n", False),
        ("0.22557287", "0.22557285", True),  # one float32 beside the other
        ("0.2255738", "0.2255728", False),
        ("4.357477267110416", "4.357477267574491", True),
    ],
)
def test_outputs_are_compared_to_their_last_digit_or_to_the_seventh(shown, printed, agrees):
    if agrees:
        return assert_shows(shown, printed)
    with pytest.raises(AssertionError):
        assert_shows(shown, printed)


@pytest.mark.parametrize("page", ["index.md", "from_scikit_learn.md", *sorted(SLOW_GUIDES)])
def test_guides_show_what_their_code_prints(page):
    found = blocks_and_outputs(f"docs/{page}")
    assert any(printed for _, printed in found)
    assert [block for block, printed in found if "print(" in block and not printed] == []


def test_gallery_has_every_picture_small_and_with_its_code():
    page = (ROOT / "docs" / "pictures.md").read_text(encoding="utf-8")
    images = re.findall(r"```\n\n!\[[^\]]+\]\((.*?)\)", page)  # each right below a block of code
    assert len(images) == page.count("![") >= 12
    for image in images:
        assert (ROOT / "docs" / image).stat().st_size < 60_000, image
    shown = "\n".join(blocks("python", "docs/pictures.md"))
    missing = [name for name in tfgmm.plot.__all__ if f"plot.{name}(" not in shown and f"`plot.{name}" not in page]
    assert missing == []


@pytest.mark.slow
def test_gallery_is_made_by_its_script(tmp_path):
    chosen = ["engine_keras", "pictures"]  # what the other pages draw takes minutes, and their code has tests above
    command = [sys.executable, "-m", "tfgmm.common.quiet", str(ROOT / "training" / "pictures.py"), *chosen]
    command += ["--figures", str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert (ran.returncode, ran.stderr) == (0, "")
    pages = "".join((ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in chosen)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == sorted(re.findall(r"images/pictures/(.*?)\)", pages))


def test_every_picture_of_the_gallery_is_on_a_page():
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))
    drawn = sorted(path.name for path in (ROOT / "docs" / "images" / "pictures").glob("*.png"))
    below_code = re.findall(r"```\n\n!\[[^\]]+\]\(images/pictures/(.*?)\)", pages)  # where the script finds them
    assert drawn == sorted(below_code)


def beside_the_training_folder(monkeypatch, folder):
    """Makes `folder` the current one: what an example writes goes there, and its rows are found from there."""
    (folder / "training").symlink_to(ROOT / "training")
    monkeypatch.chdir(folder)


def test_requests_in_the_docs_get_the_answers_in_the_docs(monkeypatch, tmp_path):
    beside_the_training_folder(monkeypatch, tmp_path)
    exec(blocks("python", "docs/serving.md")[0], {})
    loaded = tf.saved_model.load("geyser/1")  # its functions live as long as it does
    signatures = loaded.signatures
    outlier, answer, default, answers, sample = map(json.loads, blocks("json", "docs/serving.md"))
    assert set(outlier) == {"signature_name", "instances"}
    found = signatures[outlier["signature_name"]](x=tf.constant(outlier["instances"], tf.float32))
    [[name, values]] = found.items()  # one output: a REST answer leaves its name out
    assert name == "outlier" and answer["predictions"] == pytest.approx(values.numpy().tolist(), rel=0.02, abs=1e-5)
    found = signatures["serving_default"](x=tf.constant(default["instances"], tf.float32))
    for row, told in enumerate(answers["predictions"]):
        assert set(told) == set(found)
        for name, value in told.items():
            np.testing.assert_allclose(value, found[name][row], rtol=1e-3, atol=1e-5)
    assert set(sample["inputs"]) == set(signatures["sample"].structured_input_signature[1])
    drawn = signatures["sample"](**{name: tf.constant(value, tf.int64) for name, value in sample["inputs"].items()})
    assert {name: value.shape.as_list() for name, value in drawn.items()} == {"x": [2, 2]}


def test_readme_command_scores_a_file(tmp_path):
    [command] = [block for block in blocks("sh") if "tfgmm score" in block]
    words = shlex.split(command.replace("\\\n", "").replace("/tmp/scored.parquet", str(tmp_path / "scored.parquet")))
    ran = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, cwd=ROOT, timeout=100)
    assert (ran.returncode, ran.stderr) == (0, "") and "272 rows scored" in ran.stdout
    scored = pd.read_parquet(tmp_path / "scored.parquet")
    assert list(scored)[:4] == ["eruptions", "waiting", "log_prob", "assignment"]
    assert (scored["outlier"] < 0.05).mean() < 0.12


def test_readme_names_targets_that_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make ([\w-]+)", "\n".join(blocks("sh"))):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target


def test_architecture_names_every_module():
    tree, folder, named = blocks("txt", "docs/architecture.md")[0], "", set()
    top, *lines = tree.splitlines()[1:]
    named |= {name for name in top.partition("(")[0].split()}
    for line in lines:
        words, depth = line.split(), len(line) - len(line.lstrip())
        if words[0].endswith("/") and depth < 10:
            folder = words[0] if depth == 2 else f"{folder.split('/')[0]}/{words[0]}"
            words = words[1:]
        named |= {f"{folder}{name}" for name in words if not name.endswith("/")}
    paths = [path.relative_to(ROOT / "tfgmm").with_suffix("") for path in (ROOT / "tfgmm").rglob("*.py")]
    modules = {path.as_posix() for path in paths if path.name != "__init__" or len(path.parts) == 1}
    assert sorted(modules - named) == []
    assert sorted(named - modules) == []


@pytest.mark.parametrize(
    ("script", "arguments", "figures"),
    [
        pytest.param("three_clusters.py", ["--epochs", "3", "--export", "EXPORT"], 5, marks=pytest.mark.slow),
        pytest.param("air_quality.py", ["--most", "2", "--draws", "50"], 1, marks=pytest.mark.slow),
        pytest.param("old_faithful.py", ["--epochs", "3", "--exports", "EXPORT"], 8, marks=pytest.mark.slow),
        pytest.param("five_points.py", ["--steps", "20", "--draws", "10"], 12, marks=pytest.mark.slow),
        pytest.param("dask_clusters.py", ["--rows", "1000000", "--files", "2"], 0, marks=pytest.mark.slow),
        pytest.param("three_components.py", ["--draws", "200", "--chains", "2"], 8, marks=pytest.mark.slow),
    ],
)
def test_recipe_runs_small(script, arguments, figures, tmp_path):
    places = {"EXPORT": str(tmp_path / "exports")}
    command = [sys.executable, "-m", "tfgmm.common.quiet", str(ROOT / "training" / script)]
    command += [places.get(argument, argument) for argument in arguments] + ["--figures", str(tmp_path / "figures")]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert ran.returncode == 0, ran.stderr
    # So few draws are told to be too few, with the line of the recipe below
    others = re.sub(r".*UserWarning: .*Draw more.*\n.*sample_nuts\(.*\n", "", ran.stderr)
    assert others == ""  # TensorFlow's own lines are kept from the console
    assert len(list((tmp_path / "figures").rglob("*.png"))) == figures
    if "EXPORT" in arguments:
        assert "fitted to" in ran.stdout
        assert list((tmp_path / "exports").rglob("model_card.json"))
    else:
        assert "loc" in ran.stdout
