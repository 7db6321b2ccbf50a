"""KerasTuner's trials from stored ones: ids, and what a later round of Hyperband continues."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from user_models import small

import hpsearch.tuners as kt
from hpsearch.kerastuner.overrides import TrialNames
from hpsearch.kerastuner.trials import ProjectTuner
from hpsearch.search.asking import Inquiry, OracleEvent
from hpsearch.space.execution import Execution, ExecutionResult, Status
from hpsearch.space.kinds import Kind
from hpsearch.space.space import Config, Space

pytestmark = pytest.mark.usefixtures("place")


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
