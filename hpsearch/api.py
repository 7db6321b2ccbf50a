"""The public functions: run a sweep, tune arrays, optimize a function, load and compare results."""

from __future__ import annotations

import concurrent.futures
import inspect
import os
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.comparison.comparing import compare_tables
from hpsearch.comparison.table import Columns
from hpsearch.comparison.writing import require_suffix
from hpsearch.data.loading import Loader
from hpsearch.data.memory import Folding, read_memory
from hpsearch.errors import InputError, Interrupted, SweepFileError
from hpsearch.models.shipping import CustomModel, model_reference, shipped
from hpsearch.results import Results
from hpsearch.space.space import Kind
from hpsearch.space.trial import Repetition
from hpsearch.spec.fields import NAME
from hpsearch.spec.method import parse_method
from hpsearch.spec.rules import InvalidValue
from hpsearch.spec.sweep import Sweep, load_sweep, sweep_from_mapping
from hpsearch.trackers.targets import make_tracker
from hpsearch.tuner.custom_model import AtHand
from hpsearch.tuner.function import (
    FunctionRun,
    execution_of,
    function_method,
    function_space,
    require_end,
    require_usable,
    run_function,
)
from hpsearch.tuner.learning import Search, listed_configs
from hpsearch.tuner.rescoring import Rescorer
from hpsearch.tuner.run import run_sweep
from hpsearch.tuner.settings import AsWarnings, Settings, Silent, outside
from hpsearch.tuner.tracking import tracked

if TYPE_CHECKING:
    from hpsearch.comparison.comparing import Comparison
    from hpsearch.tuner.settings import Reporter


def run(
    sweep: str | os.PathLike[str] | Sweep | Mapping[str, Any],
    *,
    out: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    retry: bool = False,
    fresh: bool = False,
    live: bool = False,
    store: str | os.PathLike[str] | None = None,
    log: Sequence[str] = (),
    executor: concurrent.futures.Executor | None = None,
) -> Results:
    """Run a sweep to its end; trials that have results are not trained again.

    >>> import hpsearch
    >>> sweep = {"data": {"dataset": "wine"}, "parameters": {"units": [4, 8], "epochs": 2}}
    >>> results = hpsearch.run(sweep, out="wine")
    >>> results.table["status"].tolist()
    ['completed', 'completed']

    Args:
        sweep: A file, a Sweep, or the mapping that a file would hold.
        out: The results directory; `experiments/NAME` where absent.
        workers: How many trainings run at a time; overrides the sweep's.
        retry: Whether failed, killed and timed-out trials are trained again.
        fresh: Whether an existing results directory is moved aside.
        live: Whether report.html is rewritten while the run is on.
        store: A file to keep the store in, where the results directory's disk has no locks.
        log: Where to log as it goes, each as in `hpsearch run --log`.
        executor: Whose processes train, in place of `execution.engine`: a ProcessPoolExecutor, or
            what Dask's `Client.get_executor()` gives. It stays the caller's.

    Raises:
        InputError: The sweep, its data or a tracker cannot be used.
        RefusedError: The directory is held by another run, or holds another sweep's results.
        Interrupted: Ctrl-C or a SIGTERM came; its `results` are those so far. In an interactive
            session (a notebook, a prompt) Ctrl-C gives them as the result, with a warning.
    """
    if isinstance(sweep, Mapping):
        sweep = sweep_from_mapping(sweep, base_dir=Path.cwd())
    elif not isinstance(sweep, Sweep):
        sweep = load_sweep(os.fspath(sweep))
    settings = Settings(
        out=None if out is None else Path(out),
        workers=workers,
        retry=retry,
        fresh=fresh,
        live=live,
        store=None if store is None else Path(store),
        pool=executor,
    )
    try:
        return execute(sweep, settings, Silent(), log=log)
    except Interrupted as error:
        return after(error)


def execute(
    sweep: Sweep,
    settings: Settings,
    reporter: Reporter,
    *,
    log: Sequence[str] = (),
    rows: Loader | None = None,
) -> Results:
    """Run a sweep; see `run`.

    Args:
        rows: Gives the data that is in memory.
    """
    with (
        results_so_far(rows),
        tracked(reporter, [make_tracker(target) for target in log]) as telling,
    ):
        outcome = run_sweep(sweep, settings, telling, rows)
        if outcome.stopped:
            telling.note(outcome.stopped, warning=True)
    return Results(outcome.directory, rows)


