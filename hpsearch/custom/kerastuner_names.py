"""KerasTuner's names that are not public; no other module imports such names."""

from __future__ import annotations

from keras_tuner.src.engine.hypermodel import DefaultHyperModel, get_hypermodel
from keras_tuner.src.engine.hyperparameters.hp_types import Boolean, Choice, Fixed, Int
from keras_tuner.src.engine.metrics_tracking import MetricsTracker
from keras_tuner.src.engine.objective import MultiObjective
from keras_tuner.src.engine.oracle import LOCKS, THREADS
from keras_tuner.src.engine.trial import Trial, TrialStatus
from keras_tuner.src.engine.tuner_utils import convert_hyperparams_to_hparams

__all__ = [
    "LOCKS",
    "THREADS",
    "Boolean",
    "Choice",
    "DefaultHyperModel",
    "Fixed",
    "Int",
    "MetricsTracker",
    "MultiObjective",
    "Trial",
    "TrialStatus",
    "convert_hyperparams_to_hparams",
    "get_hypermodel",
]
