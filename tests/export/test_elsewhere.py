"""An export gives the model's numbers in a process without the model, without tfgmm, without Python code."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest
from exports import PACKAGE_ROOT, D, Exported

from tfgmm.scoring.graph import sampling as graph_sampling

RNG = np.random.default_rng(1)
BATCHES = {str(n): RNG.normal(size=(n, D)).astype(np.float32) * 3 for n in (0, 1, 7, 10_000)}
SEED = 11
SCORES = ("log_prob", "responsibilities", "assignment")
CLI = pathlib.Path(sys.executable).with_name("saved_model_cli")

# Both write one .npz of results for the batches in rows.npz.
SCORE_WITHOUT_MODEL = """
import sys
for name in ("tfgmm.model.gaussian_mixture", "tfgmm.model.training", "tfgmm.export.served", "keras"):
    sys.modules[name] = None
import numpy as np
import tfgmm
folder, rows, out = sys.argv[1:]
scorer, batches = tfgmm.load_scorer(folder), np.load(rows)
found = {f"log_prob {n}": scorer.log_prob(batches[n]) for n in batches}
found |= {f"responsibilities {n}": scorer.responsibilities(batches[n]) for n in batches}
found |= {f"assignment {n}": scorer.assign(batches[n]) for n in batches}
np.savez(out, sample=scorer.sample(9, seed=11), none=scorer.sample(0, seed=11), **found)
"""
SCORE_WITHOUT_TFGMM = """
import sys
sys.modules["tfgmm"] = sys.modules["keras"] = None
import numpy as np
import tensorflow as tf
folder, rows, out = sys.argv[1:]
served, batches = tf.saved_model.load(folder), np.load(rows)
found = {}
for n in batches:
    x = tf.constant(batches[n])
    together = served.signatures["serving_default"](x=x)
    for name in ("log_prob", "responsibilities", "assignment"):
        (alone,) = served.signatures[name](x=x).values()
        np.testing.assert_array_equal(alone, together[name])
        found[f"{name} {n}"] = alone
draw, seed = served.signatures["sample"], tf.constant(11, tf.int64)
drawn = {n: draw(num_samples=tf.constant(n, tf.int64), seed=seed)["x"] for n in (9, 0)}
np.savez(out, sample=drawn[9], none=drawn[0], **found)
"""


class Job(NamedTuple):
    process: subprocess.Popen[bytes]
    out: pathlib.Path  # what it writes

    def finish(self) -> str:
        """Returns what it printed."""
        code = self.process.wait(timeout=300)
        printed = self.out.with_suffix(".printed").read_text()
        assert code == 0, printed[-3000:]
        return printed


def start(command: list[str], env: dict[str, str], out: pathlib.Path) -> Job:
    with open(out.with_suffix(".printed"), "wb") as printed:
        process = subprocess.Popen(
            command, env=env, cwd=out.parent, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT
        )
    return Job(process, out)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory, exported: Exported) -> Iterator[dict[str, Job]]:
    """The fresh processes that score an export, all started at once."""
    place, folder = tmp_path_factory.mktemp("jobs"), exported.folder
    np.savez(place / "rows.npz", **BATCHES)
    np.save(place / "x.npy", BATCHES["7"])
    # Where tfgmm must not be needed, importing it fails.
    blocker = place / "blocker"
    blocker.mkdir()
    (blocker / "tfgmm.py").write_text("raise ImportError('tfgmm must not be needed here')\n")
    with_package = {**os.environ, "PYTHONPATH": str(PACKAGE_ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    without = {**with_package, "PYTHONPATH": str(blocker)}
    cli_run = [str(CLI), "run", "--dir", str(folder), "--tag_set", "serve", "--overwrite", "--outdir"]
    literals = f"x={BATCHES['7'].tolist()}"

    def script(source: str, name: str, env: dict[str, str]) -> Job:
        out = place / f"{name}.npz"
        return start([sys.executable, "-c", source, str(folder), str(place / "rows.npz"), str(out)], env, out)

    def served(name: str, *arguments: str) -> Job:
        out = place / name
        return start([*cli_run, str(out), "--signature_def", "serving_default", *arguments], without, out)

    started = {
        "scorer": script(SCORE_WITHOUT_MODEL, "scorer", with_package),
        "saved model": script(SCORE_WITHOUT_TFGMM, "saved_model", without),
        "show": start([str(CLI), "show", "--all", "--dir", str(folder)], without, place / "show"),
        "run on literals": served("literals", "--input_exprs", literals),
        "run on a file": served("file", "--inputs", f"x={place / 'x.npy'}"),
    }
    yield started
    for job in started.values():
        if job.process.poll() is None:
            job.process.kill()
            job.process.wait()


@pytest.mark.parametrize("way", ["scorer", pytest.param("saved model", marks=pytest.mark.slow)])
def test_a_fresh_process_without_the_model_gives_its_numbers(
    exported: Exported, jobs: dict[str, Job], way: str
) -> None:
    job = jobs[way]
    job.finish()
    with np.load(job.out) as found:
        for n, rows in BATCHES.items():
            expected = dict(zip(SCORES, (exported.model.log_prob(rows), exported.model.responsibilities(rows))))
            for name, values in expected.items():
                assert found[f"{name} {n}"].dtype == np.float32
                np.testing.assert_allclose(found[f"{name} {n}"], values, rtol=1e-6, atol=1e-6)
            assert found[f"assignment {n}"].dtype == np.int64
            np.testing.assert_array_equal(found[f"assignment {n}"], exported.model.assign(rows))
        drawn = exported.model.sample(9, seed=SEED)
        if way == "saved model":  # which draws by TensorFlow
            drawn = graph_sampling.sample_rows(exported.model.plug_in(), 9, np.array([SEED, 0]))
        np.testing.assert_allclose(found["sample"], drawn, rtol=1e-6)
        assert found["none"].shape == (0, D)


@pytest.mark.slow
def test_command_line_tool_shows_the_signatures(jobs: dict[str, Job]) -> None:
    shown = jobs["show"].finish()
    for name in ("serving_default", *SCORES, "sample"):
        assert f"signature_def['{name}']" in shown
    assert f"shape: (-1, {D})" in shown


@pytest.mark.parametrize("way", [pytest.param("run on literals", marks=pytest.mark.slow), "run on a file"])
@pytest.mark.slow
def test_command_line_tool_scores_without_tfgmm(exported: Exported, jobs: dict[str, Job], way: str) -> None:
    job = jobs[way]
    assert "Result for output key log_prob" in job.finish()
    rows = BATCHES["7"]
    np.testing.assert_allclose(np.load(job.out / "log_prob.npy"), exported.model.log_prob(rows), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(np.load(job.out / "assignment.npy"), exported.model.assign(rows))
