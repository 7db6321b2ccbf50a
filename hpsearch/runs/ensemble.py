"""Average a run's best models: choose them by the validation rows, and write them as one model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from hpsearch.engine.best_model import Retrainer, Weights, train_alone
from hpsearch.engine.session import Settings
from hpsearch.errors import HpsearchError, InputError, RefusedError
from hpsearch.files import file_digest
from hpsearch.machine import cores
from hpsearch.models.model_file import ModelFile
from hpsearch.runs.averaging import Average, Candidate, Measured, write_average
from hpsearch.runs.predicting import PredictorMixin
from hpsearch.runs.trial import Source, StoredRun, evaluation_of, open_run, require_model_path
from hpsearch.space.execution import Execution
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.facts import Evaluation
from hpsearch.store.store import Store
from hpsearch.store.trials import best_trials
from hpsearch.wording import counted

if TYPE_CHECKING:
    import pandas as pd


#: A trial's executions of one seed, one for each fold in order.
Group = tuple[Execution, ...]


@dataclass(frozen=True, eq=False)
class Ensemble(PredictorMixin):
    """An average of the outputs of several trials' models.

    Attributes:
        path: The Keras model, which takes raw rows.
        digest: The file's digest.
        members: A line for each trial and seed, the largest share first. Columns: `trial, config,
            seed, share`.
        metric: The sweep's metric, by which they were chosen.
        single: The best candidate in words: the best trial, with its best seed.
        score, single_score: The metric on the validation rows, of the ensemble and of the best
            candidate. Both are too good for new rows, since these rows chose the models.
        evaluations: On the test rows, of the best candidate, with folds by the average of its
            models, and of the ensemble; empty without these.
    """

    path: Path
    digest: str = field(repr=False)
    members: pd.DataFrame = field(repr=False)
    metric: str
    single: str
    score: float
    single_score: float
    evaluations: tuple[Evaluation, ...] = field(default=(), repr=False)

    @property
    def _files(self) -> Source:
        if not self.path.is_file() or file_digest(self.path) != self.digest:
            raise RefusedError(f"{self.path}: is not this ensemble any more; make it again")
        return Source(self.path)


def make_ensemble(
    source: Source,
    size: int = 8,
    candidates: int = 24,
    out: Path | None = None,
    workers: int | None = None,
) -> Ensemble:
    """Average the outputs of a run's best trials, write the model, and record its evaluation.

    Models whose weights the run did not keep are trained again, and said to be left out if they do
    not reach their row's score.

    Args:
        size: The number of choices; a model that is chosen again has a larger share.
        candidates: The number of models to choose among, those of the best trials. Each seed of a
            trial counts; the models of its folds count as one.
        out: The file to write; None for `ensemble.keras` in the results directory.
        workers: Number of trainings at a time; None for the sweep's setting.

    Raises:
        InputError: The run is not of MLPs, has no score, trained on the validation rows, or is not
            scored on them; or a number or the file is not possible.
        RefusedError: As for `export_model`; or another run holds the directory.
    """
    _require_counts(size=size, candidates=candidates)
    path = _path_in(ResultsDirectory(source.directory), out)
    run = open_run(source)
    groups = _groups(run, candidates)
    executions = [execution for group in groups for execution in group]
    count = _workers_of(run, workers)
    with run.where.hold() as held, run.retrainer(*executions, workers=count) as retrainer:
        weights = _weights(run, retrainer, executions)
        groups = [group for group in groups if all(one.number in weights for one in group)]
        if not groups:
            raise RefusedError(f"{run.where.path}: no model reached its row's score again")
        made = [_candidate(retrainer, group, weights) for group in groups]
        average = _write(run, retrainer, made, path, size=size, check=held.check)
        members = _members(groups, average.votes)
        evaluations = _evaluations(run, groups[0][0], average, members)
        with Store(run.where.store, check=held.check) as store:
            _record(store, evaluations)
    scores = average.score, average.first_score, evaluations
    return Ensemble(path, file_digest(path), members, run.recipe.metric, made[0].name, *scores)


def _record(store: Store, evaluations: Sequence[Evaluation]) -> None:
    """Store evaluations of models that have none on their split."""
    recorded = store.facts().evaluations
    models = {(entry.model, entry.split) for entry in recorded}
    new = (entry for entry in evaluations if (entry.model, entry.split) not in models)
    store.set_facts(evaluations=(*recorded, *new))


def _require_counts(**counts: int) -> None:
    for name, count in counts.items():
        if not isinstance(count, int) or count < 1:
            raise InputError(f"{name}: must be a whole number, 1 or more, not {count!r}")


def _path_in(where: ResultsDirectory, out: Path | None) -> Path:
    """Return the file to write, by default that of a run's directory."""
    where.require_store()
    path = where.ensemble if out is None else out
    if path.resolve() != where.ensemble.resolve():
        require_model_path(path)
    elif path.exists() and not getattr(ModelFile.read(path), "members", ()):
        raise InputError(f"{path}: is no ensemble of hpsearch, and stays; name another (--out)")
    return path


