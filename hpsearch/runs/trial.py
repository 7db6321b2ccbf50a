"""Export, evaluate or reproduce a trial of an earlier run, and check its best.keras."""

from __future__ import annotations

import math
import shlex
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import Dataset, Split
from hpsearch.data.loading import Loader
from hpsearch.data.specs import Task
from hpsearch.engine.best_model import Retrainer, Weights, is_model_of, open_workers
from hpsearch.errors import HpsearchError, InputError, RefusedError
from hpsearch.models.arrays import LoaderWithModel, load_data, training_data, with_code
from hpsearch.models.problem import Recipe
from hpsearch.runs.decision import Decision, require_decidable, require_metric, write_calibrated
from hpsearch.space.execution import Execution, ExecutionResult
from hpsearch.space.mlp import MLPConfig, is_custom
from hpsearch.spec.keys import Role
from hpsearch.spec.rules import REFERENCE
from hpsearch.spec.sweep import Sweep
from hpsearch.store.directory import ResultsDirectory, require_free
from hpsearch.store.doctor import Finding, Severity
from hpsearch.store.facts import Evaluation, Facts, Measurement, installed
from hpsearch.store.provenance import identify, make_recipe, require_unchanged, stored_sweep
from hpsearch.store.store import Store
from hpsearch.store.trials import best_execution
from hpsearch.training.mlps import PREDICTED, REGULARISATION
from hpsearch.training.subjects import subject_of
from hpsearch.workers.calls import answers, evaluate_file, evaluate_rows, write_model
from hpsearch.workers.protocol import Call


def trusted(names: str | Collection[str]) -> frozenset[str]:
    """Check the names of functions to trust, each a `package.module:function`."""
    given = frozenset([names] if isinstance(names, str) else names)
    for name in sorted(given):
        if not REFERENCE.match(name):
            raise InputError(
                f"trust: must be a function as 'package.module:function', not {name!r}"
            )
    return given


def require_trusted(directory: Path, roles: Mapping[str, str], trust: Collection[str]) -> None:
    """Raise RefusedError if a results directory names functions that are not trusted.

    Args:
        roles: Names of functions, with the role of each in words.
    """
    unknown = {name: role for name, role in roles.items() if name not in trust}
    if not unknown:
        return
    named = " and ".join(f'{role} "{name}"' for name, role in unknown.items())
    options = " ".join(f"--trust {shlex.quote(name)}" for name in unknown)
    raise RefusedError(
        f"{directory}: {named}, and going on would run that code; if it is yours, add {options} "
        f"(or --sweep FILE, your sweep file that names it; in Python, trust={list(unknown)})"
    )


@dataclass(frozen=True)
class Which:
    """A trial and, where there are several, one of its executions.

    Attributes:
        trial, seed, fold: None matches any; without a trial, the best one is meant.
    """

    trial: int | None = None
    seed: int | None = None
    fold: int | None = None

    def names(self, execution: Execution) -> bool:
        """Check if an execution matches."""
        asked = (self.trial, self.seed, self.fold)
        identity = (execution.trial, execution.seed, execution.fold)
        return all(one in (None, other) for one, other in zip(asked, identity, strict=True))

    def with_trial(
        self, executions: Sequence[Execution], results: Mapping[int, ExecutionResult], goal: str
    ) -> Which:
        """Return this with the best trial, if it names none and one has a score."""
        best = best_execution(executions, results, goal) if self.trial is None else None
        return self if best is None else replace(self, trial=best[0].trial)

    def __str__(self) -> str:
        parts = {"trial": self.trial, "seed": self.seed, "fold": self.fold}
        return ", ".join(f"{name} {part}" for name, part in parts.items() if part is not None)


