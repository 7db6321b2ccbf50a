"""KerasTuner's tuner for scikit-learn models, on hpsearch's engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cloudpickle
import keras_tuner

from hpsearch.models.fit_arguments import NotOnEngine, Request
from hpsearch.models.shipping import ModelHyperparameters
from hpsearch.tuners.requests import whole_request
from hpsearch.tuners.search import EngineSearch
from hpsearch.tuners.signatures import like_keras_tuners

#: Up to this product of rows, columns and trials, a search ends before workers could start.
_FEW_CELLS = 10_000


class SklearnSearch(EngineSearch):
    """The searches of a `SklearnTuner` on the engine; workers run its `run_trial`."""

    #: One, since `run_trial` itself trains all folds.
    executions = 1
    starts_early = False

    def _request(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Request:
        self._require_engine()
        trials, cells = self.tuner.oracle.max_trials, getattr(args[0], "size", None)
        known = bool(trials) and isinstance(cells, int) and self.workers is None
        if known and cells * trials <= _FEW_CELLS:
            raise NotOnEngine("there are so few that they end before workers could start")
        self.own = True
        request, self._hypermodel = whole_request(self.tuner, args, kwargs, own=True)
        return request

    def _hyperparameters(self, request: Request) -> ModelHyperparameters:
        """Return those that the hypermodel declares; a `run_trial` draws the others."""
        del request
        defaults = {each.name: each.default for each in self.tuner.oracle.hyperparameters.space}
        return ModelHyperparameters(tuple(self._parameters()), defaults, custom_fit=True)

    @property
    def _settings(self) -> dict[str, Any]:
        """Empty: the settings concern Keras models only."""
        return {}

    def _write_models(self) -> None:
        """Do nothing: KerasTuner pickles models."""


@like_keras_tuners
class SklearnTuner(keras_tuner.SklearnTuner):  # type: ignore[misc]  # KerasTuner has no types
    """Tunes scikit-learn models by cross-validation.

    Workers run several trials at a time; a few trials on small data run in KerasTuner's own loop.

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
        if not self._hpsearch.run((X, y), named):
            super().search(X, y, **named)

    def save_model(self, trial_id: str, model: Any, step: int = 0) -> None:
        """Save a model where KerasTuner does; its class by value if workers cannot import it."""
        del step
        Path(self.get_trial_dir(trial_id), "model.pickle").write_bytes(cloudpickle.dumps(model))
