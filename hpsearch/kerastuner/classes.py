"""KerasTuner's tuner classes on hpsearch's engine."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import Any, TypeVar

import keras_tuner

from hpsearch.kerastuner.search import EngineSearch

TunerType = TypeVar("TunerType", bound=type)


def like_keras_tuners(ours: TunerType) -> TunerType:
    """Give a class the signature of its KerasTuner parent, with `workers` added, for completion."""
    changed: Any = ours
    theirs: Any = next(base for base in ours.__mro__ if base.__module__.startswith("keras_tuner."))
    workers = inspect.Parameter("workers", inspect.Parameter.KEYWORD_ONLY, default=None)
    parameters = [*inspect.signature(theirs.__init__).parameters.values(), workers]
    original = changed.__init__

    @functools.wraps(theirs.__init__)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        original(self, *args, **kwargs)

    changed.__init__ = __init__
    changed.__init__.__signature__ = inspect.Signature(
        sorted(parameters, key=lambda parameter: parameter.kind)
    )
    return ours


@like_keras_tuners
class Tuner(keras_tuner.Tuner):
    """Searches with an oracle that the user passes; the base of the other tuners.

    Workers train several trials at a time. The project's directory gets the files of
    `hpsearch run`, results.csv, sweep.db and run.log, beside KerasTuner's. A search that the engine
    cannot run is KerasTuner's, in this process, and `search` prints why.

    Args:
        args, kwargs: KerasTuner's.
        workers: The number of trials at a time; None for one on each core.

    Raises:
        ValueError: Nothing says what to train.
    """

    def __init__(self, *args: Any, workers: int | None = None, **kwargs: Any) -> None:
        given = inspect.signature(super().__init__).bind_partial(*args, **kwargs).arguments
        # KerasTuner takes None and 0 for "choose one at random".
        self._hpsearch = EngineSearch(self, seeded=bool(given.get("seed")), workers=workers)
        if given.get("hypermodel") is None and type(self).run_trial is Tuner.run_trial:
            raise ValueError(
                "Received `hypermodel=None`: only a class that overrides `run_trial` may do without"
            )
        super().__init__(*args, **kwargs)
        self._hpsearch.begin()

    def _configure_tensorboard_dir(
        self, callbacks: Sequence[Any], trial: Any, execution: int = 0
    ) -> None:
        """Configure TensorBoard's directory only if used: that imports the package tensorboard."""
        if any(type(callback).__name__ == "TensorBoard" for callback in callbacks):
            super()._configure_tensorboard_dir(callbacks, trial, execution)

    def load_model(self, trial: Any) -> Any:
        """Return the model of a trial, with the weights of its best epoch."""
        # A worker's copy of the tuner has no search.
        model = self._hpsearch.model_of(trial) if self._hpsearch is not None else None
        return super().load_model(trial) if model is None else model

    def reload(self) -> None:
        """Load the trials from the project's directory."""
        if not self._hpsearch.reload():
            super().reload()

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        """Train a trial's model; a worker trains one execution."""
        if self._hpsearch is not None:
            return super().run_trial(trial, *args, **kwargs)
        hp = trial.hyperparameters
        given = {**self._given, **kwargs}
        given["callbacks"] = [*given.get("callbacks", ()), *self._watching]
        return self.hypermodel.fit(hp, self.hypermodel.build(hp), *args, **given)

    def search(self, *args: Any, **kwargs: Any) -> None:
        """Search for the best hyperparameters; takes KerasTuner's arguments and those of `fit`.

        Raises:
            HpsearchError: The project's directory holds another search's results, or cannot be
                written.
            RuntimeError: No trial completed, or too many failed one after another.
        """
        if "verbose" in kwargs:
            self.oracle.verbose = kwargs["verbose"]
        if not self._hpsearch.run(args, kwargs):
            super().search(*args, **kwargs)


@like_keras_tuners
class GridSearch(Tuner, keras_tuner.GridSearch):
    """Tries every combination; like KerasTuner, takes ten values of a range without a step."""


@like_keras_tuners
class RandomSearch(Tuner, keras_tuner.RandomSearch):
    """Draws points uniformly from the space."""


@like_keras_tuners
class BayesianOptimization(Tuner, keras_tuner.BayesianOptimization):
    """Models scores by a Gaussian process; fits its noise if `alpha` is omitted."""


@like_keras_tuners
class Hyperband(Tuner, keras_tuner.Hyperband):
    """Halves brackets of configs; a continued config keeps its optimizer's state."""
