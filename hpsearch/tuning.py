"""Search over MLPs on arrays in memory: `hpsearch.tune`."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hpsearch import data, driver, sweepfile
from hpsearch.api import Results, after, execute
from hpsearch.data.memory import Folding, read_memory
from hpsearch.driver.modelspace import AtHand
from hpsearch.errors import InputError, SweepFileError
from hpsearch.sweep import NAME, Sweep
from hpsearch.sweep.method import parse_method
from hpsearch.sweep.rules import Invalid
from hpsearch.usermodel.found import OwnModel
from hpsearch.usermodel.shipping import model_reference, shipped

__all__ = ["tune"]

Pair = tuple[Any, Any]

#: Where a sweep file says what an argument says.
_ARGUMENTS = {
    "budget.trials": "trials",
    "budget.time": "time_seconds",
    "data.validation": "validation_split",
    "data.test": "test",
    "data.seed": "split_seed",
    "data.scale": "scale",
    "data.task": "task",
    "data.cv": "cv",
    "execution.workers": "workers",
    "execution.timeout": "timeout_seconds",
    "model.class_weight": "class_weight",
    "model.loss": "loss",
    "model.output_activation": "output_activation",
}


def tune(
    x: Any,
    y: Any = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    model: Any = None,
    method: str | Mapping[str, Any] | None = None,
    trials: int | None = None,
    validation_data: Pair | None = None,
    validation_split: float = 0.2,
    test: float | Pair | None = None,
    cv: Any = None,
    groups: Any = None,
    task: str | None = None,
    scale: str = "auto",
    split_seed: int = 42,
    metric: str | Mapping[str, Any] | None = None,
    loss: str | None = None,
    output_activation: str | None = None,
    class_weight: Mapping[Any, float] | str | None = None,
    sample_weight: Any = None,
    seed: int = 0,
    seeds: int | Sequence[int] | Mapping[str, Any] = 1,
    constraints: Sequence[str] = (),
    configs: Sequence[Mapping[str, Any]] = (),
    early_stopping: Mapping[str, Any] | None = None,
    keep: str = "best",
    workers: int | None = None,
    time_seconds: float | None = None,
    timeout_seconds: float | None = None,
    name: str | None = None,
    out: str | os.PathLike[str] | None = None,
    retry: bool = False,
    fresh: bool = False,
    live: bool = False,
    log: Sequence[str] = (),
) -> Results:
    """Search for the MLP, or the model of one's own, that is best on data in memory.

    >>> import hpsearch
    >>> from sklearn.datasets import load_wine
    >>> x, y = load_wine(return_X_y=True)
    >>> results = hpsearch.tune(x, y, parameters={"units": [4, 16], "epochs": 20})
    >>> len(results.table)
    2
    >>> results.model().predict(x[:5], verbose=0).shape
    (5, 3)

    What is said of a sweep file's keys holds for the arguments, too. Trials are trained by other
    processes, which get the rows through shared memory; a script needs no `if __name__` guard.

    Args:
        x: `(n_samples, ...)` numbers, or a pandas frame; its text columns are one-hot encoded
            inside the model. Raw values: the model scales them. Or a `tf.data.Dataset` of
            batches `(x, y)` or `(x, y, sample_weight)`, which is read into memory, in the order
            that it has this time; so may `validation_data` and `test` be.
        y: `(n_samples,)` labels or numbers, one-hot rows, or `(n_samples, outputs)` numbers. For a
            model of one's own with several outputs, name -> target, or a list of targets, each
            an array of numbers; classes are whole ones. The pairs below have the same.
        parameters: Hyperparameters by name: a list means choices, a number or text is fixed,
            `{"min": 1e-4, "max": 0.1, "scale": "log"}` is a range. With a model of one's own, in
            place of what that says of a name, beside `epochs` and `batch_size`.
        model: `build(hp)`, which gives a Keras model, or a KerasTuner `HyperModel` (an instance
            or a class), or `package.module:name` of one. It gets scaled rows in their own shape;
            classes are whole numbers, or one-hot for a loss such as `categorical_crossentropy`;
            a regression's targets are as they are.
        method: Where absent, `grid`; with `trials` or `time_seconds`, `auto`; with `configs`
            and neither, exactly these.
        trials: Rows of the table at most.
        validation_data: A pair of x and y to score on.
        validation_split: The share of rows to score on where there is no such pair. They are
            chosen at random, stratified for classes, where Keras takes the last rows.
        test: A share of rows, or a pair, that no training and no score sees; for
            `results.evaluate("test")`.
        cv: Cross-validation in place of a validation split: how many folds (shuffled, stratified
            for classes), a scikit-learn splitter such as `TimeSeriesSplit(5)`, or pairs of
            training and validation row numbers. Each fold is a row of the table, with all that is
            fitted, such as scaling, fitted on its own training rows; the mean over the folds is a
            config's score. The best model is that of the best config's best fold. A single pair,
            or a splitter that makes one, such as `PredefinedSplit`, is a validation split. The
            workers' memory holds the rows once a fold.
        groups: `(n_samples,)`: rows of one group are on one side of every split.
        task: `classification` or `regression`; inferred where `y` is unambiguous.
        scale: `auto`, `none`, `unit` or `standard`: a layer, fitted on training rows alone.
        split_seed: Of the split; it is `data.seed` in a file.
        metric: The score: `val_accuracy`, for regression `val_loss`, where absent; any metric
            of Keras by its name, such as `val_auc`, `val_f1_score`, `val_top_5_accuracy` or
            `val_r2_score`, which TensorFlow trains and which gets columns of its own; or as in a
            file: `{"name": "val_accuracy", "goal": "maximize", "epoch": "best"}`.
        loss, output_activation: Keras names; the task decides where absent.
        class_weight: Class -> its weight in the training loss, as in `keras.Model.fit`; or
            `balanced`, in inverse proportion to the rows of each class.
        sample_weight: `(n_samples,)`: each row's weight in the loss, in `val_loss`, too, where
            rows are split off; `validation_data` may be a triple. As in Keras, accuracy and other
            metrics count rows alike. TensorFlow trains what is weighted, at half the native speed.
        seed: Of weights, shuffles, masks and proposals.
        seeds: Repetitions of each config: how many, which, or `{"min", "max", "race"}`.
        constraints, configs: As in a file.
        early_stopping: Such as `{"patience": 3, "min_delta": 0.0}`.
        keep: Whose weights are kept, `best` or `all`.
        workers: How many trainings run at a time; one a core where absent.
        time_seconds: No trial is begun after it.
        timeout_seconds: Longest time of one training.
        name: Of the sweep; the name of `out` where absent.
        out: The results directory, in which a later call with the same data goes on. Where
            absent, a temporary one, removed when the results are no longer used.
        retry, fresh, live, log: As for `hpsearch.run`.

    Raises:
        InputError: An argument or the data cannot be used; all arguments are told at once.
        RefusedError: `out` is held by another run, or its rows are of other data or another
            metric.
        Interrupted: As for `hpsearch.run`.
    """
    _require_something(model, parameters, loss, output_activation, class_weight)
    rows = read_memory(x, y, sample_weight, validation_data, test)
    if rows.parts and model is None:
        raise InputError(
            f"y: has {len(rows.parts)} targets, and hpsearch's own MLPs have one output; give "
            "model=build, a function of hp that returns a Keras model with as many outputs, or "
            "y of shape (n_samples, outputs) for a regression of several numbers"
        )
    folds = Folding.of(cv, groups, rows, split_seed)
    folds.require_fit(validation_data, test)
    raw = {
        "name": _name(name, out),
        "seed": seed,
        "data": {
            "memory": rows.described | folds.described,
            "task": task,
            "validation": validation_split if cv is None else None,
            "cv": folds.count,
            "test": test if rows.test is None else None,
            "seed": split_seed,
            "scale": scale,
        },
        "metric": metric,
        "parameters": parameters or {},
        "constraints": constraints,
        "configs": configs,
        "seeds": seeds,
        "budget": {"trials": trials, "time": time_seconds},
        "early_stopping": early_stopping,
        "execution": {"workers": workers, "timeout": timeout_seconds},
        "model": _reference(model)
        or {"loss": loss, "output_activation": output_activation, "class_weight": class_weight},
        "keep": keep,
        "method": _method(method, bool(configs), trials, time_seconds),
    }
    sweep = _sweep(raw)
    settings = driver.Settings(retry=retry, fresh=fresh, live=live, report=out is not None)
    load: data.Loader = partial(rows.load, folds)
    if model is not None and not isinstance(model, str):
        load = AtHand(load, OwnModel(shipped(model, "model", of=[model])))
    return _run(sweep, settings, load, out, log)


def _require_something(model: Any, parameters: Mapping[str, Any] | None, *of_mlps: Any) -> None:
    """Check that there is something to search, and nothing that the model is to say."""
    if model is None:
        if parameters is None:
            raise InputError(
                "parameters: is missing: say what to try, such as parameters={'units': [32, 64]}; "
                "or give model=build, a function of hp that returns a Keras model"
            )
        return
    if not callable(model) and not isinstance(model, str) and not hasattr(model, "build"):
        raise InputError(
            "model: must be a function of hp, a keras_tuner.HyperModel, or package.module:name of "
            f"one, not {type(model).__name__}"
        )
    if any(each is not None for each in of_mlps):
        raise InputError(
            "loss, output_activation, class_weight: are of hpsearch's own MLPs; a model of one's "
            "own is compiled by the function that builds it"
        )


def _reference(model: Any) -> str:
    if model is None or isinstance(model, str):
        return model or ""
    return model_reference(model)


def _name(name: str | None, out: str | os.PathLike[str] | None) -> str:
    if name is not None:
        return name
    of_directory = Path(out).absolute().name if out is not None else ""
    return of_directory if NAME.match(of_directory) else "tune"


def _method(
    method: str | Mapping[str, Any] | None,
    has_configs: bool,
    trials: int | None,
    time_seconds: float | None,
) -> str | Mapping[str, Any] | None:
    ends = trials is not None or time_seconds is not None
    if method is None:
        return "auto" if ends else None if has_configs else "grid"
    try:
        exhausts = parse_method(method).exhausts
    except Invalid:
        # Told with all else that is wrong.
        return method
    if not exhausts and not ends:
        called = parse_method(method).name
        raise InputError(f"trials: method {called} needs trials, or time_seconds")
    return method


def _sweep(raw: Mapping[str, Any]) -> Sweep:
    """The sweep that a file with these keys would be.

    Raises:
        InputError: With all that is wrong, a line each.
    """
    try:
        return sweepfile.parse(_without_none(_plain(raw)))
    except SweepFileError as error:
        lines = [f"{_argument(each.path)}: {each.message}" for each in error.problems]
        raise InputError("\n".join(line.removeprefix(": ") for line in lines)) from None


def _argument(path: str) -> str:
    return _ARGUMENTS.get(path, re.sub(r"^(data|budget|execution|model)\.", "", path))


def _without_none(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Without arguments that were left out; what the user wrote within one stays."""
    parts = {
        key: {k: v for k, v in value.items() if v is not None}
        if key in {"data", "budget", "execution", "model"} and isinstance(value, Mapping)
        else value
        for key, value in raw.items()
    }
    return {key: value for key, value in parts.items() if value not in (None, {}, [])}


def _plain(value: Any) -> Any:
    """With lists for tuples, ranges and arrays, and Python's numbers for NumPy's."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def _run(
    sweep: Sweep,
    settings: driver.Settings,
    load: data.Loader,
    out: str | os.PathLike[str] | None,
    log: Sequence[str],
) -> Results:
    try:
        if out is not None:
            settings = replace(settings, out=Path(out))
            return execute(sweep, settings, driver.AsWarnings(), log=log, rows=load)
        return _without_directory(sweep, settings, load, log)
    except driver.Interrupted as error:
        return after(error)


def _without_directory(
    sweep: Sweep, settings: driver.Settings, load: data.Loader, log: Sequence[str]
) -> Results:
    scratch = tempfile.mkdtemp(prefix="hpsearch-")
    settings = replace(settings, out=Path(scratch, sweep.name))
    try:
        found = execute(sweep, settings, driver.AsWarnings(), log=log, rows=load)
        return found.owning(scratch)
    except driver.Interrupted as error:
        # Nobody could go on in that directory.
        interruption = driver.Interrupted(error.number)
        if isinstance(error.results, Results):
            interruption.results = error.results.owning(scratch)
        else:
            shutil.rmtree(scratch, ignore_errors=True)
        raise interruption from None
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