def _members(groups: Sequence[Group], votes: Mapping[int, int]) -> pd.DataFrame:
    import pandas as pd  # slow to import

    count = sum(votes.values())
    lines = [
        (first.trial, first.config.id, first.seed, votes[index] / count)
        for index, first in ((index, groups[index][0]) for index in votes)
    ]
    lines.sort(key=lambda line: (-line[-1], line[0], line[2]))
    return pd.DataFrame(lines, columns=["trial", "config", "seed", "share"])


def _groups(run: StoredRun, most: int) -> list[Group]:
    """Return the best trials' executions by seed, those of the best trial's best seed first."""
    where = run.where.path
    if run.sweep.kind.is_model:
        raise InputError(f"{where}: an ensemble averages hpsearch's MLPs, and these models are own")
    if run.sweep.data.train_on != "train":
        raise InputError(f"{where}: its models were trained on the validation rows, which choose")
    if not run.recipe.metric.startswith("val_"):
        raise InputError(
            f"{where}: its metric is {run.recipe.metric}, of the training rows; the validation "
            "rows choose, by a metric such as val_loss"
        )
    goal, folds = run.recipe.goal, len(run.dataset.folds)
    wanted = list(range(1, folds + 1)) if folds else [None]
    seeds: dict[int, dict[int, list[Execution]]] = {}
    for execution in run.executions:
        result = run.results.get(execution.number)
        if result is not None and result.status.scored:
            seeds.setdefault(execution.trial, {}).setdefault(execution.seed, []).append(execution)

    def mean_score(group: Group) -> float:
        return mean(run.results[execution.number].score or 0.0 for execution in group)

    groups: list[Group] = []
    for trial in best_trials(run.executions, run.results, goal):
        ordered = (tuple(sorted(each, key=lambda e: e.fold or 0)) for each in seeds[trial].values())
        whole = [group for group in ordered if [e.fold for e in group] == wanted]
        groups += sorted(whole, key=mean_score, reverse=goal == "maximize")
    if not groups:
        raise InputError(f"{where}: no trial has a score for each fold")
    return groups[:most]


def _workers_of(run: StoredRun, count: int | None) -> int:
    """Return the number of local workers; for a sweep on a cluster, one for each core."""
    execution = run.sweep.execution
    if execution.engine != "local":
        return cores()
    return Settings(workers=count).workers_for(execution) or 1


def _weights(
    run: StoredRun, retrainer: Retrainer, executions: Sequence[Execution]
) -> dict[int, Weights]:
    """Return executions' weights by number: the kept ones, or those of a repeated training."""
    with Store(run.where.store, read_only=True) as store:
        kept = {one.number: store.weights(one.number) for one in executions}
    weights: dict[int, Weights] = {n: value for n, value in kept.items() if value is not None}
    lacking = {one.number: one for one in executions if one.number not in weights}
    if lacking:
        run.say(f"training {counted(len(lacking), 'model')} again, whose weights were not kept")
    jobs = [retrainer.job(one, len(run.results[n].curve)) for n, one in lacking.items()]
    for again in train_alone(retrainer.executor, jobs, retrainer.check):
        execution = lacking[again.number]
        try:
            row = run.results[again.number]
            weights[again.number] = retrainer.require_equal(execution, row, again)
        except RefusedError as error:
            run.say(f"left out: {error}")
    return weights


def _candidate(retrainer: Retrainer, group: Group, weights: Mapping[int, Weights]) -> Candidate:
    models = [retrainer.trained(execution, weights[execution.number]) for execution in group]
    return Candidate(replace(group[0], fold=None).label, models)


def _write(
    run: StoredRun,
    retrainer: Retrainer,
    candidates: Sequence[Candidate],
    path: Path,
    *,
    size: int,
    check: Callable[[], None],
) -> Average:
    """Have a worker choose and write the file, replacing an earlier one."""
    folds = run.dataset.folds or (run.dataset,)
    validation = [fold.validation for fold in folds]
    arguments = candidates, validation, folds[0].test, size
    error, average = retrainer.write_by(path, write_average, *arguments, check=check)
    if error:
        raise HpsearchError(f"{path}: cannot be made: {error}")
    made: Average = average
    return made


def _evaluations(
    run: StoredRun, first: Execution, average: Average, members: pd.DataFrame
) -> tuple[Evaluation, ...]:
    """Return evaluations on the test rows, of the first candidate and of the average."""
    rows = run.dataset.of_fold(first.fold).test
    if rows is None:
        return ()

    def evaluation(measured: Measured, **changes: Any) -> Evaluation:
        return replace(evaluation_of(run, first, "test", rows, measured), fold=None, **changes)

    # Not of the file, in which Keras notes the time.
    digest = hashlib.sha256(members.to_csv(index=False).encode()).hexdigest()
    config = f"ensemble {digest[:8]}"
    return (
        evaluation(average.first_test),
        evaluation(average.test, trial=0, seed=0, config=config),
    )
