"""KerasTuner's tuner for scikit-learn models, on hpsearch's engine."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.src.engine import trial as kt_trial

from hpsearch.errors import HpsearchError
from hpsearch.models.custom import seeded
from hpsearch.models.fit_arguments import Request
from hpsearch.models.shipping import ModelHyperparameters
from hpsearch.training.fit import seed_of_fit
from hpsearch.tuner.settings import stack_level_of_caller
from hpsearch.tuners.recorded import Recorder
from hpsearch.tuners.requests import whole_request
from hpsearch.tuners.running import Told, copy_of, held, own_methods
from hpsearch.tuners.search import EngineSearch
from hpsearch.tuners.signatures import like_keras_tuners

#: Up to this product of rows, columns and trials, a search in this process ends before workers
#: could import TensorFlow.
_FEW_CELLS = 10_000
#: Relative difference allowed between a trial's score and its repetition's: sums may be reordered.
_ROUNDING = 1e-6


class SklearnSearch(EngineSearch):
    """The searches of a `SklearnTuner` on the engine; workers run its `run_trial`."""

    #: The arguments of `search`; None before it.
    data: tuple[Sequence[Any], Mapping[str, Any]] | None = None
    #: One, since `run_trial` itself trains all folds.
    executions = 1
    starts_early = False

    def _request(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Request:
        self._require_engine()
        self.own = True
        request, self._hypermodel = whole_request(
            self.tuner, args, kwargs, Recorder(None, own=True)
        )
        return request

    def _tell_what_stays(self, request: Request) -> None:
        """Print which overridden methods work on copies of this process's objects."""
        if not self.in_process:
            super()._tell_what_stays(request)
        elif (own := own_methods(self.tuner)) and self.tuner.oracle.verbose:
            said = f"{type(self.tuner).__name__}.{own[0]} runs on copies of the tuner"
            print(f"hpsearch: {said}: what it changes in self is lost")  # noqa: T201

    @property
    def in_process(self) -> bool:
        """True if the search is too small for workers, and the user did not set `workers`."""
        x = None if self.data is None else self.data[0][0]
        trials, cells = self.tuner.oracle.max_trials, getattr(x, "size", None)
        known = bool(trials) and isinstance(cells, int) and self.workers is None
        return known and cells * trials <= _FEW_CELLS

    def _lacks_names(self, request: Request) -> bool:
        """Return False: the hypermodel declares them, and a `run_trial` draws the others."""
        del request
        return False

    def _hyperparameters(self, request: Request) -> ModelHyperparameters:
        del request
        defaults = {each.name: each.default for each in self.tuner.oracle.hyperparameters.space}
        return ModelHyperparameters(tuple(self._parameters()), defaults, custom_fit=True)

    @property
    def _settings(self) -> dict[str, Any]:
        """Empty: the settings concern Keras models only."""
        return {}

    def _model_file(self, trial_id: str) -> Path:
        return Path(self.tuner.get_trial_dir(trial_id), "model.pickle")

    def _write_models(self) -> None:
        """Do nothing: KerasTuner pickles models."""


@like_keras_tuners
class SklearnTuner(keras_tuner.SklearnTuner):  # type: ignore[misc]  # KerasTuner has no types
    """Tunes scikit-learn models by cross-validation.

    Workers run several trials at a time; a few trials on small data run in this process. Models
    are not pickled: `load_model` and `get_best_models` fit them again, which takes as long as the
    trial did.

    Args:
        args, kwargs: KerasTuner's.
        workers: The number of trials at a time; None for one on each core.
    """

    def __init__(self, *args: Any, workers: int | None = None, **kwargs: Any) -> None:
        self._hpsearch = SklearnSearch(self, seeded=False, workers=workers)
        super().__init__(*args, **kwargs)
        self._hpsearch.begin()

    def _populate_initial_space(self) -> None:
        """Build the model once, unless the project holds a search with a known space."""
        if not self._hpsearch.store.exists():
            super()._populate_initial_space()

    def reload(self) -> None:
        """Load the trials from the project's directory."""
        if not self._hpsearch.reload():
            super().reload()

    def search(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> None:  # noqa: N803 - KerasTuner's
        """Search for the best hyperparameters; see KerasTuner's class.

        Raises:
            HpsearchError: The project's directory holds another search's results, or cannot be
                written.
            RuntimeError: No trial completed, or too many failed one after another.
        """
        named = {"sample_weight": sample_weight, "groups": groups}
        self._hpsearch.data = (X, y), named
        if not self._hpsearch.run((X, y), named):
            super().search(X, y, **named)

    def on_trial_end(self, trial: Any) -> None:
        """Report a trial's end to the oracle, unless the engine did so."""
        if not self._hpsearch.searches:
            super().on_trial_end(trial)

    def _run_and_update_trial(self, trial: Any, *args: Any, **kwargs: Any) -> None:
        with self._seeded():
            super()._run_and_update_trial(trial, *args, **kwargs)

    @contextlib.contextmanager
    def _seeded(self) -> Iterator[None]:
        """Seed models without a `random_state` as a worker does."""
        with seeded(seed_of_fit(self.oracle.seed, 0)):
            yield

    def save_model(self, trial_id: str, model: Any, step: int = 0) -> None:
        """Keep the model of the last trial in this process."""
        del trial_id, step
        self._fitted = model

    def load_model(self, trial: Any) -> Any:
        """Fit a trial's model again and return it; like KerasTuner, the last fold's.

        Raises:
            HpsearchError: `search` got no data yet, or `run_trial` saves no model.
        """
        if self._hpsearch.data is None:
            raise HpsearchError(
                f"{self.project_dir}: the models of scikit-learn are not stored, but fitted again: "
                "call search with the data first, which repeats no trial that is complete"
            )
        args, named = self._hpsearch.data
        twin = copy_of(type(self), held(self))
        repeated = kt_trial.Trial(trial.hyperparameters.copy(), trial.trial_id)
        twin.hypermodel, twin.oracle = self.hypermodel, Told(self.oracle.objective, repeated)
        with self._seeded():
            found = twin.run_trial(repeated, *args, **named)
        if not hasattr(twin, "_fitted"):
            raise HpsearchError(f"{type(self).__name__}.run_trial does not call save_model")
        self._compare(trial, found)
        return twin._fitted  # noqa: SLF001 - of this class

    def _compare(self, trial: Any, found: Any) -> None:
        """Warn if a repeated trial has another score."""
        name = self.oracle.objective.name
        score = found.get(name) if isinstance(found, Mapping) else None
        if score is None or np.isclose(score, trial.score, rtol=_ROUNDING, equal_nan=True):
            return
        warnings.warn(
            f"trial {trial.trial_id} had a {name} of {trial.score:.6g}, and fitted again it has "
            f"{score:.6g}: give the models a random_state, and search the same data",
            UserWarning,
            stacklevel=stack_level_of_caller(),
        )