@dataclass(frozen=True)
class StoredRun:
    """An earlier run with its data.

    Attributes:
        trust: Functions that may run, as `package.module:name`.
        say: Receives a line about each slow step.
    """

    where: ResultsDirectory
    sweep: Sweep
    dataset: Dataset
    recipe: Recipe
    executions: Sequence[Execution]
    results: Mapping[int, ExecutionResult]
    trust: frozenset[str]
    say: Callable[[str], None]

    def scored(self, which: Which) -> tuple[Execution, ExecutionResult]:
        """Return the best of the executions that `which` names, and its result."""
        which = which.with_trial(self.executions, self.results, self.recipe.goal)
        named = [execution for execution in self.executions if which.names(execution)]
        best = best_execution(named, self.results, self.recipe.goal)
        if best is None:
            raise InputError(f"{self.where.path}: {self._why_none(which, named)}")
        return best[0], self.results[best[0].number]

    def _why_none(self, which: Which, named: Sequence[Execution]) -> str:
        if which == Which():
            return "no trial has a score"
        if not named:
            most = max((execution.trial for execution in self.executions), default=0)
            return f"there is no {which}; its trials are 1 to {most}, and show lists them"
        results = [self.results[each.number] for each in named if each.number in self.results]
        if not results:
            return f"{which} has no result yet; run the sweep again"
        error = " ".join(results[0].error.split())
        return f"{which} has no score, it is {results[0].status}: {error}".removesuffix(": ")

    def require_trusted(self, *executions: Execution) -> None:
        """Raise RefusedError if a function that is not trusted builds executions' layers."""
        if not self.sweep.kind.is_model:
            types = [str(MLPConfig(execution.config.values).layer_type) for execution in executions]
            roles = dict.fromkeys(filter(is_custom, types), Role.LAYERS)
            require_trusted(self.where.path, roles, self.trust)

    @contextmanager
    def retrainer(self, *executions: Execution, workers: int = 1) -> Iterator[Retrainer]:
        """Open workers that have the data, to build the models of executions.

        Raises:
            RefusedError: A layer type is a function that is not trusted.
            Interrupted: A signal came; no process is left.
        """
        self.require_trusted(*executions)
        with open_workers(self.sweep.execution, workers) as (executor, check):
            rows = training_data(self.dataset, self.sweep)
            executor.provide(rows)
            yield Retrainer(executor, subject_of(self.sweep.kind), self.recipe, rows, check)

    def weights(
        self, retrainer: Retrainer, execution: Execution, result: ExecutionResult
    ) -> Weights:
        """Return the row's weights: the kept ones, or those of a repeated training.

        Raises:
            RefusedError: The training did not reach the row's score again.
        """
        with Store(self.where.store, read_only=True) as store:
            kept = store.weights(execution.number)
        if kept is not None:
            return kept
        self.say(f"{execution.label}: its weights were not kept; training it again")
        return retrainer.weights(execution, result)


@dataclass(frozen=True)
class Source:
    """A results directory, and how to go back to its models.

    Attributes:
        load: Loads rows that were in memory; None reads the sweep's `data:`.
        trust: Functions that may run if the directory names them, as `package.module:name`.
        say: Receives a line about each slow step.
    """

    directory: Path
    load: Loader | None = None
    trust: Collection[str] = ()
    say: Callable[[str], None] = lambda _: None


def open_run(source: Source) -> StoredRun:
    """Open a results directory and load its data.

    Raises:
        RefusedError: The store is damaged, the data has changed, or the directory names functions
            that are not trusted.
    """
    directory, load, may_run = source.directory, source.load, trusted(source.trust)
    where = ResultsDirectory(directory)
    where.require_store()
    with Store(where.store, read_only=True) as store:
        facts, executions, results = store.facts(), store.executions(), store.results()
    if facts.task is Task.OBJECTIVE:
        raise InputError(
            f"{directory}: its rows are those of a function or a program, which has no model and "
            "no data to go back to"
        )
    if facts.identity is None or not facts.sweep:
        raise InputError(f"{directory}: the run ended before it had planned; run the sweep again")
    sweep = stored_sweep(facts, where)
    require_trusted(directory, _called(sweep, load), may_run)
    dataset = load_data(sweep, load)
    recipe = with_code(make_recipe(sweep, dataset.target.task, dataset.target.outputs), load)
    require_unchanged(facts.identity, identify(sweep, dataset, recipe), str(directory))
    recipe = replace(recipe, asked=facts.asked)
    return StoredRun(where, sweep, dataset, recipe, executions, results, may_run, source.say)


