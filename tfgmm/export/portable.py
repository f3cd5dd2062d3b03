"""A fitted mixture as one ONNX or LiteRT file, tried in its own runtime before it takes its name."""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm.common import atomic_file
from tfgmm.common.forks import check_not_forked
from tfgmm.common.quiet import stderr_kept_back
from tfgmm.common.unfinished import IN_PYTHON, ArgumentNames
from tfgmm.common.version import __version__
from tfgmm.common.words import shown
from tfgmm.export import parameters
from tfgmm.export.portable_density import PortableDensity
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.mixture.sampling import sample_rows
from tfgmm.scoring.scores import score_data

if TYPE_CHECKING:
    from tfgmm.export.scorer import Scorer
    from tfgmm.fit.result import FitResult
    from tfgmm.model.gaussian_mixture import GaussianMixtureModel

Scores = dict[str, np.ndarray]

_NUM_DRAWN = 64  # rows that a file is tried with, besides the centre, one far away, and one that is not finite
_FAR = 1e4  # standard deviations
_TOLERANCE = 1e-4  # nats, and of probabilities; relative for the row far away
_ROUNDING = 1e-6  # relative, of a log density beyond 100 nats: float32 holds no more of a sum of many squares


class _Format(NamedTuple):
    """What differs between the two kinds of file."""

    function: str
    suffix: str
    extra: str
    packages: tuple[str, ...]
    write: Callable[[PortableDensity, pathlib.Path, dict[str, str]], None]
    run: Callable[[pathlib.Path, np.ndarray], Scores]


def export_onnx(
    model: FitResult | GaussianMixtureModel | Scorer, path: str | os.PathLike[str], *, overwrite: bool = False
) -> pathlib.Path:
    """Writes the mixture at its posterior means into an ONNX file, for any ONNX runtime.

    Its input is `x`, float32 (B, D), data units, for any B. Its outputs are `log_prob`, float32 (B,), nats, and
    `responsibilities`, float32 (B, K); both are NaN for a row that is not finite, gaps included. The file computes in
    float32. Rows drawn from the mixture get the numbers of `model.log_prob` to 1e-4 nats, or to 1e-6 of the number
    beyond 100 nats; rows 10,000 standard deviations away get them to 1e-4 of the number. The file is written beside
    `path`, run once in onnxruntime, compared with `model`, and only then renamed. Its metadata hold `tfgmm_version`,
    `covariance` and, as JSON, `column_names`.

    Args:
        model: A `FitResult`, a fitted `GaussianMixtureModel`, or a `Scorer`.
        path: Path of the file; its name ends in .onnx. Folders on the way to it are made.
        overwrite: Whether a file at `path` is replaced.

    Returns:
        `path`, as a `pathlib.Path`.

    Raises:
        ImportError: the packages of the extra are not installed.
        TypeError: `model` is something else, or `path` is not a path.
        ValueError: another suffix, or a parameter of the model is not finite.
        FileExistsError: `path` is there and `overwrite` is False, or is a folder.
        RuntimeError: the converter or the runtime refuses the mixture, or the file gives other numbers: "full" and
            "tied" components with correlations beyond about 0.9999 need more digits than float32 has. No new file
            is left, and what was at `path` is still there.
        OSError: the disk refuses.

    Example:

    >>> import tempfile
    >>> model = tfgmm.GaussianMixtureModel(2, 1, seed=0)
    >>> export_onnx(model, tempfile.mkdtemp() + "/mixture.onnx").name
    'mixture.onnx'
    """
    return _export(_ONNX, model, path, overwrite)


