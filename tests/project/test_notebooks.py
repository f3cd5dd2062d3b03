"""The notebooks: in step with their sources, tidy, and run whole, without a warning, to numbers found in other ways."""

from __future__ import annotations

import base64
import importlib.util
import json
import pathlib
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient.exceptions import CellExecutionError
from scipy import optimize, stats
from sklearn.mixture import GaussianMixture

ROOT = pathlib.Path(__file__).parents[2]
SOURCES = sorted((ROOT / "notebooks").glob("*.py"))
LARGEST = 300_000  # bytes


def script() -> Any:
    """Returns training/notebooks.py as a module."""
    spec = importlib.util.spec_from_file_location("notebooks_script", ROOT / "training" / "notebooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


notebooks = script()


def read(source: pathlib.Path) -> Any:
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


def sources_of(notebook: Any) -> list[tuple[str, str, str]]:
    return [(cell.id, cell.cell_type, cell.source) for cell in notebook.cells]


def test_every_worked_example_has_a_notebook() -> None:
    assert [path.stem for path in SOURCES] == ["five_points", "three_clusters", "three_components"]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_is_in_step_with_its_source(source: pathlib.Path) -> None:
    assert sources_of(read(source)) == sources_of(notebooks.source_of(source))  # if not: make notebooks


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_shows_no_machine(source: pathlib.Path) -> None:
    notebook, text = read(source), source.with_suffix(".ipynb").read_text(encoding="utf-8")
    nbformat.validate(notebook)
    assert len(text) < LARGEST
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    pictures = [output.data["image/png"] for output in outputs if output.output_type == "display_data"]
    assert len(pictures) >= 4
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in pictures)
    streams = [output for output in outputs if output.output_type == "stream"]
    assert len(pictures) + len(streams) == len(outputs)  # no results of expressions, no errors
    assert {output.name for output in streams} == {"stdout"}
    words = "".join(output.text for output in streams)
    assert not [sign for sign in ("/", "\r", "\x1b", "object at", "%|") if sign in words]


def other_route_three_clusters(found: Any) -> None:
    """The rows as the post of 2019 draws them: each block by itself, no mixture at all."""
    np.random.seed(12345)  # noqa: NPY002
    rows = np.random.randn(3000, 2).astype("float32")  # noqa: NPY002
    rows[:1000] += [2, 0]
    rows[1000:2000] -= [2, 4]
    rows[2000:] += [-2, 4]
    blocks = np.stack([rows[1000:2000], rows[:1000], rows[2000:]])  # by height
    for name, tolerance in (("gradients", 0.05), ("exact", 0.02)):
        np.testing.assert_allclose(sorted(found[name], key=lambda loc: loc[1]), blocks.mean(1), atol=tolerance)
    np.testing.assert_allclose(sorted(found["sds"]), sorted(blocks.std(1)[:, 0]), rtol=0.02)
    assert 3.93 < found["loss"] < 4.0  # the script of the post ends at 4.11; the optimum is 3.936


def minus_log_joint(values: np.ndarray) -> float:
    """Returns minus the log density of the five rows and of weights, locations and scale, by SciPy."""
    rows = [0.0, 1.0, 10.0, 11.0, 12.0]
    weights, locs, scale = np.array([values[0], 1.0 - values[0]]), values[1:3], values[3]
    if not (0 < weights[0] < 1 and scale > 0):
        return np.inf
    total = stats.dirichlet.logpdf(weights, [0.5, 0.5]) + stats.lognorm.logpdf(scale, 2.0)
    total += stats.norm.logpdf(locs, 0.0, 10.0).sum()
    for row in rows:
        total += np.log(weights @ stats.norm.pdf(row, locs, scale))
    return -total


def other_route_five_points(found: Any) -> None:
    """The mode and the boundary by SciPy, without gradients."""
    options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 10_000, "maxfev": 10_000}
    mode = optimize.minimize(minus_log_joint, [0.4, 0.5, 11.0, 0.8], method="Nelder-Mead", options=options).x
    weights, locs, scale = np.array([mode[0], 1.0 - mode[0]]), mode[1:3], mode[3]
    order = np.argsort(found["locs"])
    np.testing.assert_allclose(np.array(found["weights"])[order], weights, atol=1e-3)
    np.testing.assert_allclose(np.array(found["locs"])[order], locs, atol=1e-3)
    assert found["scale"] == pytest.approx(scale, abs=1e-3)

    # The boundary is where both weighted densities are equal
    def difference(x: float) -> float:
        return float(np.subtract(*(np.log(weights) + stats.norm.logpdf(x, locs, scale))))

    boundary = optimize.brentq(difference, 3.0, 9.0)
    assert found["boundary"] == pytest.approx(boundary, abs=2e-3)


