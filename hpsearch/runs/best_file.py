"""Check that best.keras is the best trial's model and has the score of its row."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from hpsearch.engine.best_model import Retrainer, is_model_of, one_worker
from hpsearch.errors import HpsearchError
from hpsearch.models.arrays import training_data
from hpsearch.runs.trial import Source, StoredRun, open_run, stored_best
from hpsearch.space.execution import Execution, ExecutionResult
from hpsearch.space.mlp import MLPConfig, is_custom
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.doctor import Finding, Severity
from hpsearch.store.facts import Facts
from hpsearch.store.provenance import stored_sweep
from hpsearch.training.mlps import MLPs
from hpsearch.workers.calls import evaluate_file
from hpsearch.workers.protocol import Call

#: Tolerance for rounding: another batch size adds the rows up in another order.
_TOLERANCE = 1e-5
_NOT_CHECKED = (
    "its score is not checked, which would run code or needs data of a program; "
    "hpsearch evaluate --split validation does"
)


def examine_best_file(directory: Path) -> Iterator[Finding]:
    """Examine best.keras in an otherwise sound directory; a worker loads it."""
    where = ResultsDirectory(directory)
    if not where.model.is_file() or not where.store.exists():
        return
    facts, best = stored_best(where)
    if not facts.sweep:
        return
    if best is None:
        yield Finding(where.model.name, Severity.WRONG, "there is one, and no trial has a score")
    elif not is_model_of(best, where, facts):
        # A run killed before it has written the new file leaves the former one.
        text = f"is not that of the best trial, {best.label}; the next run writes it again"
        yield Finding(where.model.name, Severity.NOTE, text)
    else:
        yield _examine_score(where, facts, best)


def _examine_score(where: ResultsDirectory, facts: Facts, best: Execution) -> Finding:
    sweep = stored_sweep(facts, where)
    if sweep.kind.is_model or sweep.data.python or sweep.data.memory:
        return Finding(where.model.name, Severity.NOTE, _NOT_CHECKED)
    if is_custom(MLPConfig(best.config.values).layer_type):
        return Finding(where.model.name, Severity.NOTE, _NOT_CHECKED)
    try:
        run = open_run(Source(where.path))
    except HpsearchError as error:
        return Finding(where.model.name, Severity.NOTE, f"its score is not checked: {error}")
    return _scores(run, best, run.results[best.number])


def _scores(run: StoredRun, execution: Execution, result: ExecutionResult) -> Finding:
    dataset = run.dataset.of_fold(execution.fold)
    rows = dataset.validation
    arguments = (run.where.model.absolute(), run.recipe, dataset.target, rows.x, rows.y)
    with one_worker() as (executor, check):
        data = training_data(run.dataset, run.sweep)
        executor.provide(data)
        retrainer = Retrainer(executor, MLPs(), run.recipe, data, check)
        called = retrainer.ask(Call(evaluate_file, arguments))
    name = run.where.model.name
    if called.error:
        return Finding(name, Severity.WRONG, f"{called.error}; remove it, and run the sweep again")
    row = result.curve[result.scored_epoch - 1] if result.scored_epoch else {}
    for metric, value in called.value.items():
        expected = row.get(f"val_{metric}", value)
        if not math.isclose(value, expected, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
            text = f"is not the model of {execution.label}: its {metric} is {value:.6g}, the row "
            text += f"says {expected:.6g}; remove it, and run again"
            return Finding(name, Severity.WRONG, text)
    return Finding(name, Severity.SOUND, f"scores what the row of {execution.label} says")