@contextmanager
def results_so_far(rows: Loader | None = None) -> Iterator[None]:
    """Gives an interruption the results so far, where any trial has a row."""
    try:
        yield
    except Interrupted as error:
        if error.where is not None and (error.where / "results.csv").exists():
            found = Results(error.where, rows)
            error.results = found if len(found.table) else None
        raise


def after(interruption: Interrupted) -> Results:
    """What a call gives that Ctrl-C ended: the results so far, at a prompt and in a notebook.

    An exception would leave a notebook's variable as it was before, and a script that went on
    after Ctrl-C would not be what was asked for.

    Raises:
        Interrupted: In a script, at a SIGTERM, or where there are no results.
    """
    interactive = hasattr(sys, "ps1") or bool(sys.flags.interactive)
    found = interruption.results
    if not (interactive and interruption.by_keyboard and isinstance(found, Results)):
        raise interruption
    message = f"interrupted: these are the results so far, {len(found.table)} rows"
    warnings.warn(message, UserWarning, stacklevel=outside())
    return found


def load(directory: str | os.PathLike[str]) -> Results:
    """The results of an earlier run.

    >>> import hpsearch
    >>> sweep = {"data": {"dataset": "wine"}, "parameters": {"units": 4, "epochs": 2}}
    >>> results = hpsearch.run(sweep, out="wine")
    >>> int(hpsearch.load("wine").best["units"])
    4

    Raises:
        InputError: There is no results table.
    """
    path = Path(directory)
    if not (path / "results.csv").exists():
        raise InputError(f"{path}: there is no results.csv; `hpsearch run` writes one")
    return Results(path)


def compare(
    *tables: str | os.PathLike[str] | Results,
    score: str | None = None,
    params: Sequence[str] = (),
    goal: str | None = None,
    anyway: bool = False,
    rescore: int | None = None,
    workers: int | None = None,
    out: str | os.PathLike[str] | None = None,
) -> Comparison:
    """Compare results tables: which is better, by how much, how sure, and why.

    >>> import hpsearch
    >>> sweep = {"data": {"dataset": "wine"}, "parameters": {"units": [4, 8], "epochs": 2}}
    >>> plain = hpsearch.run(sweep, out="plain")
    >>> seeded = hpsearch.run({**sweep, "seed": 1}, out="seeded")
    >>> comparison = hpsearch.compare(plain, seeded)
    >>> comparison.comparable, comparison.n_pairs
    (True, 2)

    Args:
        tables: Results directories, CSV files or Results, two or more.
        score: The column to compare by; needed for tables of other programs.
        params: The hyperparameters' columns of such tables.
        goal: `maximize` or `minimize`, where the score's name does not tell.
        anyway: Whether to compare what is not comparable, too, and say so.
        rescore: Train each table's best config again with so many fresh seeds, in place of what
            the tables say of their bests. Takes results directories.
        workers: How many trainings run at a time, for `rescore`.
        out: A file to write to: .md, .json or .html.

    Raises:
        InputError: A table is missing, or is none.
        RefusedError: The tables differ in data, split or metric.
    """
    if out is not None:
        require_suffix(out)
    again = None
    if rescore is not None:
        if rescore < 1:
            raise InputError(f"rescore: must be how many fresh seeds, 1 or more, not {rescore}")

        again = Rescorer(rescore, workers)
    compared = compare_tables(
        [table.directory if isinstance(table, Results) else table for table in tables],
        Columns(score, tuple(params), goal),
        anyway=anyway,
        rescore=again,
    )
    if out is not None:
        compared.write(out)
    return compared


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
    settings = Settings(retry=retry, fresh=fresh, live=live, report=out is not None)
    load: Loader = partial(rows.load, folds)
    if model is not None and not isinstance(model, str):
        load = AtHand(load, CustomModel(shipped(model, "model", of=[model])))
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
    except InvalidValue:
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
        return sweep_from_mapping(_without_none(_plain(raw)))
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
    settings: Settings,
    load: Loader,
    out: str | os.PathLike[str] | None,
    log: Sequence[str],
) -> Results:
    try:
        if out is not None:
            settings = replace(settings, out=Path(out))
            return execute(sweep, settings, AsWarnings(), log=log, rows=load)
        return _without_directory(sweep, settings, load, log)
    except Interrupted as error:
        return after(error)


