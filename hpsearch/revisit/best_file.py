"""Check that best.keras is the best trial's model and scores what its row says."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from hpsearch.errors import HpsearchError
from hpsearch.models.layers import is_custom
from hpsearch.revisit.rows import StoredRun, open_run
from hpsearch.space.execution import Execution, ExecutionResult
from hpsearch.space.mlp import MLPConfig
from hpsearch.spec.sweep import sweep_from_text
from hpsearch.store.derived import best_execution
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.doctor import Finding, Severity
from hpsearch.store.store import Store
from hpsearch.tuner.best_model import Retrainer, one_worker
from hpsearch.tuner.custom_model import training_data
from hpsearch.workers.calls import evaluate_file
from hpsearch.workers.protocol import Call

#: The rows of another batch size are added up in another order.
_TOLERANCE = 1e-5
_NOT_CHECKED = (
    "its score is not checked, which would run code or needs data of a program; "
    "hpsearch evaluate --split validation does"
)


def examine_best_file(directory: Path) -> Iterator[Finding]:
    """Examine the best.keras of a directory that is sound otherwise; a worker loads it."""
    where = ResultsDirectory(directory)
    if not where.model.is_file() or not where.store.exists():
        return
    with Store(where.store, read_only=True) as store:
        facts = store.facts()
    if not facts.sweep:
        return
    sweep = sweep_from_text(facts.sweep, str(where.sweep))
    if isinstance(sweep.model, str) or sweep.data.python or sweep.data.memory:
        yield Finding(where.model.name, Severity.NOTE, _NOT_CHECKED)
        return
    try:
        run = open_run(directory)
    except HpsearchError as error:
        yield Finding(where.model.name, Severity.NOTE, f"its score is not checked: {error}")
        return
    best = best_execution(run.executions, run.results, run.recipe.goal)
    if best is None:
        yield Finding(where.model.name, Severity.WRONG, "there is one, and no trial has a score")
        return
    execution = best[0]
    if facts.best_model != f"{execution.number}:{execution.config.id}":
        # So a run leaves it that is killed before it has written the new one.
        text = f"is not that of the best trial, {execution.label}; the next run writes it again"
        yield Finding(where.model.name, Severity.NOTE, text)
    elif is_custom(MLPConfig(execution.config.values).layer_type):
        yield Finding(where.model.name, Severity.NOTE, _NOT_CHECKED)
    else:
        yield _scores(run, execution, run.results[execution.number])


def _scores(run: StoredRun, execution: Execution, result: ExecutionResult) -> Finding:
    dataset = run.dataset.of_fold(execution.fold)
    rows = dataset.validation
    arguments = (run.where.model.absolute(), run.recipe, dataset.target, rows.x, rows.y)
    # Nothing is written to the directory, not even to its log.
    with tempfile.TemporaryFile("a", encoding="utf-8") as log, one_worker(log) as (executor, check):
        data = training_data(run.dataset, run.sweep)
        executor.provide(data)
        called = Retrainer(executor, run.recipe, data, check).ask(Call(evaluate_file, arguments))
    name = run.where.model.name
    if called.error:
        return Finding(name, Severity.WRONG, f"{called.error}; remove it, and run the sweep again")
    row = result.curve[result.scored_epoch - 1] if result.scored_epoch else {}
    differing = _differences(called.value, row)
    if differing:
        text = f"is not the model of {execution.label}: {differing}; remove it, and run again"
        return Finding(name, Severity.WRONG, text)
    return Finding(name, Severity.SOUND, f"scores what the row of {execution.label} says")


def _differences(found: Mapping[str, float], row: Mapping[str, float]) -> str:
    """What a model scores otherwise than its row says; empty if nothing."""
    said = []
    for name, value in found.items():
        expected = row.get(f"val_{name}")
        if expected is None:
            continue
        if not math.isclose(value, expected, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
            said.append(f"its {name} is {value:.6g}, the row says {expected:.6g}")
    return ", ".join(said)
