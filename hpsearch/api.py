"""The public functions: run a sweep, tune arrays, optimize a function, load and compare results."""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hpsearch.arguments import (
    answering_unknown_arguments,
    budget_of,
    method_of,
    oracle_name,
    require_searchable,
    sweep_name,
    sweep_of,
)
from hpsearch.comparison.comparing import Settler, compare_tables
from hpsearch.comparison.table import Columns
from hpsearch.comparison.writing import require_suffix
from hpsearch.custom.shipping import CustomModel, model_reference, shipped
from hpsearch.data.arrays import as_supported
from hpsearch.data.loading import Folding, Loader, read_memory
from hpsearch.engine.session import Settings
from hpsearch.errors import InputError, Interrupted
from hpsearch.functions.search import function_search
from hpsearch.models.arrays import LoaderWithModel
from hpsearch.models.problem import Objective
from hpsearch.progress.display import make_listener
from hpsearch.reporting.comparison_page import Comparison
from hpsearch.results import Results, execute, results_at_prompt, results_with_interruption, run_in
from hpsearch.runs.trial import trusted
from hpsearch.spec.sweep import ProgramSweep, Sweep, load_sweep, sweep_from_mapping
from hpsearch.spec.table import KEPT
from hpsearch.store.directory import ResultsDirectory
from hpsearch.wording import did_you_mean


def run(
    sweep: str | os.PathLike[str] | Sweep | ProgramSweep | Mapping[str, Any],
    *,
    out: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    retry: bool = False,
    fresh: bool = False,
    store: str | os.PathLike[str] | None = None,
    log: Sequence[str] = (),
    executor: concurrent.futures.Executor | None = None,
    anyway_code: bool = False,
    verbose: int | str = "auto",
) -> Results:
    """Run a sweep to its end; executions that have a result are not trained again.

    >>> import hpsearch
    >>> sweep = {"data": {"dataset": "wine"}, "parameters": {"units": [4, 8], "epochs": 2}}
    >>> results = hpsearch.run(sweep, out="wine")
    >>> results.table["status"].tolist()
    ['completed', 'completed']

    Args:
        sweep: A file, a Sweep, or the mapping that a file would hold.
        out: The results directory; default `experiments/NAME`.
        workers: Number of parallel trainings; overrides the sweep's setting.
        retry: Whether to train failed, killed and timed-out executions again.
        fresh: Whether to move an existing results directory aside.
        store: A file for the store, if the results directory's disk has no locks.
        log: Trackers to log to during the run, each as in `hpsearch run --log`.
        executor: An executor for the trainings, in place of `execution.engine`: a
            ProcessPoolExecutor, or Dask's `Client.get_executor()`. The caller closes it.
        anyway_code: Whether a program that was edited since its rows were made may add rows.
        verbose: 0 shows no progress, 1 a bar, 2 a line for each result; `auto` a bar on a terminal
            or in a notebook, and nothing elsewhere.

    Raises:
        InputError: The sweep, its data or a tracker cannot be used.
        RefusedError: Another run holds the directory, or it has another sweep's results.
        Interrupted: Ctrl-C or SIGTERM ended the run; its `results` are those so far. In an
            interactive session (a notebook, a prompt) Ctrl-C returns them instead, with a warning.
    """
    if isinstance(sweep, Mapping):
        sweep = sweep_from_mapping(sweep, base_dir=Path.cwd())
    elif not isinstance(sweep, Sweep | ProgramSweep):
        sweep = load_sweep(os.fspath(sweep), with_data=True)
    settings = Settings(
        out=None if out is None else Path(out),
        workers=workers,
        retry=retry,
        fresh=fresh,
        store=None if store is None else Path(store),
        pool=executor,
        anyway_code=anyway_code,
    )
    try:
        return execute(sweep, settings, make_listener(verbose), log)
    except Interrupted as error:
        return results_at_prompt(error)