def _without_directory(
    sweep: Sweep, settings: Settings, load: Loader, log: Sequence[str]
) -> Results:
    scratch = tempfile.mkdtemp(prefix="hpsearch-")
    settings = replace(settings, out=Path(scratch, sweep.name))
    try:
        found = execute(sweep, settings, AsWarnings(), log=log, rows=load)
        return found.owning(scratch)
    except Interrupted as error:
        # Nobody could go on in that directory.
        interruption = Interrupted(error.number)
        if isinstance(error.results, Results):
            interruption.results = error.results.owning(scratch)
        else:
            shutil.rmtree(scratch, ignore_errors=True)
        raise interruption from None
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


Objective = Callable[[dict[str, Any]], Any]


def optimize(
    objective: Objective,
    parameters: Mapping[str, Any],
    method: str | Mapping[str, Any] = "auto",
    *,
    trials: int | None = None,
    goal: str = "minimize",
    seed: int = 0,
    workers: int = 1,
    out: str | os.PathLike[str] | None = None,
    constraints: Sequence[str] = (),
    configs: Sequence[Mapping[str, Any]] = (),
    time_seconds: float | None = None,
    timeout_seconds: float | None = None,
    execution: Mapping[str, Any] | None = None,
) -> Results:
    """Search for the config at which a function is best.

    >>> import hpsearch
    >>> results = hpsearch.optimize(
    ...     lambda config: (config["x"] - 2) ** 2,
    ...     {"x": {"min": -10.0, "max": 10.0}},
    ...     trials=30,
    ... )
    >>> bool(abs(results.best["x"] - 2) < 1)
    True

    Args:
        objective: Called with a config; gives its score, or is a generator that yields one after
            each epoch: then `hyperband` and `asha` can halt it, and the last one counts. What it
            raises is a failed row; a score that is not finite a diverged one.
        parameters: As in a sweep file, any names; for `hyperband` and `asha` with `epochs`.
        method: As in a sweep file; `grid` needs no `trials`.
        trials: Rows of the table at most.
        goal: `minimize` or `maximize`.
        seed: Of the proposals.
        workers: Processes. 1 calls the function in this one; more need a function that can be
            imported, by its module and name.
        out: The results directory, in which a later call goes on; None keeps nothing on disk.
        constraints, configs: As in a sweep file.
        time_seconds: No trial is begun after it.
        timeout_seconds: Longest time of one trial, with several workers or on a cluster.
        execution: As in a sweep file, for a cluster: `{"engine": "ray", "address": "auto"}`.

    Raises:
        InputError: The function or the parameters cannot be used.
        RefusedError: `out` is held by another run, or holds another function's results.
        Interrupted: As for `hpsearch.run`.
    """
    if goal not in ("minimize", "maximize"):
        raise InputError(f"goal: must be minimize or maximize, not {goal!r}")
    if workers < 1:
        raise InputError(f"workers: must be at least 1, not {workers}")
    where = execution_of(execution, workers, timeout_seconds)
    require_usable(objective, workers, elsewhere=where.engine != "local")
    kind = Kind.STEPWISE if inspect.isgeneratorfunction(objective) else Kind.FUNCTION
    space = function_space(parameters, constraints, kind)
    search = Search(
        method=function_method(method, space, configs),
        space=space,
        listed=listed_configs(space, configs, {p.name: p.at(0.0) for p in space.parameters}),
        repetitions=(Repetition(0),),
        limit=trials,
        seed=seed,
    )
    require_end(search.method, trials, time_seconds)

    def run(directory: Path) -> Results:
        job = FunctionRun(
            objective,
            search,
            goal,
            directory,
            workers,
            time_seconds,
            where,
            report=out is not None,
        )
        with results_so_far():
            return Results(run_function(job).path)

    try:
        if out is not None:
            return run(Path(out))
        return _optimize_without_directory(run)
    except Interrupted as error:
        return after(error)


def _optimize_without_directory(run: Callable[[Path], Results]) -> Results:
    with tempfile.TemporaryDirectory(prefix="hpsearch-") as directory:
        try:
            return run(Path(directory)).detached()
        except Interrupted as error:
            # Nobody could go on in that directory.
            interruption = Interrupted(error.number)
            if isinstance(error.results, Results):
                interruption.results = error.results.detached()
            raise interruption from None
