"""KerasTuner's tuner classes on hpsearch's engine."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Sequence
from typing import Any, TypeVar

import keras_tuner

from hpsearch.kerastuner.search import EngineSearch

#: KerasTuner's classes, even if a program replaces them by hpsearch's.
_TUNER, _HYPERBAND = keras_tuner.Tuner, keras_tuner.Hyperband
_HYPERBAND_ORACLE = keras_tuner.oracles.HyperbandOracle
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
    """

    def __init__(self, *args: Any, workers: int | None = None, **kwargs: Any) -> None:
        given = inspect.signature(super().__init__).bind_partial(*args, **kwargs).arguments
        # KerasTuner takes None and 0 for "choose one at random".
        self._hpsearch = EngineSearch(self, seeded=bool(given.get("seed")), workers=workers)
        self._require_model(given.get("hypermodel"))
        super().__init__(*args, **kwargs)
        self._hpsearch.begin()

    def _require_model(self, hypermodel: Any) -> None:
        """Check that a hypermodel or a `run_trial` says what to train.

        Raises:
            ValueError: There is neither.
        """
        if hypermodel is None and type(self).run_trial is Tuner.run_trial:
            raise ValueError(
                "Received `hypermodel=None`: only a class that overrides `run_trial` may do without"
            )

    def _populate_initial_space(self) -> None:
        """Build the model once, unless the project holds a search with a known space."""
        if not self._hpsearch.store.exists():
            super()._populate_initial_space()

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


class HyperbandOracle(keras_tuner.oracles.HyperbandOracle):
    """KerasTuner's oracle, corrected to halve brackets that a small space cannot fill.

    In KerasTuner all configs of such a space end in the first round. With several workers,
    KerasTuner also writes the latest bracket's number into trials of earlier brackets; this oracle
    writes each trial's actual bracket.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: The bracket that ran out of new configs, and its number of configs.
        self._last: tuple[int, int] | None = None
        super().__init__(*args, **kwargs)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return the values of the next trial, or a status; see KerasTuner's `Oracle`."""
        response: dict[str, Any] = super().populate_space(trial_id)
        for bracket in self._brackets if "values" in response else ():
            if any(trial["id"] == trial_id for trials in bracket["rounds"] for trial in trials):
                response["values"]["tuner/bracket"] = bracket["bracket_num"]
        return response

    def _random_trial(self, trial_id: str, bracket: dict[str, Any]) -> dict[str, Any]:
        if self._last is None:
            response: dict[str, Any] = super()._random_trial(trial_id, bracket)
            if response["status"] == "RUNNING":
                return response
            self._last = bracket["bracket_num"], len(bracket["rounds"][0])
            proposal: dict[str, Any] = self.populate_space(trial_id)
            return proposal
        # No further bracket can begin.
        self._brackets.remove(bracket)
        return {"status": "IDLE" if self.ongoing_trials else "STOPPED"}

    def _get_size(self, bracket_num: int, round_num: int) -> int:
        whole = int(super()._get_size(bracket_num, round_num))
        if self._last is None or self._last[0] != bracket_num:
            return whole
        return math.ceil(whole * self._last[1] / int(super()._get_size(bracket_num, 0)))

    def get_state(self) -> dict[str, Any]:
        """Return KerasTuner's state and the last bracket."""
        return {**super().get_state(), "last": self._last}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a state, also one that KerasTuner's oracle wrote."""
        super().set_state(state)
        self._last = tuple(state["last"]) if state.get("last") else None


@like_keras_tuners
class Hyperband(Tuner, keras_tuner.Hyperband):
    """Halves brackets of configs; a continued config keeps its optimizer's state."""

    def __init__(self, *args: Any, workers: int | None = None, **kwargs: Any) -> None:
        given = inspect.signature(_HYPERBAND.__init__).bind(self, *args, **kwargs).arguments
        values = {**given, **given.get("kwargs", {})}
        names = inspect.signature(_HYPERBAND_ORACLE.__init__).parameters
        of_oracle = {
            name: value for name, value in values.items() if name in names and name != "self"
        }
        values = {name: value for name, value in values.items() if name not in {*names, "kwargs"}}
        self._hpsearch = EngineSearch(self, seeded=bool(of_oracle.get("seed")), workers=workers)
        self._require_model(values.get("hypermodel"))
        # KerasTuner's constructor would make another oracle.
        _TUNER.__init__(self, oracle=HyperbandOracle(**of_oracle), **values)
        self._hpsearch.begin()
