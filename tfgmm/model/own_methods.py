"""What a subclass of the model has of its own: steps that are checked, and methods of Keras's that nothing calls."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any

STEPS = ("train_step", "test_step")
_BY_STEP = "Override train_step, and compile with an optimizer"
# Methods that Keras calls and a mixture does not: whether a step of one's own may call them, and what to do
_NOT_CALLED = {
    "call": (True, "To change rows, do it before the mixture, as in keras.Model(inputs, mixture(layer(inputs)))"),
    "compute_loss": (True, _BY_STEP),
    "compute_metrics": (True, _BY_STEP),
    "predict_step": (False, "Override predict, or use responsibilities, assign and the like"),
}


class InsideStep:
    """While it is entered, the model that it is of has rows that are measured from its centre."""

    def __init__(self, model: Any) -> None:
        self._model, self._before = model, model.is_inside_step

    def __enter__(self) -> None:
        self._model.is_inside_step = True

    def __exit__(self, *_: object) -> None:
        self._model.is_inside_step = self._before


def guarded(step: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a subclass's `train_step` or `test_step`: it must return logs, and not call the model on centred rows.

    Args:
        step: The method, as the class has it.
    """

    @functools.wraps(step)
    def guarded_step(model: Any, *args: Any, **kwargs: Any) -> Any:
        with InsideStep(model):
            logs = step(model, *args, **kwargs)
        if not isinstance(logs, Mapping):
            raise TypeError(
                f"`{type(model).__name__}.{step.__name__}` must return a dict of logs. "
                f"Received: {type(logs).__name__}. Return super().{step.__name__}(data), or a dict of scalars."
            )
        return _flat(logs)

    return guarded_step


def _flat(logs: Mapping[str, Any]) -> dict[str, Any]:
    """Puts the four figures of the bound in the place of the metric that they are of.

    A step that returns {metric.name: metric.result() for metric in self.metrics}, as in Keras's guides, has them in a
    dict of their own. What it names itself stays.
    """
    flat: dict[str, Any] = {}
    for value in logs.values():
        flat |= value if isinstance(value, Mapping) else {}
    return flat | {name: value for name, value in logs.items() if not isinstance(value, Mapping)}


def check_own_methods(model: Any, base: type, *, is_closed_form: bool) -> None:
    """Checks what a subclass overrides: Raises TypeError for what nothing would call, warns of steps in closed form.

    Args:
        model: The model, of a subclass or not.
        base: Class that has the methods as they are here.
        is_closed_form: Whether it is compiled without an optimizer, so that no step is called.
    """
    kind = type(model)
    own = [name for name in (*STEPS, *_NOT_CALLED) if getattr(kind, name) is not getattr(base, name)]
    for name, (may_be_called, fix) in _NOT_CALLED.items():
        if name in own and not (may_be_called and "train_step" in own and not is_closed_form):
            raise TypeError(
                f"`{kind.__name__}.{name}` must be left out: fit, evaluate and predict would not call it. "
                f"Received: a class that has it. {fix}."
            )
    for name in STEPS:
        if is_closed_form and name in own:
            warnings.warn(
                f"{kind.__name__}.{name} is not called in closed form, which follows no gradients. "
                "To have it called, compile with an optimizer.",
                stacklevel=3,
            )


def refuse_inside_step(model: Any) -> None:
    """Checks that `call` is not asked by a step of one's own: Raises TypeError, since rows there are centred already.

    Args:
        model: The model.
    """
    if model.is_inside_step:
        raise TypeError(
            "`x` must be rows in the units of the data, and those of a training step are measured from model.centre. "
            "Received: a call of the model inside train_step or test_step. Use "
            "log_likelihoods, kl = self.bound_terms(rows, self.next_seed()), which takes such rows."
        )