def _called(sweep: Sweep, load: Loader | None) -> dict[str, str]:
    """Return the functions that the data and the model import by name, and their roles."""
    rows, code = load, b""
    if isinstance(load, LoaderWithModel):
        rows, code = load.rows, load.model.code
    provided = {Role.DATA: rows is not None, Role.MODEL: bool(code)}
    roles = sweep.functions.items()
    return {name: role for name, role in roles if not provided.get(role, True)}


def require_model_path(path: Path) -> None:
    """Check that a model may be written to a path, whose suffix Keras requires."""
    require_free(path)
    if path.suffix != ".keras" or path.is_dir() or not path.parent.is_dir():
        raise InputError(f"{path}: must be a file with the suffix .keras in an existing directory")


def export_model(
    source: Source,
    out: Path,
    which: Which,
    *,
    threshold: str | None = None,
    calibrate: bool = False,
) -> tuple[Execution, Decision | None]:
    """Write a trial's model, preprocessing included, over an earlier file.

    Args:
        threshold, calibrate: As for `Results.export`.

    Returns:
        The model's execution, and what the validation rows decided, if they were to.

    Raises:
        InputError: The model or the run leaves nothing to decide.
        RefusedError: As for `open_run`, or the training did not reach the row's score again.
    """
    require_model_path(out)
    require_metric(threshold)
    run = open_run(source)
    execution, result = run.scored(which)
    decides = threshold is not None or calibrate
    if decides:
        _require_fresh_rows(run, calibrate=calibrate)
        target = run.dataset.of_fold(execution.fold).target
        require_decidable(run.recipe, target, threshold)
    with run.retrainer(execution) as retrainer:
        model = retrainer.trained(execution, run.weights(retrainer, execution, result))
        if decides:
            rows = _rows_of(run, execution, "validation")
            arguments = model, rows, threshold, calibrate
            error, decision = retrainer.write_by(out, write_calibrated, *arguments)
        else:
            error, decision = retrainer.write_by(out, write_model, model)
    if error:
        raise InputError(f"{out}: the model cannot be written: {error}")
    return execution, decision


def _require_fresh_rows(run: StoredRun, *, calibrate: bool) -> None:
    """Check that the validation rows may decide on the probabilities of a run's models."""
    data, where = run.sweep.data, run.where.path
    if run.sweep.kind.is_model:
        raise InputError(f"{where}: threshold and calibrate are of MLPs, and these models are own")
    if data.train_on != "train":
        raise InputError(f"{where}: its models were trained on the validation rows")
    if calibrate and run.sweep.mlp.class_weight:
        raise InputError(
            f"calibrate: {where} has model.class_weight, which moves the probabilities as no "
            "temperature can undo"
        )


@contextmanager
def model_file(source: Source, which: Which) -> Iterator[Path]:
    """Yield a trial's model file: best.keras, or an exported file that the context removes.

    A best.keras that is not the model of the best trial, because a run was killed before it wrote
    the model or because the file was replaced, is not used.

    Raises:
        RefusedError: As for `export_model`.
    """
    where = ResultsDirectory(source.directory)
    if which == Which() and where.model.exists():
        # A copy of the file without its store is used as it is.
        if not where.store.exists() or is_model_of(where, *stored_best(where)):
            yield where.model
            return
        source.say(f"{where.model}: is not the model of the best trial; its model is made anew")
    with tempfile.TemporaryDirectory(prefix="hpsearch-") as scratch:
        exported = Path(scratch) / where.model.name
        export_model(source, exported, which)
        yield exported


def stored_best(where: ResultsDirectory) -> tuple[Facts, Execution | None]:
    """Return a store's facts and its best trial's best execution; refuse a damaged store."""
    with Store(where.store, read_only=True) as store:
        facts, executions, results = store.facts(), store.executions(), store.results()
    if facts.identity is None:
        return facts, None
    best = best_execution(executions, results, facts.identity.metric.split(":")[-2])
    return facts, best and best[0]


