"""A training to run, and the protocols of what is tried in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Protocol

from hpsearch.data.specs import TrainingData
from hpsearch.models.problem import Problem, Recipe
from hpsearch.space.execution import ExecutionResult, ResumePoint, Training
from hpsearch.space.space import Kind

if TYPE_CHECKING:
    import numpy.typing as npt

    # It imports NumPy, which the driver loads only once its workers are on their way.

#: Called with an epoch (from 1) and its metrics.
OnEpoch = Callable[[int, Mapping[str, float]], None]
#: Called with a line of warning.
Say = Callable[[str], None]


@dataclass(frozen=True)
class Needs:
    """The needs of a training.

    Attributes:
        tensorflow: True if its worker may have to use TensorFlow.
        device: True if its own GPU makes it faster.
        threads: The most threads with which it gains. Only the native trainer gives the same bits
            with any number.
    """

    tensorflow: bool = True
    device: bool = True
    threads: int = 1


class Subject(Protocol):
    """A kind of trial, as plain data.

    Attributes:
        gives_rows: True if the user's code gets the rows, which it may overwrite.
    """

    @property
    def gives_rows(self) -> bool: ...

    def results(
        self, job: Job, dataset: TrainingData, on_epoch: OnEpoch, say: Say
    ) -> Iterator[ExecutionResult]:
        """Train, and yield the result of each of the job's executions as soon as it is there."""
        ...


class ModelSubject(Subject, Protocol):
    """A kind of Keras model, which can be built again, saved and evaluated.

    Attributes:
        predicts: True if `training.mlps.predictions` can read the outputs of its models.
    """

    @property
    def predicts(self) -> bool: ...

    def needs(self, problem: Problem, values: Mapping[str, Any]) -> Needs:
        """Return what training a config needs."""
        ...

    def build(self, problem: Problem, values: Mapping[str, Any], seed: int) -> Any:
        """Return the compiled `keras.Model` of a training, before its first epoch."""
        ...

    def full(self, model: Any, problem: Problem) -> Any:
        """Return a `keras.Model` from raw rows to predictions in the target's own units."""
        ...

    def measure(self, model: Any, problem: Problem, x: Any, y: Any) -> Mapping[str, Any]:
        """Return loss and metrics of a full model; see `workers.calls.evaluate_rows`."""
        ...


#: Kinds of models by name, so that the core imports no custom models.
_MODELS = {
    Kind.MLP: "hpsearch.training.mlps:MLPs",
    Kind.MODEL: "hpsearch.custom.subject:CustomModels",
}


def subject_of(kind: Kind) -> ModelSubject:
    """Return the subject of a sweep's models."""
    subject: ModelSubject = resolve_name(_MODELS[kind])()
    return subject


@dataclass(frozen=True)
class TrainedModel:
    """A trained model, as plain data.

    Attributes:
        values: The active hyperparameters; `epochs` is ignored.
        weights: In the order of `model.get_weights()`.
    """

    subject: ModelSubject
    problem: Problem
    values: Mapping[str, Any]
    seed: int
    weights: Sequence[npt.NDArray[Any]]

    def build(self) -> Any:
        """Return the `keras.Model` that was trained."""
        model = self.subject.build(self.problem, self.values, self.seed)
        model.set_weights(list(self.weights))
        return model

    def full(self) -> Any:
        """Return the `keras.Model` from raw rows to predictions in the target's own units."""
        return self.subject.full(self.build(), self.problem)


def one_thread() -> int:
    """Return the number of threads of a training that shares no cores."""
    return 1


@dataclass(frozen=True)
class Job:
    """A training to run.

    Attributes:
        keep_better_than: Send back the weights of executions that score better; None sends back
            the weights of every scored execution.
        threads: Returns the number of threads that the native trainer may use at present; set by
            the process that trains.
        past: The point to resume from; None starts from the beginning.
        snapshot: Whether to send back the state at the last epoch.
    """

    training: Training
    recipe: Recipe
    subject: Subject
    keep_better_than: float | None = None
    needs: Needs = Needs()
    past: ResumePoint | None = None
    snapshot: bool = False
    threads: Callable[[], int] = one_thread

    @property
    def tensorflow(self) -> bool:
        """True if it needs a worker that can use TensorFlow."""
        return self.needs.tensorflow

    def wants(self, score: float) -> bool:
        """Check if the weights of an execution with this score are to be sent back."""
        return self.keep_better_than is None or self.recipe.better(score, self.keep_better_than)
