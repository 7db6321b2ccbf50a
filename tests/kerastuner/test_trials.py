"""KerasTuner's trials from stored ones: ids, and what a later round of Hyperband continues."""

import json
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from user_models import small

import hpsearch.tuners as kt
from hpsearch.kerastuner.overrides import TrialNames
from hpsearch.kerastuner.trials import ProjectTuner
from hpsearch.search.strategy import Inquiry, OracleEvent
from hpsearch.space.execution import Execution, ExecutionResult, Status
from hpsearch.space.space import Config, Kind, Space

pytestmark = pytest.mark.usefixtures("place")
WHERE = {"directory": "d", "project_name": "p", "seed": 2}
X = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int64")


def hyperband(objective):
    """A silent tuner, and its space."""
    ours = kt.Hyperband(small, objective, 2, 2, directory="d", project_name="p", seed=3)
    ours.oracle.verbose = 0
    return ours, Space(tuple(ours._hpsearch._parameters()), kind=Kind.MODEL)


def values(trial):
    return trial.hyperparameters.values


def test_stored_trials_keep_their_ids():
    """Also those whose trainings were interrupted, whatever ends or is proposed first."""
    ours = kt.GridSearch(small, "val_accuracy", 5, directory="d", project_name="p")
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


@pytest.mark.parametrize("case", ["continued", "failed", "oracle's choice differs"])
def test_a_resumed_hyperband_continues_the_stored_trial(case):
    ours, space = hyperband("val_accuracy")
    first, second = (space.config({"units": n, "f": "relu"}) for n in (4, 8))
    # The later round, whose numbers a program's own `fit` gives for the epochs before it, too.
    later = ExecutionResult(1, Status.COMPLETED, 0.2, [{"val_accuracy": 0.2}] * 2)
    if case == "failed":
        later = ExecutionResult(1, Status.FAILED, error="ValueError: no")
    other = ExecutionResult(2, Status.COMPLETED, 0.5, [{"val_accuracy": 0.5}])
    trials = ours._hpsearch.trials
    trials._results = {first.id: {1: later}, second.id: {2: other}}
    continued, earlier = (second, "0001") if "differs" in case else (first, "0000")
    driver = ProjectTuner(trials, ours.oracle, ours.hypermodel, space)
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
        assert found["units"] == (8 if "differs" in case else 4)
        assert found["tuner/trial_id"] == earlier
        assert (found["tuner/initial_epoch"], found["tuner/epochs"]) == (1, 2)
    proposals = driver.answer(Inquiry((), 2)).proposals
    assert proposals[0].config == continued
    assert len(proposals) == 2


def test_the_stored_sum_of_several_objectives():
    """Of a trial whose later round failed, so that nothing else is known of the earlier one."""
    ours, space = hyperband(["val_loss", "val_accuracy"])
    config = space.config({"units": 4, "f": "relu"})
    ours._hpsearch.trials._results = {config.id: {1: ExecutionResult(1, Status.FAILED)}}
    driver = ProjectTuner(ours._hpsearch.trials, ours.oracle, ours.hypermodel, space)
    driver.replay([OracleEvent("0000", config, 1), OracleEvent("0000", score=0.9)])
    trial = ours.oracle.trials["0000"]
    assert (trial.status, trial.score) == ("COMPLETED", 0.9)


def linear(_):
    """Build a model without hyperparameters."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


class Reversed(kt.Hyperband):
    """Ranks its trials the other way round in later rounds, and tells only their own epochs."""

    def run_trial(self, trial, *args, **kwargs):
        x = trial.hyperparameters.get("x")
        given = trial.hyperparameters.values
        begun = given["tuner/initial_epoch"]
        history = keras.callbacks.History()
        history.epoch = list(range(begun, given["tuner/epochs"]))
        history.history = {"val_loss": [-x if begun else x] * len(history.epoch)}
        return history


@pytest.mark.slow
@pytest.mark.parametrize("most", [6, 8])
def test_an_interrupted_hyperband_continues_the_same_trials(most, interrupt_after):
    hp = kt.HyperParameters()
    hp.Float("x", 0.0, 1.0)
    settings = {"hyperparameters": hp, "allow_new_entries": False, "objective": "val_loss"}
    settings |= {"max_epochs": 4, "factor": 2}

    def tuner(project):
        return Reversed(linear, workers=1, **WHERE | {"project_name": project}, **settings)

    whole = tuner("whole")
    whole.search(X, Y, verbose=0)
    interrupt_after(most)
    with pytest.raises(KeyboardInterrupt):
        tuner("p").search(X, Y, verbose=0)
    again = tuner("p")
    again.search(X, Y, verbose=0)
    pairs, expected = (
        [(values(trial), trial.score) for trial in tuner.oracle.trials.values()]
        for tuner in (again, whole)
    )
    assert pairs == expected
    assert any("tuner/trial_id" in drawn for drawn, _ in pairs[:most])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["GridSearch", "BayesianOptimization"])
def test_trials_keep_their_ids_over_an_interruption(name, interrupt_after):
    class Named(getattr(kt, name)):
        """Writes a file named by the trial."""

        def run_trial(self, trial, *args, **kwargs):
            x = trial.hyperparameters.get("x")
            Path(f"{trial.trial_id}.txt").write_text(str(x))
            awaited = {"2": "3.txt", "3": "interrupted"}.get(trial.trial_id, ".")
            for _ in range(6000):
                if Path(awaited).exists():
                    return x * x
                time.sleep(0.01)
            raise TimeoutError(awaited)

    hp = kt.HyperParameters()
    hp.Float("x", -1, 1, step=0.25)

    def tuner(trials):
        given = {"hyperparameters": hp, "allow_new_entries": False, "max_trials": trials}
        return Named(linear, workers=2, **given, **WHERE)

    def given(tuner):
        return {n: each.hyperparameters.get("x") for n, each in tuner.oracle.trials.items()}

    first = tuner(4)
    interrupt_after(3, before=Path("interrupted").touch)
    with pytest.raises(KeyboardInterrupt):
        first.search(X, Y, verbose=0)
    again = tuner(8)
    assert sorted(again.oracle.trials) == ["0", "1", "2"]
    again.search(X, Y, verbose=0)
    assert len(given(again)) == 8
    assert given(first).items() <= given(again).items()
    assert given(again) == {path.stem: float(path.read_text()) for path in Path().glob("*.txt")}