def other_route_three_components(found: Any) -> None:
    """Maximum likelihood by scikit-learn, of the rows as the NumPyro example draws them."""
    np.random.seed(42)  # noqa: NPY002
    drawn = np.random.choice(3, size=2500, p=np.array([0.2, 0.3, 0.5]))  # noqa: NPY002
    means, sds = np.array([-1.0, 1.0, 4.0]), np.array([0.2, 0.9, 0.5])
    rows = np.random.normal(means[drawn], sds[drawn], size=2500)  # noqa: NPY002
    peer = GaussianMixture(3, tol=1e-9, max_iter=2000, means_init=[[-1.0], [1.0], [4.0]]).fit(rows[:, None])
    parts = {"weights": peer.weights_, "locs": peer.means_[:, 0], "scales": np.sqrt(peer.covariances_[:, 0, 0])}
    for name, expected in parts.items():  # priors this wide move the mean by a fraction of the standard deviation
        mean, sd = (np.array(found[which][name]) for which in ("means", "sds"))
        assert np.all(np.abs(mean - expected) < 0.5 * sd), name


ROUTES = {
    "three_clusters": (
        other_route_three_clusters,
        '{"gradients": model.locs.numpy().tolist(), "exact": exact.locs.numpy().tolist(), "loss": loss, '
        '"sds": exact.mean_parameters().scales[0, 0, :, 0].tolist()}',
    ),
    "five_points": (
        other_route_five_points,
        '{"weights": fit.weights.tolist(), "locs": fit.locs.tolist(), "scale": float(fit.scale), "boundary": middle}',
    ),
    "three_components": (
        other_route_three_components,
        "{which: {name: getattr(getattr(draws, name), of)((0, 1)).ravel().tolist() "
        'for name in ("weights", "locs", "scales")} for which, of in (("means", "mean"), ("sds", "std"))}',
    ),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) for name in ("five_points", "three_clusters", "three_components")],
)
def test_a_notebook_runs_to_numbers_found_in_another_way(name: str) -> None:
    check, question = ROUTES[name]
    further = ["import json", f"print(json.dumps({question}))"]
    notebook = notebooks.executed(ROOT / "notebooks" / f"{name}.py", further)
    check(json.loads(notebook.cells[-1].outputs[0].text))
    shown = [[output.output_type for output in cell.get("outputs", [])] for cell in notebook.cells[:-2]]
    assert shown == [[output.output_type for output in cell.get("outputs", [])] for cell in read_named(name).cells]


def read_named(name: str) -> Any:
    return read(ROOT / "notebooks" / f"{name}.py")


@pytest.mark.slow
def test_a_warning_in_a_cell_stops_the_writing(tmp_path: pathlib.Path) -> None:
    source = tmp_path / "warns.py"
    source.write_text("# %%\nimport warnings\n\n# %%\nwarnings.warn('look out', stacklevel=1)\n")
    with pytest.raises(CellExecutionError, match="look out"):
        notebooks.executed(source)


def test_words_on_standard_error_are_refused_but_for_tensorflows_own() -> None:
    def output(text: str) -> Any:
        return nbformat.v4.new_output("stream", name="stderr", text=text)

    chatter = "I0000 00:00:1795610382.745671   31052 port.cc:153] oneDNN custom operations are on.\n"
    start = "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    assert notebooks._tidied(output(start + chatter)) is None
    with pytest.raises(ValueError, match="nothing to standard error. Received: 'a bar 10 %"):
        notebooks._tidied(output(chatter + "a bar 10 %"))


def test_only_what_is_asked_for_is_written_and_whole(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebooks, "executed", notebooks.source_of)
    notebooks.main(["five_points", "--out", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["five_points.ipynb"]
    assert sources_of(nbformat.read(tmp_path / "five_points.ipynb", 4)) == sources_of(read_named("five_points"))
    notebooks.main(["--out", str(tmp_path)])
    assert len(list(tmp_path.iterdir())) == 3