def export_litert(
    model: FitResult | GaussianMixtureModel | Scorer, path: str | os.PathLike[str], *, overwrite: bool = False
) -> pathlib.Path:
    """Writes the mixture at its posterior means into a LiteRT (TensorFlow Lite) file, for phones and other devices.

    It is the function that `export_onnx` writes, as the signature `serving_default`, in LiteRT's own operations alone.
    It takes one row or more: with the signature runner any number, with `Interpreter.invoke` the number that was set by
    `resize_tensor_input`. The file is written beside `path`, run once in LiteRT's interpreter, compared with `model`,
    and only then renamed.

    Args:
        model: A `FitResult`, a fitted `GaussianMixtureModel`, or a `Scorer`.
        path: Path of the file; its name ends in .tflite. Folders on the way to it are made.
        overwrite: Whether a file at `path` is replaced.

    Returns:
        `path`, as a `pathlib.Path`.

    Raises:
        ImportError, TypeError, ValueError, FileExistsError, RuntimeError, OSError: as `export_onnx`.

    Example:

    >>> import tempfile
    >>> model = tfgmm.GaussianMixtureModel(2, 1, seed=0)
    >>> export_litert(model, tempfile.mkdtemp() + "/mixture.tflite").name
    'mixture.tflite'
    """
    return _export(_LITERT, model, path, overwrite)


def _export(kind: _Format, model: Any, path: Any, overwrite: bool) -> pathlib.Path:
    _check_installed(kind)
    mixture = _mixture_of(model)
    target = _target_of(path, kind.suffix)
    write_portable(kind.extra, mixture, model.column_names, target, overwrite)
    return pathlib.Path(path)


def write_portable(
    extra: str,
    mixture: MixtureDensity,
    column_names: Sequence[str] | None,
    target: pathlib.Path,
    overwrite: bool,
    names: ArgumentNames = IN_PYTHON,
) -> None:
    """Writes a mixture into a file for another runtime, once the file has been tried there.

    Args:
        extra: "onnx" or "litert": the kind of file, and the extra that brings its packages.
        mixture: One mixture (no leading axes), of finite numbers.
        column_names: Names of the columns, or None.
        target: The file to be.
        overwrite: Whether a file at `target` is replaced.
        names: What messages call the arguments.

    Raises:
        ImportError, FileExistsError, RuntimeError, OSError: As `export_onnx`.
    """
    kind = next(kind for kind in (_ONNX, _LITERT) if kind.extra == extra)
    check_not_forked(f"`{kind.function}`")
    _check_installed(kind)
    atomic_file.check_free(target, overwrite, names)
    portable = PortableDensity(mixture)
    portable(tf.zeros((1, len(mixture.centre))))  # Keras exports what has been called
    rows = _trial_rows(mixture)
    notes = _notes(mixture, column_names)
    with atomic_file.written_whole(target, overwrite, names) as temporary:
        scores = _written_and_run(kind, portable, temporary, rows, notes)
        fault = _fault_in(scores, mixture, rows)
        if fault:
            raise RuntimeError(
                f"`model` must be a mixture that float32 can hold. Received: one whose file gives {fault}. Nothing was "
                "kept. Use tfgmm.export_model, whose SavedModel computes in float64."
            )


def _check_installed(kind: _Format) -> None:
    for package in kind.packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ImportError(
                f"`{kind.function}` needs the packages {', '.join(kind.packages)}. Received: {error}. "
                f'Install them: pip install "tfgmm[{kind.extra}]"'
            ) from error


def _mixture_of(model: Any) -> MixtureDensity:
    mixture = model.plug_in() if hasattr(model, "plug_in") else None
    if not isinstance(mixture, MixtureDensity):
        raise TypeError(
            f"`model` must be the result of a fit, a model or a tfgmm.Scorer. Received: {type(model).__name__}. "
            "Pass the fitted model, or what tfgmm.load_scorer gives."
        )
    parameters.check_finite(parameters.arrays_of(mixture))
    return mixture


def _target_of(path: Any, suffix: str) -> pathlib.Path:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"`path` must be a path. Received: {type(path).__name__}. Pass the name of a file.")
    target = pathlib.Path(os.fsdecode(path))
    if target.suffix != suffix or "\0" in target.name:
        raise ValueError(f"`path` must be a file name that ends in {suffix}. Received: {str(target)!r}. Rename it.")
    return target