def load(directory: str | os.PathLike[str], *, trust: Collection[str] = ()) -> Results:
    """Return the results of an earlier run.

    >>> import hpsearch
    >>> sweep = {"data": {"dataset": "wine"}, "parameters": {"units": 4, "epochs": 2}}
    >>> results = hpsearch.run(sweep, out="wine")
    >>> int(hpsearch.load("wine").best["units"])
    4

    Args:
        trust: Functions that `export`, `evaluate`, `reproduce` and `model` may run if the
            directory names them, as `package.module:name`: the builder of a model or a layer type,
            or the reader of the data. Name only functions that you know, since anyone may have made
            the directory.

    Raises:
        InputError: There is no results table, or a name in `trust` is not a function's.
    """
    path = Path(directory)
    table = ResultsDirectory(path).results
    if not table.exists():
        raise InputError(f"{table}: there is no such results table")
    return Results(path, trust=trusted(trust))


def compare(
    *tables: str | os.PathLike[str] | Results,
    score: str | None = None,
    params: Sequence[str] = (),
    goal: str | None = None,
    anyway: bool = False,
    random: bool = False,
    settle: int | None = None,
    workers: int | None = None,
    trust: Collection[str] = (),
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
        tables: Two or more results directories, CSV files or Results.
        score: The column to compare by; needed for tables of other programs.
        params: The columns of hyperparameters in such tables.
        goal: `maximize` or `minimize`; needed if the score's name does not decide it.
        anyway: Whether to compare tables that are not comparable, and say so.
        random: Whether the configs of such tables are random draws, and each row was trained with
            different random numbers.
        settle: Train each table's best config again with this many fresh seeds, and use these
            scores in place of the best configs' rows. Needs results directories.
        workers: Number of parallel trainings, for `settle`.
        trust: As for `hpsearch.load`, for `settle`.
        out: A .md, .json or .html file to write the comparison to.

    Raises:
        InputError: A table is missing, or a file is not a table.
        RefusedError: The tables differ in data, split or metric.
    """
    if out is not None:
        require_suffix(out)
    names = [name for table in tables if isinstance(table, Results) for name in table.trust]
    may_run = trusted(trust) | frozenset(names)
    findings = compare_tables(
        [table.directory if isinstance(table, Results) else table for table in tables],
        Columns(score, tuple(params), goal, random),
        anyway=anyway,
        settle=None if settle is None else Settler(settle, workers, trust=may_run),
    )
    compared = Comparison.of(findings)
    if out is not None:
        compared.write(out)
    return compared


Pair = tuple[Any, Any]


def tune(
    x: Any,
    y: Any = None,
    *,
    target: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    model: Any = None,
    method: str | Mapping[str, Any] | None = None,
    oracle: Any = None,
    trials: int | None = None,
    validation_data: Pair | None = None,
    validation_split: float = 0.2,
    test: float | Pair | None = None,
    cv: Any = None,
    groups: Any = None,
    task: str | None = None,
    scale: str = "auto",
    drop: Sequence[str] = (),
    impute: str = "median",
    dates: str = "features",
    identifiers: str = "drop",
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
    known: Any = None,
    early_stopping: Mapping[str, Any] | None = None,
    callbacks: Any = None,
    keep: str = "best",
    workers: int | None = None,
    time_seconds: float | None = None,
    budget: Mapping[str, Any] | None = None,
    timeout_seconds: float | None = None,
    name: str | None = None,
    out: str | os.PathLike[str] | None = None,
    retry: bool = False,
    fresh: bool = False,
    log: Sequence[str] = (),
    verbose: int | str = "auto",
) -> Results:
    """Search for the best MLP, or the best custom model, for data in memory.

    >>> import hpsearch
    >>> from sklearn.datasets import load_wine
    >>> x, y = load_wine(return_X_y=True)
    >>> results = hpsearch.tune(x, y, parameters={"units": [4, 16], "epochs": 20})
    >>> len(results.table)
    2
    >>> results.model().predict(x[:5], verbose=0).shape
    (5, 3)

    The arguments have the meaning of a sweep file's keys. Training happens in other processes,
    which share the rows in memory; a script needs no `if __name__` guard.

    Args:
        x: `(n_samples, ...)` numbers, or a frame (of pandas, polars or Arrow), whose text columns
            the model one-hot encodes. Leave them unscaled: the model scales them. For a custom
            model with several inputs, a mapping of their names to arrays of numbers, or a list of
            arrays: images (uint8) are divided by 255, numbers standardised, whole numbers left
            alone. Or a `tf.data.Dataset` of batches `(x, y)` or `(x, y, sample_weight)`, which is
            read into memory once; `validation_data` and `test` may be datasets, too.
        y: `(n_samples,)` labels or numbers, one-hot rows, or `(n_samples, outputs)` numbers. For
            a custom model with several outputs, a mapping of names to targets, or a list of
            targets; each is an array of numbers, integers for classes. The pairs below have the
            same form.
        target: The column of the frame `x` to predict, in place of `y`.
        parameters: Hyperparameters by name: a list means choices, a number or text is fixed,
            `{"min": 1e-4, "max": 0.1, "scale": "log"}` is a range. Without them (and without
            `model`), 60 trials of the method `auto` search depth, width, batch size and learning
            rate by the `val_loss` of each training's best epoch, with early stopping; other
            arguments replace these settings. With a custom model, they replace the model's
            hyperparameters of the same names; `epochs` and `batch_size` may be added.
        model: A custom model: a function `build(hp)` that returns a Keras model, a KerasTuner
            `HyperModel` (an instance or a class), or `package.module:name` of one. It receives
            scaled rows in their original shape. Classes are integers, or one-hot for a loss such as
            `categorical_crossentropy`; a regression's targets are not changed.
        method: Default `grid`; with `trials`, `time_seconds` or a patience, `auto`; with
            `configs` and none of them, exactly these configs.
        trials: Upper bound on the trials; seeds and folds of a config do not count.
        oracle: A KerasTuner oracle, which proposes the trials in place of `method`. It runs in this
            process, and keeps its trials. `trials` is by default its `max_trials`.
        validation_data: A pair of x and y to score on.
        validation_split: The share of rows to score on without such a pair. They are chosen at
            random, stratified for classes, whereas Keras takes the last rows.
        test: A share of rows, or a pair, unused by trainings and scores; for
            `results.evaluate("test")`.
        cv: Cross-validation in place of a validation split: the number of folds (shuffled,
            stratified for classes), a scikit-learn splitter such as `TimeSeriesSplit(5)`, or pairs
            of training and validation row numbers. Each fold of a trial is a row of the table, with
            scaling and the like fitted on the fold's training rows; the trial's score is the mean
            of the folds'. The best model is that of the best trial's best fold. A single pair, or a
            splitter that makes one, such as `PredefinedSplit`, is a validation split. The workers'
            memory holds the rows once for each fold.
        groups: `(n_samples,)`: rows of one group are on one side of every split.
        task: `classification` or `regression`; inferred if `y` is unambiguous.
        scale: `auto`, `none`, `unit`, `standard`, `minmax` or `robust`: a layer, fitted on the
            training rows only.
        drop: Columns of a frame to leave out.
        impute: `median` or `mean` of the training rows, with which the model replaces missing
            numbers (NaN); with `none` they are an error.
        dates: `features`: a frame's dates become year, month, weekday, day of the year and seconds;
            or `drop`.
        identifiers: `drop` leaves out columns of a frame that identify rows, with a warning; or
            `keep`.
        split_seed: Seed of the split; `data.seed` in a file.
        metric: The score; default `val_accuracy`, for regression `val_loss`. Any metric of Keras by
            its name, such as `val_auc`, `val_f1_score`, `val_top_5_accuracy` or `val_r2_score`,
            which gets its own columns (with some, TensorFlow trains). Or a mapping as in a file:
            `{"name": "val_accuracy", "goal": "maximize", "epoch": "best"}`.
        loss, output_activation: Keras names; the task decides the defaults.
        class_weight: Class -> its weight in the training loss, as in `keras.Model.fit`; or
            `balanced`, in inverse proportion to the rows of each class.
        sample_weight: `(n_samples,)`: each row's weight in the loss, and in `val_loss` of rows
            that are split off; `validation_data` may be a triple. As in Keras, accuracy and other
            metrics count rows alike.
        seed: Seed of weights, shuffles, masks and proposals.
        seeds: Repetitions of each trial: a number, a list, or `{"min", "max", "race"}`.
        constraints, configs: As in a file.
        known: Results of others, from which the method learns before its first trial: a pandas
            frame, a CSV file or a results directory with a column for each hyperparameter that
            varies, and one of the metric's name or `score`. Their configs are not trained.
        early_stopping: Such as `{"patience": 3, "min_delta": 0.0}`.
        callbacks: One or a list of Keras callbacks for a custom model, as for `fit`; each training
            gets copies. Callbacks that act between epochs, such as EarlyStopping,
            ReduceLROnPlateau, LearningRateScheduler and CSVLogger, cost no speed; with those that
            act on batches Keras' `fit` trains. With `restore_best_weights` the best epoch counts. A
            callback's changes outside the model stay in the process that trains.
        keep: Trials whose weights are kept, `best` or `all`.
        workers: Number of parallel trainings; by default one for each core.
        time_seconds: No training begins after this time.
        budget: Further ends of the search, as in a file: `{"patience": 30}` ends it after 30 trials
            in a row that improved nothing, `{"score": 0.98}` once a trial reaches the score.
        timeout_seconds: Longest time of one training.
        name: The sweep's name; default the name of `out`.
        out: The results directory, in which a later call with the same data continues. Default a
            temporary one, removed when the results are no longer used.
        retry, fresh, log, verbose: As for `hpsearch.run`.

    Raises:
        InputError: Arguments or the data cannot be used; the message names every such argument.
        RefusedError: Another run holds `out`, or its rows have other data or another metric.
        Interrupted: As for `hpsearch.run`.
    """
    require_searchable(
        model, parameters, configs, oracle, callbacks, loss, output_activation, class_weight
    )
    if target is not None:
        x, y = _with_target(x, y, target)
    objects = [model]
    rows = read_memory(x, y, sample_weight, validation_data, test, custom=model is not None)
    if rows.parts and model is None:
        raise InputError(
            f"y: has {len(rows.parts)} targets, and hpsearch's own MLPs have one output; give "
            "model=build, or y of shape (n_samples, outputs) for a regression of several numbers"
        )
    search, limits = None, budget_of(budget, trials, time_seconds)
    if oracle is not None:
        method = oracle_name(oracle, method)
        if limits["trials"] is None:
            limits["trials"] = oracle.max_trials
        # Imports KerasTuner, which the oracle's module has imported already.
        from hpsearch.kerastuner.sweep_tuner import drive

        search = drive(oracle)
    folds = Folding.of(cv, groups, rows, split_seed, test)
    in_memory = model is not None and not isinstance(model, str)
    reference = model_reference(model) if in_memory else model
    called, files = {}, {}
    if callbacks:
        # Imports Keras, which the callbacks' module has imported already.
        from hpsearch.custom.callbacks import UserCallbacks

        given = UserCallbacks(callbacks)
        objects += given.callbacks
        model, in_memory = given.around(model, reference or "model"), True
        files = model.files
        called, metric = {"callbacks": given.description}, given.scored(metric)
    unsaid = model is None and parameters is None
    sweep = sweep_of(
        {
            "name": sweep_name(name, out),
            "seed": seed,
            "data": {
                "memory": rows.described | folds.described | called,
                "task": task,
                "validation": validation_split if cv is None else None,
                "cv": folds.count,
                "test": test if rows.test is None else None,
                "seed": split_seed,
                "scale": scale,
                "drop": drop if isinstance(drop, str) else list(drop) or None,
                "impute": impute,
                "dates": dates,
                "identifiers": identifiers,
            },
            "metric": metric,
            "parameters": parameters or {},
            "constraints": constraints,
            "configs": configs,
            "seeds": seeds,
            "budget": limits,
            "early_stopping": early_stopping,
            "execution": {"workers": workers, "timeout": timeout_seconds},
            "model": reference
            or {"loss": loss, "output_activation": output_activation, "class_weight": class_weight},
            "keep": keep,
            "method": method if unsaid else method_of(method, bool(configs), limits),
        },
        _count(rows.y) if unsaid else None,
    )
    load: Loader = partial(rows.load, folding=folds)
    listener = make_listener(verbose)
    if in_memory:
        custom = CustomModel(*shipped(model, "model", of=objects), files=files)
        load = LoaderWithModel(load, custom)

    def work(directory: Path) -> Results:
        report = out is not None
        settings = Settings(
            directory,
            retry=retry,
            fresh=fresh,
            report=report,
            drive=search,
            known=known,
            keep=KEPT if unsaid else 1,
        )
        return execute(sweep, settings, listener, log, load)

    return run_in(out, work, name=sweep.name, keep=True)


def _with_target(x: Any, y: Any, target: str) -> tuple[Any, Any]:
    """Return the frame `x` without the column to predict, and that column."""
    if y is not None:
        raise InputError("y, target: only one of them can be what is to be predicted")
    x = as_supported(x)
    if not (hasattr(x, "iloc") and hasattr(x, "columns")):
        raise InputError(f"target: names a column, and x is no frame but a {type(x).__name__}")
    names = [*map(str, x.columns)]
    places = [at for at, name in enumerate(names) if name == target]
    if len(places) != 1:
        has = f"{len(places)} columns" if places else "no column"
        hint = "" if places else did_you_mean(target, names)
        raise InputError(f"target: x has {has} {target!r}{hint}")
    others = [at for at in range(len(names)) if at not in places]
    return x.iloc[:, others], x.iloc[:, places[0]]


def _count(y: Any) -> int:
    """Return the number of targets; 0 for what reading them will refuse."""
    shape = getattr(y, "shape", None)
    return next(iter(shape), 0) if shape is not None else len(y) if hasattr(y, "__len__") else 0


@answering_unknown_arguments
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
    known: Any = None,
    time_seconds: float | None = None,
    budget: Mapping[str, Any] | None = None,
    timeout_seconds: float | None = None,
    execution: Mapping[str, Any] | None = None,
    verbose: int | str = "auto",
) -> Results:
    """Search for the config with the best score of a function.

    For a program: `hpsearch.run({"command": [...], "metric": ..., "parameters": ...})`.

    >>> import hpsearch
    >>> results = hpsearch.optimize(
    ...     lambda config: (config["x"] - 2) ** 2,
    ...     {"x": {"min": -10.0, "max": 10.0}},
    ...     trials=30,
    ... )
    >>> bool(abs(results.best["x"] - 2) < 1)
    True

    Args:
        objective: A function of a config that returns its score, or a generator that yields one
            after each epoch: then `hyperband` and `asha` can halt it, and the last score counts. An
            exception makes a failed row; a score that is not finite, a diverged one.
        parameters: As in a sweep file, with any names; with `epochs` for `hyperband` and `asha`.
        method: As in a sweep file; `grid` needs no `trials`. The option `prior: mlp` helps if the
            function trains an MLP and its hyperparameters have the names of a sweep file.
        trials: Upper bound on the trials.
        goal: `minimize` or `maximize`.
        seed: Seed of the proposals.
        workers: Processes that call the function. 1 calls it in this process; more need a function
            that can be imported by its module and name, and each trial gets a result whatever the
            function does to its process. In this process `sys.exit` makes a failed row, too, and a
            changed working directory is restored, but `os._exit` and a crash end the program,
            KeyboardInterrupt ends the search as Ctrl-C does, and the function must close or
            overwrite open files itself.
        out: The results directory, in which a later call continues; None keeps nothing on disk. A
            function is known by its name: one that holds other data needs another directory.
        constraints, configs: As in a sweep file.
        known: As for `hpsearch.tune`; the scores are in the column `score`.
        time_seconds: No trial begins after this time.
        budget: As for `hpsearch.tune`.
        timeout_seconds: Longest time of one trial, with several workers or on a cluster.
        execution: As in a sweep file, for a cluster: `{"engine": "ray", "address": "auto"}`.
        verbose: As for `hpsearch.run`.

    Raises:
        TypeError: There is no such argument; of another library's, it says what to write here.
        InputError: The function or an argument cannot be used.
        RefusedError: Another run holds `out`, or it has another function's results.
        Interrupted: As for `hpsearch.run`.
    """
    search = function_search(
        objective,
        parameters,
        method,
        goal=goal,
        workers=workers,
        execution=execution,
        timeout_seconds=timeout_seconds,
        constraints=constraints,
        configs=configs,
        budget=budget_of(budget, trials, time_seconds),
        seed=seed,
    )
    listener = make_listener(verbose)

    def work(directory: Path) -> Results:
        settings = Settings(directory, report=out is not None, known=known)
        with results_with_interruption():
            search.run(settings, listener)
        return Results(directory)

    return run_in(out, work, keep=False)
