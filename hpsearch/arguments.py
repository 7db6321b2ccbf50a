"""Check the arguments of `hpsearch.tune` and turn them into a sweep."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from hpsearch.engine.search import require_end
from hpsearch.errors import InputError, SweepFileError
from hpsearch.spec.method import parse_method
from hpsearch.spec.rules import NAME, InvalidValue
from hpsearch.spec.sweep import Sweep, model_sweep, sweep_from_mapping
from hpsearch.spec.table import with_default_search
from hpsearch.spec.words import OPTIMIZE
from hpsearch.wording import unknown_hint

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def require_searchable(
    model: Any,
    parameters: Mapping[str, Any] | None,
    configs: Any,
    oracle: Any,
    callbacks: Any,
    *of_mlps: Any,
) -> None:
    """Check that the arguments say what to search, and that a custom model compiles itself."""
    if model is None:
        if callbacks:
            raise InputError(
                "callbacks: are for custom models, model=build; hpsearch's own MLPs take "
                "early_stopping, and metric={'name': ..., 'epoch': 'best'}"
            )
        if parameters is None and (configs or oracle is not None):
            raise InputError(
                "parameters: is missing: say what to try, such as {'units': [32, 64]}; or give "
                "model=build"
            )
        return
    is_model = hasattr(model, "compiled_metrics") or hasattr(model, "stop_training")
    builds = callable(model) or isinstance(model, str) or hasattr(model, "build")
    if is_model or not builds:
        raise InputError(
            "model: must be a function build(hp) that makes and compiles a model, a "
            "keras_tuner.HyperModel, or package.module:name of one, not a "
            f"{type(model).__name__}"
        )
    if any(argument is not None for argument in of_mlps):
        raise InputError(
            "loss, output_activation, class_weight: are of hpsearch's own MLPs; a custom model is "
            "compiled by the function that builds it"
        )


def sweep_name(name: str | None, out: str | os.PathLike[str] | None) -> str:
    """Return the sweep's name: the given one, else that of the results directory."""
    if name is not None:
        return name
    of_directory = Path(out).absolute().name if out is not None else ""
    return of_directory if NAME.match(of_directory) else "tune"


def oracle_name(oracle: Any, method: Any) -> str:
    """The name of an oracle's class, which its rows have as their method."""
    if method is not None:
        raise InputError("method, oracle: only one of them can propose the trials")
    if not hasattr(oracle, "create_trial") or isinstance(oracle, type):
        raise InputError(
            f"oracle: must be a keras_tuner.Oracle, such as "
            f"keras_tuner.oracles.RandomSearchOracle(max_trials=10), not {oracle!r}"
        )
    return f"{type(oracle).__module__}:{type(oracle).__qualname__}"


def method_of(
    method: str | Mapping[str, Any] | None, has_configs: bool, budget: Mapping[str, Any]
) -> str | Mapping[str, Any] | None:
    """Return the given method, whose search must end, else one that suits the other arguments.

    Args:
        budget: The keys of a file's `budget`; None for no value.
    """
    if method is None:
        ends = any(budget.get(name) is not None for name in ("trials", "time", "patience"))
        return "auto" if ends else None if has_configs else "grid"
    # Report a wrong method together with other wrong arguments.
    with suppress(InvalidValue):
        require_end(parse_method(method), budget)
    return method


def budget_of(
    budget: Mapping[str, Any] | None, trials: int | None, time_seconds: float | None
) -> dict[str, Any]:
    """Return the keys of a file's `budget`, with None for those without a value."""
    given: dict[str, Any] = {"trials": trials, "time": time_seconds}
    if budget is not None and not isinstance(budget, Mapping):
        raise InputError(f"budget: must be a mapping such as {{'patience': 30}}, not {budget!r}")
    further = {name: value for name, value in (budget or {}).items() if value is not None}
    for name, value in given.items():
        if value is not None and name in further:
            raise InputError(f"budget.{name}: is given twice, as an argument, too")
    return {name: _plain(value) for name, value in {**given, **further}.items()}


#: Keys of a sweep file -> the arguments of `tune`, where the names differ.
_ARGUMENTS = {
    "budget.time": "time_seconds",
    "data.validation": "validation_split",
    "data.seed": "split_seed",
    "execution.timeout": "timeout_seconds",
}


def sweep_of(raw: Mapping[str, Any], default_rows: int | None = None) -> Sweep:
    """Return the sweep of a file with these keys; an InputError names every wrong argument.

    Args:
        default_rows: The number of rows, if keys that are None have what suits a table of them.
    """
    given = _without_none(_plain(raw))
    if default_rows is not None:
        given = with_default_search(given, default_rows)
    try:
        return model_sweep(sweep_from_mapping(given))
    except SweepFileError as error:
        lines = [f"{_argument(problem.path)}: {problem.message}" for problem in error.problems]
        raise InputError("\n".join(line.removeprefix(": ") for line in lines)) from None


def _argument(path: str) -> str:
    return _ARGUMENTS.get(
        path, re.sub(r"^((data|execution|model)\.|budget\.(?=trials$))", "", path)
    )


def _without_none(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out arguments that are None; keep None within an argument."""
    parts = {
        key: {k: v for k, v in value.items() if v is not None}
        if key in {"data", "budget", "execution", "model"} and isinstance(value, Mapping)
        else value
        for key, value in raw.items()
    }
    return {key: value for key, value in parts.items() if value not in (None, {}, [])}


def _plain(value: Any) -> Any:
    """Convert tuples, ranges, arrays and NumPy numbers to plain Python values."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def answering_unknown_arguments(
    function: Callable[_Arguments, _Result],
) -> Callable[_Arguments, _Result]:
    """Have the TypeError of an argument that a function does not have say what to write."""
    names = [*inspect.signature(function).parameters]

    @wraps(function)
    def call(*arguments: _Arguments.args, **named: _Arguments.kwargs) -> _Result:
        for name in named:
            if name not in names:
                hint = unknown_hint(name, OPTIMIZE, names)
                raise TypeError(f"{function.__name__}() has no argument {name!r}{hint}")
        return function(*arguments, **named)

    return call
