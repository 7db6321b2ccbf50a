"""Weights of the best trials as KerasTuner's checkpoints, which its own classes load."""

from __future__ import annotations

import contextlib
import math
import warnings
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.src import utils as kt_utils
from keras_tuner.src.engine import trial as kt_trial

from hpsearch.models.custom import fresh_names, seeded
from hpsearch.tuners.running import is_users

#: The store has the weights of every trial; a file takes as long as training a small model.
MOST_CHECKPOINTS = 10
#: No further file is begun once those of a search are as large.
_MOST_BYTES = 2**26


def write_checkpoints(tuner: keras_tuner.Tuner) -> None:
    """Write the checkpoints of a tuner's best trials; one that cannot be written is left out.

    A `load_model` of the user's may read that of any trial.
    """
    count, most = MOST_CHECKPOINTS, float(_MOST_BYTES)
    if is_users(tuner, "load_model"):
        count, most = len(tuner.oracle.trials), math.inf
    written = 0
    for trial in tuner.oracle.get_best_trials(count):
        if trial.status == kt_trial.TrialStatus.COMPLETED and written < most:
            # The user's own code, or a full disk.
            with contextlib.suppress(Exception):
                written += _write(tuner, trial)


def _write(tuner: Any, trial: Any) -> int:
    """Write a trial's checkpoint, and return its bytes."""
    # Nothing that the program does later may depend on these builds.
    with warnings.catch_warnings(), seeded(0), fresh_names():
        # A trial that a later one continued has the later weights.
        warnings.simplefilter("ignore", UserWarning)
        model = tuner._hpsearch.model_of(trial)  # noqa: SLF001 - its own package's
    if model is None:
        return 0
    path = Path(tuner._get_checkpoint_fname(trial.trial_id))  # noqa: SLF001 - there is no public way
    # Keras takes the format from the ending.
    new = path.with_name(f".{path.name}")
    model.save_weights(new)
    new.replace(path)
    build = tuner._get_build_config_fname(trial.trial_id)  # noqa: SLF001 - there is no public way
    kt_utils.save_json(build, model.get_build_config())
    return path.stat().st_size