@dataclass(frozen=True)
class Reproduction:
    """An execution, its row, and the result of training it again."""

    execution: Execution
    metric: str
    row: ExecutionResult
    again: ExecutionResult

    @property
    def equal(self) -> bool:
        """True if the scores are equal to the last bit."""
        return self.again.score == self.row.score

    @property
    def other_versions(self) -> dict[str, tuple[str, str]]:
        """Column -> the version that made the row and the installed one, if they differ."""
        now = installed()
        return {
            n: (then, now[n]) for n, then in self.row.versions.items() if then != now.get(n, then)
        }

    @property
    def first_difference(self) -> int | None:
        """The first epoch (from 1) in which a metric differs, or None."""
        epochs = enumerate(zip_longest(self.row.curve, self.again.curve), 1)
        return next((epoch for epoch, (ours, theirs) in epochs if ours != theirs), None)


def reproduce_trial(source: Source, which: Which) -> Reproduction:
    """Train a trial again from its row alone, for as many epochs as before.

    Raises:
        RefusedError: As for `open_run`.
    """
    run = open_run(source)
    execution, result = run.scored(which)
    with run.retrainer(execution) as retrainer:
        again = retrainer.train(execution, len(result.curve))
    return Reproduction(execution, run.recipe.metric, result, again)


SPLITS = ("train", "validation", "test")
_CONFIDENCE = 0.95

Floats = npt.NDArray[np.float64]


def evaluate_trial(source: Source, split: str, which: Which) -> Evaluation:
    """Evaluate a trial's model on a split; record the evaluation before returning it.

    Raises:
        RefusedError: As for `export_model`; or another run holds the directory.
    """
    if split not in SPLITS:
        raise InputError(f"split: must be one of {', '.join(SPLITS)}, not {split!r}")
    run = open_run(source)
    execution, result = run.scored(which)
    rows = _rows_of(run, execution, split)
    if split == "train" or (split == "validation" and run.sweep.data.train_on != "train"):
        source.say(f"{execution.label} was trained on these rows, so that the scores are too good")
    with ResultsDirectory(source.directory).hold() as held:
        with run.retrainer(execution) as retrainer:
            trained = retrainer.trained(execution, run.weights(retrainer, execution, result))
            called = retrainer.ask(Call(evaluate_rows, (trained, rows.x, rows.y)))
        if called.error:
            raise HpsearchError(f"{execution.label} cannot be evaluated: {called.error}")
        evaluation = evaluation_of(run, execution, split, rows, called.value)
        with Store(run.where.store, check=held.check) as store:
            store.set_facts(evaluations=(*store.facts().evaluations, evaluation))
    return evaluation


def _rows_of(run: StoredRun, execution: Execution, split: str) -> Split:
    rows: Split | None = getattr(run.dataset.of_fold(execution.fold), split)
    if rows is None:
        raise InputError(
            f"{run.where.path}: there is no test split: {run.dataset.name} ships none; a sweep "
            "with data.test has one, in a results directory of its own"
        )
    return rows


def evaluation_of(
    run: StoredRun, execution: Execution, split: str, rows: Split, arrays: Mapping[str, Any]
) -> Evaluation:
    """Return an evaluation, of now, by what `evaluate_rows` measured."""
    metrics = dict(arrays)
    # As in a training, weights count in the loss only.
    if rows.weights is not None and metrics["loss"].shape == rows.weights.shape:
        metrics["loss"] = metrics["loss"] * rows.weights
    predicted, extra = metrics.pop(PREDICTED, None), metrics.pop(REGULARISATION, 0.0)
    measured = {n: _measurement(n, v, len(rows), float(extra)) for n, v in metrics.items()}
    scored = run.recipe.metric.removeprefix("val_")
    target = run.dataset.of_fold(execution.fold).target
    return Evaluation(
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        trial=execution.trial,
        config=execution.config.id,
        seed=execution.seed,
        fold=execution.fold,
        split=split,
        rows=len(rows),
        metric=scored if scored in measured else next(iter(measured)),
        metrics=measured,
        **({} if predicted is None else answers(predicted, rows.y, target)),
    )


