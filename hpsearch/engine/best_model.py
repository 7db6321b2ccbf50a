"""Retrain an execution and write its model, as best.keras or elsewhere."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

import numpy.typing as npt

from hpsearch.data.specs import TrainingData
from hpsearch.engine.session import Settings, signals
from hpsearch.errors import RefusedError
from hpsearch.files import file_digest
from hpsearch.machine import cores
from hpsearch.models.problem import Problem, Recipe
from hpsearch.space.execution import Execution, ExecutionResult, Status, Training
from hpsearch.space.mlp import MLPConfig, is_custom
from hpsearch.spec.execution import ExecutionSettings
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.facts import Evaluation, Facts, Measurement
from hpsearch.store.store import Store
from hpsearch.training.subjects import Job, ModelSubject, TrainedModel
from hpsearch.training.trainer import gpu_is_usable
from hpsearch.workers.calls import Answers, write_best_model
from hpsearch.workers.local import LocalExecutor
from hpsearch.workers.protocol import Answered, Call, Called, Executor, Finished, Lost
from hpsearch.workers.servers import Servers

Weights = Sequence[npt.NDArray[Any]]

_WAIT_SECONDS = 1.0


@contextmanager
def open_workers(
    execution: ExecutionSettings | None = None, count: int = 1, *, tensorflow: bool = True
) -> Iterator[tuple[LocalExecutor, Callable[[], None]]]:
    """Yield an executor with local workers, and a function that raises Interrupted after a signal.

    The workers' output is dropped.

    Args:
        execution: The settings of a sweep, by which they train as the sweep did.
        count: The number of workers.
        tensorflow: Whether the workers may need TensorFlow.
    """
    execution = execution or ExecutionSettings()
    if execution.devices != "none":
        # The sweep may have run on a machine with other GPUs.
        execution = replace(execution, devices="auto")
    devices = Settings().devices_for(execution, auto=gpu_is_usable() if tensorflow else True)
    shared = cores() if execution.threads == "auto" else 0
    with (
        TemporaryFile("a", encoding="utf-8") as log,
        signals() as stop,
        Servers(log, tensorflow=tensorflow) as servers,
        LocalExecutor(
            servers, count, devices=devices, threads=execution.fixed_threads, cores=shared
        ) as executor,
    ):
        yield executor, stop.check


@dataclass(frozen=True)
class Retrainer:
    """Trains, evaluates and writes single executions with an executor's workers.

    Attributes:
        dataset: The executor's data.
        check: Called while a worker is busy; raises to end the wait.
    """

    executor: Executor
    subject: ModelSubject
    recipe: Recipe
    dataset: TrainingData
    check: Callable[[], None]

    def train(self, execution: Execution, epochs: int) -> ExecutionResult:
        """Train an execution alone, and return the result with its weights.

        Its status is `killed` if the worker ended.

        Args:
            epochs: The number of epochs that its row was trained.
        """
        jobs = [self.job(execution, epochs)]
        return next(train_alone(self.executor, jobs, self.check))

    def job(self, execution: Execution, epochs: int) -> Job:
        """Return what trains an execution alone, and sends its weights back."""
        values, stops = execution.config.trained, ((epochs, execution.number),)
        training = Training(
            values, execution.seed, stops, fold=execution.fold, trial=execution.trial
        )
        needs = self.subject.needs(self.problem(execution), values)
        return Job(training, self.recipe, self.subject, needs=needs)

    def weights(self, execution: Execution, result: ExecutionResult) -> Weights:
        """Retrain a row's execution for its weights; raise RefusedError if the score differs."""
        again = self.train(execution, len(result.curve))
        return self.require_equal(execution, result, again)

    def require_equal(
        self, execution: Execution, result: ExecutionResult, again: ExecutionResult
    ) -> Weights:
        """Return the weights of a repeated training; raise RefusedError if the score differs."""
        if again.state is None or again.score != result.score:
            reason = again.error or f"it scored {again.score!r}"
            raise RefusedError(
                f"{execution.label} did not give its row's {self.recipe.metric}, "
                f"{result.score!r}, when it was trained again: {reason}; another processor type or "
                "other versions than those of its row?"
            )
        return again.state

    def ask(self, call: Call) -> Called:
        """Call a function in a worker."""
        while not self.executor.free:
            # Drop events of trainings that a sweep left when it gave up.
            self.executor.events(_WAIT_SECONDS)
            self.check()
        self.executor.submit(call)
        self.executor.spread(waiting=False)
        while True:
            for event in self.executor.events(_WAIT_SECONDS):
                if isinstance(event, Called):
                    return event
            self.check()

    def write_by(
        self,
        path: Path,
        function: Callable[..., Any],
        *arguments: Any,
        check: Callable[[], None] = lambda: None,
        with_data: bool = False,
    ) -> tuple[str, Any]:
        """Have a worker call a function that writes a file, and give the file its name.

        Args:
            function: Called with a path of that name in another folder, and the arguments.
            check: Called before the file gets its name; raises to prevent it.
            with_data: As for `Call`.

        Returns:
            The reason if it cannot be written, else empty; and what the function returned.
        """
        try:
            # Keras writes in place, and requires the suffix.
            with TemporaryDirectory(
                ".tmp", f".{path.stem}-", path.parent.absolute(), ignore_cleanup_errors=True
            ) as scratch:
                written = Path(scratch, path.name)
                called = self.ask(Call(function, (written, *arguments), with_data=with_data))
                if not called.error:
                    check()
                    written.replace(path)
                return called.error, called.value
        except OSError as failure:
            return failure.strerror or str(failure), None

    def trained(self, execution: Execution, weights: Weights) -> TrainedModel:
        """Return an execution's model."""
        values, seed = execution.config.trained, execution.seed
        return TrainedModel(self.subject, self.problem(execution), values, seed, weights)

    def problem(self, execution: Execution) -> Problem:
        """Return what an execution's model is for."""
        dataset = self.dataset.of_fold(execution.fold)
        return Problem(self.recipe, dataset.input, dataset.target)