def _written_and_run(
    kind: _Format, portable: PortableDensity, file: pathlib.Path, rows: np.ndarray, notes: dict[str, str]
) -> Scores:
    """Writes the file and runs it: Returns its runtime's scores of the rows. Nothing is printed on the console."""
    try:
        with stderr_kept_back(), warnings.catch_warnings():
            # Keras asks NumPy for a name that tf2onnx needs and that NumPy 2 has removed
            warnings.filterwarnings("ignore", "In the future `np.object` will be defined", FutureWarning)
            kind.write(portable, file, notes)
            return kind.run(file, rows)
    except OSError:
        raise
    except Exception as error:  # every converter and runtime has exceptions of its own
        raise RuntimeError(
            f"`model` must be a mixture that {kind.packages[-1]} can run. Received: one with the error "
            f"{shown(str(error))!r}; nothing was kept. Install the versions that were tried, with "
            f'pip install "tfgmm[{kind.extra}]", or use tfgmm.export_model.'
        ) from error


def _notes(mixture: MixtureDensity, column_names: Sequence[str] | None) -> dict[str, str]:
    notes = {"tfgmm_version": __version__, "covariance": mixture.covariance}
    return notes | ({"column_names": json.dumps(column_names)} if column_names else {})


# --- The two kinds of file


def _signature(portable: PortableDensity) -> list[tf.TensorSpec]:
    return [tf.TensorSpec((None, portable.num_features), tf.float32, name="x")]


def _write_onnx(portable: PortableDensity, file: pathlib.Path, notes: dict[str, str]) -> None:
    import onnx

    portable.export(str(file), format="onnx", verbose=False, input_signature=_signature(portable))
    written = onnx.load(file)
    for value in (*written.graph.input, *written.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "rows"  # the converter calls it unk__ and a number
    onnx.helper.set_model_props(written, notes)
    onnx.checker.check_model(written)
    onnx.save(written, file)


def _run_onnx(file: pathlib.Path, rows: np.ndarray) -> Scores:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": rows})))


def _write_litert(portable: PortableDensity, file: pathlib.Path, notes: dict[str, str]) -> None:
    del notes  # a LiteRT file has no simple place for them
    # Other operations would need TensorFlow's own library on the device
    own = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    portable.export(str(file), format="litert", verbose=False, input_signature=_signature(portable), target_spec=own)


def _run_litert(file: pathlib.Path, rows: np.ndarray) -> Scores:
    from ai_edge_litert.interpreter import Interpreter

    scores: Scores = Interpreter(model_path=str(file)).get_signature_runner("serving_default")(x=rows)
    return scores


_ONNX = _Format("export_onnx", ".onnx", "onnx", ("onnx", "tf2onnx", "onnxruntime"), _write_onnx, _run_onnx)
_LITERT = _Format("export_litert", ".tflite", "litert", ("ai_edge_litert",), _write_litert, _run_litert)


# --- The trial


def _trial_rows(mixture: MixtureDensity) -> np.ndarray:
    """Draws rows from the mixture and adds its centre, a row far away, and one that is not finite; (67, D) float32."""
    drawn = sample_rows(mixture, _NUM_DRAWN, seed=0)
    sds, _ = mixture.form.covariances(mixture.components)
    far = mixture.centre + mixture.components["locs"][0] + _FAR * sds[0]
    return np.stack([*drawn, mixture.centre, far, np.full_like(far, np.nan)]).astype(np.float32)


def _fault_in(scores: Scores, mixture: MixtureDensity, rows: np.ndarray) -> str | None:
    """Says where a file's scores differ from TensorFlow's, in words that follow "gives"; None where they agree."""
    log_prob = score_data(mixture, rows, "log_prob")
    responsibilities = score_data(mixture, rows, "responsibilities")
    if {name: values.shape for name, values in scores.items()} != {
        "log_prob": log_prob.shape,
        "responsibilities": responsibilities.shape,
    }:
        return "other outputs than log_prob and responsibilities"
    relative = np.full(len(rows), _ROUNDING)
    relative[-2] = _TOLERANCE
    off = np.abs(scores["log_prob"] - log_prob)
    wrong = ~(off <= np.maximum(_TOLERANCE, relative * np.abs(log_prob)))
    wrong[-1] = not np.isnan(scores["log_prob"][-1])
    if wrong.any():
        return f"log densities that differ by {np.max(off[wrong]):.2g} nats"
    off = np.abs(scores["responsibilities"] - responsibilities)[:-2]
    if not (off <= _TOLERANCE).all() or not np.isnan(scores["responsibilities"][-1]).all():
        return f"responsibilities that differ by {off.max():.2g}"
    return None
