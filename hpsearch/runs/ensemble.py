"""Average a run's best models: choose them by the validation rows, and write them as one model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory, TemporaryFile
from typing import TYPE_CHECKING

from hpsearch.engine.best_model import Retrainer, Weights
from hpsearch.engine.session import Settings, signals
from hpsearch.errors import HpsearchError, InputError, RefusedError
from hpsearch.machine import cores
from hpsearch.models.arrays import training_data
from hpsearch.runs.averaging import Average, write_average
from hpsearch.runs.predicting import PredictorMixin
from hpsearch.runs.trial import Source, StoredRun, Which, evaluation_of, open_run
from hpsearch.space.execution import Execution, Training
from hpsearch.store.directory import ResultsDirectory, require_free
from hpsearch.store.facts import Evaluation
from hpsearch.store.store import Store
from hpsearch.store.trials import best_trials
from hpsearch.training.subjects import Job, TrainedModel, subject_of
from hpsearch.training.trainer import gpu_is_usable
from hpsearch.wording import counted
from hpsearch.workers.calls import evaluate_rows
from hpsearch.workers.local import LocalExecutor
from hpsearch.workers.protocol import Answered, Call, Lost
from hpsearch.workers.servers import Servers

if TYPE_CHECKING:
    import pandas as pd

#: The file's name in a results directory, and the config in the record of its evaluation.
ENSEMBLE = "ensemble"
_WAIT_SECONDS = 1.0

#: A trial's executions of one seed, one for each fold.
Candidate = tuple[Execution, ...]


@dataclass(frozen=True, eq=False)
class Ensemble(PredictorMixin):
    """An average of the outputs of several trials' models.

    Attributes:
        path: The Keras model, which takes raw rows.
        members: A line for each trial and seed, the largest share first. Columns: `trial, config,
            seed, share`.
        metric: The sweep's metric, by which they were chosen.
        score, best: The metric on the validation rows, of the ensemble and of the best trial. Both
            are too good for new rows, since these rows chose the models.
        evaluations: On the test rows, of the best trial and of the ensemble; empty without these.
    """

    path: Path
    members: pd.DataFrame = field(repr=False)
    metric: str
    score: float
    best: float
    evaluations: tuple[Evaluation, ...] = field(default=(), repr=False)

    @property
    def _files(self) -> Source:
        return Source(self.path)


def make_ensemble(
    source: Source, size: int = 8, candidates: int = 24, out: Path | None = None
) -> Ensemble:
    """Average the outputs of a run's best trials, write the model, and record its evaluation.

    They are trained again for their weights, which a run does not keep.

    Args:
        size: The number of choices; a trial that is chosen again has a larger share.
        candidates: The number of models to choose among, those of the best trials. Each seed of a
            trial counts; the models of its folds count as one.
        out: The file to write; None for `ensemble.keras` in the results directory.

    Raises:
        InputError: The run is not of MLPs, has no score, or trained on the validation rows; or a
            number or the file is not possible.
        RefusedError: As for `export_model`; or another run holds the directory.
    """
    for name, number in (("size", size), ("candidates", candidates)):
        if number < 1:
            raise InputError(f"{name}: must be 1 or more, not {number}")
    ResultsDirectory(source.directory).require_store()
    path = source.directory / f"{ENSEMBLE}.keras" if out is None else out
    require_free(path)
    if path.suffix != ".keras" or path.is_dir() or not path.parent.is_dir():
        raise InputError(f"{path}: must be a file with the suffix .keras in an existing directory")
    run = open_run(source)
    best, _ = run.scored(Which())
    chosen = _candidates(run, candidates)
    run.require_trusted(*(execution for candidate in chosen for execution in candidate))
    with ResultsDirectory(source.directory).hold() as held, _workers(run) as retrainer:
        models = _trained(run, retrainer, [best, *(one for group in chosen for one in group)])
        trained = [[models[one.number] for one in group] for group in chosen]
        average = _write(run, retrainer, path, trained, size)
        evaluations = _evaluations(run, retrainer, best, models[best.number], average)
        with Store(run.where.store, check=held.check) as store:
            store.set_facts(evaluations=(*store.facts().evaluations, *evaluations))
    members = _members(chosen, average.votes)
    return Ensemble(path, members, run.recipe.metric, average.score, average.single, evaluations)


def _members(chosen: Sequence[Candidate], votes: Mapping[int, int]) -> pd.DataFrame:
    import pandas as pd  # slow to import

    count = sum(votes.values())
    lines = [
        (first.trial, first.config.id, first.seed, votes[index] / count)
        for index, first in ((index, chosen[index][0]) for index in votes)
    ]
    lines.sort(key=lambda line: (-line[-1], line[0], line[2]))
    return pd.DataFrame(lines, columns=["trial", "config", "seed", "share"])


def _candidates(run: StoredRun, most: int) -> list[Candidate]:
    """Return the best trials' executions by seed, the best trial's best seed first."""
    where = run.where.path
    if run.sweep.kind.is_model:
        raise InputError(f"{where}: an ensemble averages hpsearch's MLPs, and these models are own")
    if run.sweep.data.train_on != "train":
        raise InputError(f"{where}: its models were trained on the validation rows, which choose")
    folds, goal = len(run.dataset.folds) or 1, run.recipe.goal
    seeds: dict[int, dict[int, list[Execution]]] = {}
    for execution in run.executions:
        result = run.results.get(execution.number)
        if result is not None and result.status.scored:
            seeds.setdefault(execution.trial, {}).setdefault(execution.seed, []).append(execution)

    def mean_score(candidate: Candidate) -> float:
        return mean(run.results[execution.number].score or 0.0 for execution in candidate)

    candidates: list[Candidate] = []
    for trial in best_trials(run.executions, run.results, goal)[:most]:
        whole = [tuple(group) for group in seeds[trial].values() if len(group) == folds]
        candidates += sorted(whole, key=mean_score, reverse=goal == "maximize")
    if not candidates:
        raise InputError(f"{where}: no trial has a score for each fold")
    return candidates[:most]


@contextmanager
def _workers(run: StoredRun) -> Iterator[Retrainer]:
    """Open workers on all cores, which have the data."""
    execution = replace(run.sweep.execution, devices="auto", workers="auto", engine="local")
    settings = Settings()
    count = settings.workers_for(execution) or 1
    with (
        TemporaryFile("a", encoding="utf-8") as log,
        signals() as stop,
        Servers(log, tensorflow=True) as servers,
        LocalExecutor(
            servers,
            count,
            devices=settings.devices_for(execution, auto=gpu_is_usable()),
            threads=execution.fixed_threads,
            cores=cores() if execution.threads == "auto" else 0,
        ) as executor,
    ):
        rows = training_data(run.dataset, run.sweep)
        executor.provide(rows)
        yield Retrainer(executor, subject_of(run.sweep.kind), run.recipe, rows, stop.check)


def _trained(
    run: StoredRun, retrainer: Retrainer, executions: Sequence[Execution]
) -> dict[int, TrainedModel]:
    """Return the models of executions by number, trained again unless their weights are kept."""
    by_number = {execution.number: execution for execution in executions}
    with Store(run.where.store, read_only=True) as store:
        kept = {number: store.weights(number) for number in by_number}
    lacking = [by_number[number] for number, weights in kept.items() if weights is None]
    if lacking:
        run.say(f"training {counted(len(lacking), 'model')} again, whose weights were not kept")
    weights = kept | _retrained(run, retrainer, lacking)
    return {n: retrainer.trained(by_number[n], weights[n] or ()) for n in by_number}


def _retrained(
    run: StoredRun, retrainer: Retrainer, executions: Sequence[Execution]
) -> dict[int, Weights]:
    """Train executions again, and return their weights by number; refuse another score."""
    executor, waiting = retrainer.executor, deque(executions)
    weights: dict[int, Weights] = {}
    while len(weights) < len(executions):
        while waiting and executor.free and executor.free_devices != 0:
            executor.submit(_job(run, retrainer, waiting.popleft()))
        executor.spread(waiting=bool(waiting))
        for event in executor.events(_WAIT_SECONDS):
            match event:
                case Answered(result=result):
                    if result.state is None or result.score != run.results[result.number].score:
                        why = result.error or f"it scored {result.score!r}"
                        raise _unequal(run, result.number, why)
                    weights[result.number] = result.state
                case Lost():
                    raise _unequal(run, event.training.number, event.reason)
        retrainer.check()
    return weights


def _job(run: StoredRun, retrainer: Retrainer, execution: Execution) -> Job:
    values = execution.config.trained
    training = Training(
        values,
        execution.seed,
        ((len(run.results[execution.number].curve), execution.number),),
        fold=execution.fold,
        trial=execution.trial,
    )
    needs = retrainer.subject.needs(retrainer.problem(execution), values)
    return Job(training, run.recipe, retrainer.subject, needs=needs)


def _unequal(run: StoredRun, number: int, why: str) -> RefusedError:
    execution = next(one for one in run.executions if one.number == number)
    return RefusedError(
        f"{execution.label} did not give its row's {run.recipe.metric}, "
        f"{run.results[number].score!r}, when it was trained again: {why}; another processor type "
        "or other versions than those of its row?"
    )


def _write(
    run: StoredRun,
    retrainer: Retrainer,
    path: Path,
    candidates: Sequence[Sequence[TrainedModel]],
    size: int,
) -> Average:
    """Have a worker choose and write the file, replacing an earlier one."""
    folds = run.dataset.folds or (run.dataset,)
    validation = [fold.validation for fold in folds]
    try:
        # Keras writes in place, and requires the suffix.
        with TemporaryDirectory(
            ".tmp", f".{path.stem}-", path.parent.absolute(), ignore_cleanup_errors=True
        ) as scratch:
            written = Path(scratch, path.name)
            arguments = written, candidates, validation, folds[0].test, size
            called = retrainer.ask(Call(write_average, arguments))
            if called.error:
                raise HpsearchError(f"{path}: cannot be written: {called.error}")
            written.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
    average: Average = called.value
    return average


def _evaluations(
    run: StoredRun, retrainer: Retrainer, best: Execution, trained: TrainedModel, average: Average
) -> tuple[Evaluation, ...]:
    """Return evaluations on the test rows, of the best execution and of the average."""
    rows = run.dataset.of_fold(best.fold).test
    if rows is None:
        return ()
    called = retrainer.ask(Call(evaluate_rows, (trained, rows.x, rows.y)))
    if called.error:
        raise HpsearchError(f"{best.label} cannot be evaluated: {called.error}")
    of_best = evaluation_of(run, best, "test", rows, called.value)
    of_average = evaluation_of(run, best, "test", rows, average.test)
    return of_best, replace(of_average, trial=0, config=ENSEMBLE, seed=0, fold=None)
