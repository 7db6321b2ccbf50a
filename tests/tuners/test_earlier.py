"""Projects that KerasTuner itself began, taken up on the engine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
from keras import layers

import hpsearch.tuners as kt
from hpsearch.errors import HpsearchError
from hpsearch.search.asking import Inquiry, OracleEvent
from hpsearch.space.execution import Execution, ExecutionResult, Status
from hpsearch.space.space import Config, Kind, Space
from hpsearch.tuners.earlier import EarlierTrials
from hpsearch.tuners.running import TrialNames
from hpsearch.tuners.trials import Driver

pytestmark = [
    pytest.mark.usefixtures("place"),
    pytest.mark.filterwarnings("ignore:Skipping variable loading"),
]
SETTINGS = {
    "RandomSearch": {"max_trials": 5},
    "GridSearch": {"max_trials": 5},
    "BayesianOptimization": {"max_trials": 5, "num_initial_points": 3},
    "Hyperband": {"max_epochs": 4, "factor": 2},
}
#: Its second trial is continued by a later one.
TRIALS = {"Hyperband": 5}


def build(hp):
    model = keras.Sequential([layers.Input((8, 8, 1)), layers.Flatten()])
    model.add(layers.Dense(hp.Int("units", 4, 9), activation=hp.Choice("f", ["relu", "tanh"])))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


def tuner(module, name, project, cls=None):
    where = {"directory": "d", "project_name": project, "seed": 3}
    workers = {"workers": 1} if module is kt else {}
    cls = cls or getattr(module, name)
    return cls(build, objective="val_accuracy", **where, **workers, **SETTINGS[name])


def interrupted(base, most):
    """A tuner that is interrupted after so many trials."""

    class Interrupted(base):
        ended = 0

        def on_trial_end(self, trial):
            super().on_trial_end(trial)
            Interrupted.ended += 1
            if Interrupted.ended == most:
                raise KeyboardInterrupt

    return Interrupted


def values(trial):
    return trial.hyperparameters.values  # noqa: PD011 - no frame


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:trial .* a later one continued it")
@pytest.mark.parametrize("name", SETTINGS)
def test_a_project_of_kerastuners_goes_on_on_the_engine(images, name):
    x, y, x_val, y_val = images

    def search(tuner):
        tuner.search(x, y, validation_data=(x_val, y_val), verbose=0)
        return tuner

    theirs = tuner(
        keras_tuner, name, "p", interrupted(getattr(keras_tuner, name), TRIALS.get(name, 2))
    )
    with pytest.raises(KeyboardInterrupt):
        search(theirs)
    before = {n: each.get_state() for n, each in theirs.oracle.trials.items()}
    models = {n: theirs.load_model(each) for n, each in theirs.oracle.trials.items()}
    shutil.copytree("d/p", "d/whole")

    whole = search(tuner(kt, name, "whole"))
    trials = whole.oracle.trials
    assert {n: trials[n].get_state() for n in before} == before
    assert {each.status for each in trials.values()} == {"COMPLETED"}
    # Ids go on, and their total is the limit.
    assert sorted(map(int, trials)) == list(range(len(trials)))
    if name != "Hyperband":
        assert len(trials) == 5
        tried = [str(sorted(values(each).items())) for each in trials.values()]
        assert len(set(tried)) == 5
    else:
        # As many as if none had been there: three brackets.
        assert len(trials) == 4 + 2 + 1 + 3 + 2 + 3
    rows = pd.read_csv("d/whole/results.csv")
    assert len(rows) < len(trials)

    # Weights of KerasTuner's trials are in its checkpoints, those of the others in the store.
    for n, model in models.items():
        for one, other in zip(
            model.get_weights(), whole.load_model(trials[n]).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    for trial in whole.oracle.get_best_trials(3):
        if trial.trial_id not in before:
            accuracy = whole.load_model(trial).evaluate(x_val, y_val, verbose=0)[1]
            assert accuracy == pytest.approx(trial.score, abs=1e-6) or name == "Hyperband"

    # Interrupted and begun anew, it is the same.
    with pytest.raises(KeyboardInterrupt):
        search(tuner(kt, name, "p", interrupted(getattr(kt, name), 2)))
    again = search(tuner(kt, name, "p"))
    assert {n: (values(each), each.score) for n, each in again.oracle.trials.items()} == {
        n: (values(each), each.score) for n, each in trials.items()
    }
    columns = ["seconds", "sweep"]
    pd.testing.assert_frame_equal(
        pd.read_csv("d/p/results.csv").drop(columns=columns), rows.drop(columns=columns)
    )
    reopened = tuner(kt, name, "p")
    assert reopened.oracle.get_best_trials()[0].score == whole.oracle.get_best_trials()[0].score
    search(reopened)
    assert len(pd.read_csv("d/p/results.csv")) == len(rows)


@pytest.mark.slow
def test_a_trial_that_kerastuner_was_killed_in_runs_again(images):
    """Under its id if the oracle proposes, as KerasTuner does."""
    x, y, x_val, y_val = images
    theirs = tuner(keras_tuner, "RandomSearch", "p")
    left = theirs.oracle.create_trial("tuner0")
    theirs.save()
    checkpoint = Path(theirs._get_checkpoint_fname(left.trial_id))
    checkpoint.write_text("not finished")
    ours = tuner(kt, "RandomSearch", "p")
    ours.search(x, y, validation_data=(x_val, y_val), verbose=0)
    trials = ours.oracle.trials
    assert len(trials) == len(pd.read_csv("d/p/results.csv")) == 5
    assert values(trials[left.trial_id]) == values(left)
    assert {each.status for each in trials.values()} == {"COMPLETED"}
    model, other = (each.load_model(trials[left.trial_id]) for each in (theirs, ours))
    np.testing.assert_array_equal(model.get_weights()[0], other.get_weights()[0])


def test_a_project_that_has_its_trials_trains_nothing(images, place):
    x, y, x_val, y_val = images
    theirs = tuner(keras_tuner, "RandomSearch", "p")
    for _ in range(5):
        trial = theirs.oracle.create_trial("tuner0")
        theirs.oracle.update_trial(trial.trial_id, {"val_accuracy": 0.5})
        trial.status = "COMPLETED"
        theirs.oracle.end_trial(trial)
    theirs.save()
    ours = tuner(kt, "RandomSearch", "p")
    ours.search(x, y, validation_data=(x_val, y_val), verbose=0)
    assert len(ours.oracle.trials) == 5
    assert not (place / "d" / "p" / "results.csv").exists()


def test_a_damaged_file_is_said(place):
    path = place / "earlier.json"
    path.write_text("{")
    with pytest.raises(HpsearchError, match="overwrite=True"):
        EarlierTrials.read(path)


def test_stored_trials_keep_their_ids():
    """Also those whose trainings were interrupted, whatever ends or is proposed first."""
    ours = tuner(kt, "GridSearch", "p")
    trials = ours._hpsearch.trials
    configs = [Config({"units": 4 + n, "f": "relu"}, Kind.MODEL) for n in range(5)]
    executions = [Execution(n + 1, n + 1, each, 0) for n, each in enumerate(configs[:4])]
    result = ExecutionResult(1, Status.COMPLETED, 0.5, [{"val_accuracy": 0.5}])
    trials.reserve(executions)
    trials.take(executions[0], result)
    trials.begin(configs[4])
    trials.begin(configs[1])
    trials.take(executions[3], result)
    trials.take(executions[2], result)
    found = {name: values(each)["units"] for name, each in ours.oracle.trials.items()}
    assert found == {"0": 4, "1": 5, "2": 6, "3": 7, "4": 8}
    names = TrialNames(Path(ours.project_dir))
    assert [names.of(each.id) for each in configs] == ["0", "1", "2", "3", "4"]


class Counting(kt.Hyperband):
    """Counts its calls, which a stored trial had in the process that proposed it."""

    created = 0

    def pre_create_trial(self):
        self.created += 1


@pytest.mark.parametrize("case", ["continued", "failed", "oracle's choice differs"])
def test_a_resumed_hyperband_continues_the_stored_trial(case):
    ours = Counting(build, "val_accuracy", 2, 2, directory="d", project_name="p", seed=3)
    ours.oracle.verbose = 0
    space = Space(tuple(ours._hpsearch._parameters()), kind=Kind.MODEL)
    first, second = (space.config({"units": n, "f": "relu"}) for n in (4, 5))
    # The later round, whose numbers a program's own `fit` gives for the epochs before it, too.
    later = ExecutionResult(1, Status.COMPLETED, 0.2, [{"val_accuracy": 0.2}] * 2)
    if case == "failed":
        later = ExecutionResult(1, Status.FAILED, error="ValueError: no")
    other = ExecutionResult(2, Status.COMPLETED, 0.5, [{"val_accuracy": 0.5}])
    trials = ours._hpsearch.trials
    trials._results = {first.id: {1: later}, second.id: {2: other}}
    continued, earlier = (second, "0001") if "differs" in case else (first, "0000")
    driver = Driver(trials, ours.oracle, ours.hypermodel, space, name="Counting")
    driver.replay(
        [
            OracleEvent("0000", first, 1),
            OracleEvent("0001", second, 1),
            OracleEvent("0000", score=0.9),
            OracleEvent("0001", score=0.5),
            OracleEvent("0002", continued, 2),
        ]
    )
    known = ours.oracle.trials
    assert [known[name].score for name in ("0000", "0001")] == [0.9, 0.5]
    path = Path(ours.oracle._project_dir, "trial_0002", "trial.json")
    # Of the file, too, which workers read.
    for found in (values(known["0002"]), json.loads(path.read_text())["hyperparameters"]["values"]):
        assert found["units"] == (5 if "differs" in case else 4)
        assert found["tuner/trial_id"] == earlier
        assert (found["tuner/initial_epoch"], found["tuner/epochs"]) == (1, 2)
    assert ours.created == 0
    proposals = driver.answer(Inquiry((), 2)).proposals
    assert proposals[0].config == continued
    assert (len(proposals), ours.created) == (2, 1)


def test_the_stored_sum_of_several_objectives():
    """Of a trial whose later round failed, so that nothing else is known of the earlier one."""
    objectives = ["val_loss", "val_accuracy"]
    ours = kt.Hyperband(build, objectives, 2, 2, directory="d", project_name="p", seed=3)
    ours.oracle.verbose = 0
    space = Space(tuple(ours._hpsearch._parameters()), kind=Kind.MODEL)
    config = space.config({"units": 4, "f": "relu"})
    ours._hpsearch.trials._results = {config.id: {1: ExecutionResult(1, Status.FAILED)}}
    driver = Driver(ours._hpsearch.trials, ours.oracle, ours.hypermodel, space)
    driver.replay([OracleEvent("0000", config, 1), OracleEvent("0000", score=0.9)])
    trial = ours.oracle.trials["0000"]
    assert (trial.status, trial.score) == ("COMPLETED", 0.9)