def _measurement(name: str, values: Floats, rows: int, penalty: float) -> Measurement:
    if name == "accuracy":
        return share_interval(round(float(values.mean()) * rows), rows)
    if values.ndim == 0:
        return Measurement(float(values))
    return mean_interval(values + penalty if name == "loss" else values)


def share_interval(right: int, rows: int) -> Measurement:
    """Return the share of rows that are right, with Wilson's 95% interval.

    Source: E. B. Wilson, Journal of the American Statistical Association 22 (1927), by
    `scipy.stats.binomtest`.
    """
    from scipy.stats import binomtest  # slow to import

    interval = binomtest(right, rows).proportion_ci(_CONFIDENCE, method="wilson")
    return Measurement(right / rows, float(interval.low), float(interval.high), "wilson")


def mean_interval(values: Floats) -> Measurement:
    """Return the mean of `(n_samples,)` numbers with Student's 95% interval.

    Losses are skewed, so the interval may pass their range; it ends there.
    """
    mean = float(values.mean())
    if len(values) < 2 or not np.isfinite(mean):
        return Measurement(mean)
    from scipy.stats import t  # slow to import

    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    half = float(t.ppf((1 + _CONFIDENCE) / 2, len(values) - 1)) * error
    low, high = max(mean - half, float(values.min())), min(mean + half, float(values.max()))
    return Measurement(mean, low, high, "t")


#: Relative tolerances for rounding: another batch size adds the rows up in another order, and
#: errors of a regression may be far smaller than its targets, which have seven digits.
_TOLERANCE, _TOLERANCE_OF_NUMBERS = 1e-5, 1e-3
_NOT_CHECKED = (
    "its score is not checked, which would run code or needs data of a program; "
    "hpsearch evaluate --split validation does"
)


def examine_best_file(directory: Path) -> Iterator[Finding]:
    """Check that best.keras is the best trial's model and has the score of its row.

    Args:
        directory: Otherwise sound; a worker loads the file.
    """
    where = ResultsDirectory(directory)
    if not where.model.is_file() or not where.store.exists():
        return
    facts, best = stored_best(where)
    if not facts.sweep:
        return
    if best is None:
        verdict = Severity.WRONG, "there is one, and no trial has a score"
    elif is_model_of(where, facts, best):
        verdict = _score_verdict(where, facts, best)
    else:
        # A run killed before it has written the new file leaves the former one.
        text = f"is not that of the best trial, {best.label}; the next run writes it again"
        verdict = Severity.NOTE, text
    yield Finding(where.model.name, *verdict)


def _score_verdict(where: ResultsDirectory, facts: Facts, best: Execution) -> tuple[Severity, str]:
    sweep = stored_sweep(facts, where)
    runs_code = sweep.kind.is_model or sweep.data.python
    if runs_code or sweep.data.memory or is_custom(MLPConfig(best.config.values).layer_type):
        return Severity.NOTE, _NOT_CHECKED
    try:
        run = open_run(Source(where.path))
    except HpsearchError as error:
        return Severity.NOTE, f"its score is not checked: {error}"
    dataset = run.dataset.of_fold(best.fold)
    rows = dataset.validation
    with run.retrainer(best) as retrainer:
        arguments = (where.model.absolute(), run.recipe, dataset.target, rows.x, rows.y)
        called = retrainer.ask(Call(evaluate_file, arguments))
    if called.error:
        return Severity.WRONG, f"{called.error}; remove it, and run the sweep again"
    result = run.results[best.number]
    row = result.curve[result.scored_epoch - 1] if result.scored_epoch else {}
    numbers = dataset.target.task is Task.REGRESSION
    relative = _TOLERANCE_OF_NUMBERS if numbers else _TOLERANCE
    for metric, value in called.value.items():
        if metric == "loss" and rows.weights is not None:
            # `evaluate_file` weighs no rows.
            continue
        expected = row.get(f"val_{metric}", value)
        if not math.isclose(value, expected, rel_tol=relative, abs_tol=_TOLERANCE):
            text = f"is not the model of {best.label}: its {metric} is {value:.6g}, the row "
            return Severity.WRONG, f"{text}says {expected:.6g}; remove it, and run again"
    return Severity.SOUND, f"scores what the row of {best.label} says"