def train_alone(
    executor: Executor, jobs: Iterable[Job], check: Callable[[], None]
) -> Iterator[ExecutionResult]:
    """Train single executions, several at a time, and yield their results.

    The status is `killed` if the worker ended.

    Args:
        check: As for `Retrainer`.
    """
    waiting, running = deque(jobs), set[int]()
    answers: dict[int, ExecutionResult] = {}
    while waiting or running:
        while waiting and executor.free and executor.free_devices != 0:
            job = waiting.popleft()
            executor.submit(job)
            running.add(job.training.number)
        executor.spread(waiting=bool(waiting))
        for event in executor.events(_WAIT_SECONDS):
            if isinstance(event, Answered) and event.result.number in running:
                answers[event.result.number] = event.result
            # After its answer, a worker may still have files to remove.
            if isinstance(event, Finished | Lost) and event.training.number in running:
                number = event.training.number
                reason = event.reason if isinstance(event, Lost) else "the worker gave no result"
                running.remove(number)
                yield answers.pop(number, ExecutionResult(number, Status.KILLED, error=reason))
        check()


@dataclass(frozen=True)
class BestModel:
    """Writes best.keras, or only stores the weights of the best trial's best execution.

    Attributes:
        layer_types: The sweep's layer types, whose functions may run.
    """

    where: ResultsDirectory
    store: Store
    retrainer: Retrainer
    layer_types: Collection[str] = ()

    def save(
        self, execution: Execution, result: ExecutionResult, keep: Collection[int] | None = ()
    ) -> str:
        """Write the execution's model, unless best.keras is that model already.

        Another program's file is moved aside. Other executions in `keep` keep their weights; None
        for all. Return why there is no model, what was moved aside, or empty.
        """
        model, facts = self.where.model, self.store.facts()
        if is_model_of(self.where, facts, execution):
            return ""
        foreign = model.exists() and not _is_recorded(model, facts.best_digest)
        self.where.check()
        said = ""
        if foreign:
            try:
                said = _move_aside(model)
            except OSError as error:
                return f"{model} is not as the run wrote it, and stays: {error.strerror or error}"
        if facts.best_model:
            # After a kill, the store must not take a new file for the old one.
            self.store.set_facts(best_model="", best_digest="", predictions=None)
        model.unlink(missing_ok=True)
        try:
            weights = self._weights(execution, result)
        except RefusedError as error:
            failure = f"{model} is not written: {error}"
        else:
            arguments = self.retrainer.trained(execution, weights), execution.fold
            failure, answers = self.retrainer.write_by(
                model, write_best_model, *arguments, check=self.where.check, with_data=True
            )
            failure = failure and f"{model} cannot be written: {failure}"
        if failure:
            return "; ".join(filter(None, (said, failure)))
        if keep is not None:
            self.store.keep_weights([execution.number, *keep])
        self.store.set_facts(best_model=_mark(execution), best_digest=file_digest(model))
        if answers:
            self.store.set_facts(predictions=self._predictions(execution, result, answers))
        return said

    def _predictions(
        self, execution: Execution, result: ExecutionResult, answers: Answers
    ) -> Evaluation:
        rows = self.retrainer.dataset.of_fold(execution.fold).arrays
        metric = self.retrainer.recipe.metric
        return Evaluation(
            time="",
            trial=execution.trial,
            config=execution.config.id,
            seed=execution.seed,
            fold=execution.fold,
            split="validation",
            rows=len(rows.y_val),
            metric=metric,
            metrics={metric: Measurement(float(result.score or 0.0))},
            **answers,
        )

    def keep(self, execution: Execution, result: ExecutionResult) -> str:
        """Store an execution's weights unless stored; return the reason if it fails, else empty."""
        try:
            self._weights(execution, result)
        except RefusedError as error:
            return str(error)
        return ""

    def _weights(self, execution: Execution, result: ExecutionResult) -> Weights:
        self._require_known_layers(execution)
        kept = self.store.weights(execution.number)
        if kept is not None:
            return kept
        # With several seeds, the best trial is known only at the end.
        weights = self.retrainer.weights(execution, result)
        self.store.add_results([replace(result, state=tuple(weights))])
        return weights

    def _require_known_layers(self, execution: Execution) -> None:
        """Refuse to build layers by a function that only the stored row names."""
        if not execution.config.kind.is_predefined:
            return
        layer_type = MLPConfig(execution.config.values).layer_type
        if is_custom(layer_type) and layer_type not in self.layer_types:
            raise RefusedError(
                f'the layers of {execution.label} are built by "{layer_type}", which the sweep '
                "does not name (any more), so it is not run; add it to layer_type, or use "
                f"hpsearch export --trust {layer_type}"
            )


def is_model_of(where: ResultsDirectory, facts: Facts, execution: Execution | None) -> bool:
    """Check if best.keras is the execution's model, as a run wrote it."""
    if execution is None or facts.best_model != _mark(execution):
        return False
    return where.model.exists() and _is_recorded(where.model, facts.best_digest)


def _mark(execution: Execution) -> str:
    return f"{execution.number}:{execution.config.id}"


def _is_recorded(model: Path, digest: str) -> bool:
    """Check if a file has the digest that a run recorded; True without a recorded digest."""
    try:
        return not digest or file_digest(model) == digest
    except OSError:
        return False


def _move_aside(model: Path) -> str:
    """Rename a file to a free name, and return a line that says so."""
    names = (f"{model.stem}-replaced{'' if n == 1 else f'-{n}'}" for n in itertools.count(1))
    places = (model.with_name(f"{name}{model.suffix}") for name in names)
    aside = next(path for path in places if not path.exists())
    model.rename(aside)
    return f"{model}: was replaced since the run wrote it; what was there is {aside.name} now"
