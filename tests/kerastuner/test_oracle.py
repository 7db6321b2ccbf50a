"""Our oracles have none of the faults of stock KerasTuner 1.4.8."""

from __future__ import annotations

import math
import sys
import threading
import warnings
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from engines import space_of
from keras_tuner.src.engine import oracle as kt_oracle
from through_kerastuner import Through

from hpsearch.kerastuner.oracle import config_from, hyperparameters_of
from hpsearch.search.draws import DrawStrategy
from hpsearch.search.methods import make_strategy
from hpsearch.search.strategy import Outcome, Proposal
from hpsearch.space.space import Choices, Config, Parameter, Range, Space
from hpsearch.spec.method import MethodSpec

pytestmark = pytest.mark.filterwarnings("ignore:currentThread", "ignore:getName")
COMPLETED, FAILED = "COMPLETED", "FAILED"

SPACE = space_of(units=[1, 2, 3, 4, 5, 6, 7, 8])


def grid(space: Space = SPACE, *, goal: str = "maximize") -> Through:
    return Through(DrawStrategy("grid", space, (), 0), space, goal)


def random_search(space: Space = SPACE, *, seed: int = 0) -> Through:
    return Through(DrawStrategy("random", space, (), seed), space, seed=seed)


def configs(oracle: Through, count: int) -> list[Config]:
    return [proposal.config for proposal in oracle.ask(count)]


def test_seed_0_is_not_random() -> None:
    assert random_search(SPACE, seed=0).seed == 1
    assert random_search(SPACE, seed=0).ask(8) == random_search(SPACE, seed=0).ask(8)
    assert random_search(SPACE, seed=0).ask(8) != random_search(SPACE, seed=1).ask(8)


ODD = [True, False, 1.5, "text", [200, 100], {"name": "sgd", "momentum": 0.9}, None]


def test_choices_hold_any_value() -> None:
    for oracle in (grid(space_of(mine=ODD)), random_search(space_of(mine=ODD))):
        asked = [config.values["mine"] for config in configs(oracle, 99)]
        assert sorted(map(repr, asked)) == sorted(map(repr, ODD))


def test_kerastuners_values_name_ours() -> None:
    """A trial's values are in the declared space and convert back to its config."""
    space = Space(
        (
            Parameter("units", Choices((10, [20, 5]))),
            Parameter("l2", Range(0.0, 0.2, 0.1)),
            Parameter("learning_rate", Range(1e-4, 0.1, log=True)),
            Parameter("batch_size", Range(8, 64, integer=True)),
            Parameter("optimizer", Choices(("sgd", {"name": "sgd", "momentum": 0.5}))),
        )
    )
    kinds = {hp.name: type(hp).__name__ for hp in hyperparameters_of(space).space}
    assert kinds == {
        "units": "Choice", "l2": "Choice", "learning_rate": "Float", "batch_size": "Int",
        "optimizer": "Choice",
    }  # fmt: skip
    oracle = random_search(space, seed=3)
    asked = configs(oracle, 20)
    for trial, config in zip(oracle.trials.values(), asked, strict=True):
        values = trial.hyperparameters.values
        assert config_from(space, values) == config
        assert values["units"] in ("10", "[20, 5]")
        assert values["optimizer"] in ("sgd", '{"momentum": 0.5, "name": "sgd"}')
        assert set(values) == set(space.names)


def test_a_name_may_live_under_two_conditions() -> None:
    when = {"layer_type": ("dense", "dropout")}
    space = Space(
        (
            Parameter("layer_type", Choices(("dense", "dropout", "residual"))),
            Parameter("width", Choices((1, 2)), when),
        )
    )
    conditions = [hp.conditions for hp in hyperparameters_of(space).space]
    assert [[(c.name, c.values) for c in found] for found in conditions] == [
        [], [("layer_type", ["dense", "dropout"])],
    ]  # fmt: skip
    asked = [(c.values["layer_type"], c.values.get("width")) for c in configs(grid(space), 99)]
    assert asked == [
        ("dense", 1), ("dense", 2), ("dropout", 1), ("dropout", 2), ("residual", None),
    ]  # fmt: skip


def test_no_value_is_discovered_late() -> None:
    oracle = random_search(SPACE)
    oracle.ask(1)
    (trial,) = oracle.trials.values()
    trial.hyperparameters.Float("late", 0.0, 1.0)
    trial.status = FAILED
    with pytest.raises(RuntimeError, match="found new entries"):
        oracle.end_trial(trial)
    assert [hp.name for hp in oracle.get_space().space] == ["units"]
    # KerasTuner's lock is still held; our next call releases it.
    assert len(oracle.ask(1)) == 1


class Failing(DrawStrategy):
    """Its second proposal fails, once."""

    asks = 0

    def ask(self, count: int) -> list[Proposal]:
        self.asks += 1
        if self.asks == 2:
            raise ZeroDivisionError
        return super().ask(count)


def test_an_exception_leaves_no_lock_held(monkeypatch: pytest.MonkeyPatch) -> None:
    oracle = Through(Failing("grid", SPACE, (), 0), SPACE)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        oracle.ask(5)
    assert not kt_oracle.LOCKS[oracle.oracle].locked()
    asked: list[Config] = []
    other = threading.Thread(target=lambda: asked.extend(configs(oracle, 3)))
    other.start()
    other.join(timeout=10)
    assert [config.values["units"] for config in asked] == [2, 3, 4]
    # Between calls no lock is held, whatever the thread's name, so threads never wait.
    assert kt_oracle.THREADS[oracle.oracle] is None
    # The same after a `tell` that fails.
    monkeypatch.setattr(oracle.oracle, "score_trial", lambda _: 1 / 0)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        oracle.tell([Outcome(asked[0], 1.0)])
    assert not kt_oracle.LOCKS[oracle.oracle].locked()


def test_asking_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        oracle = random_search(SPACE)
        (config,) = configs(oracle, 1)
        oracle.tell([Outcome(config, 0.5)])


def test_nothing_is_saved_and_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    oracle = grid(SPACE)
    scores = [math.nan, *[1.0] * 7]
    oracle.tell([Outcome(c, s) for c, s in zip(configs(oracle, 8), scores, strict=True)])
    assert not list(tmp_path.rglob("*"))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_an_infinite_score_does_not_win(goal: str) -> None:
    oracle = grid(SPACE, goal=goal)
    asked = configs(oracle, 5)
    scores = [math.inf, 0.5, -math.inf, math.nan, None]
    oracle.tell([Outcome(c, score) for c, score in zip(asked, scores, strict=True)])
    (best,) = oracle.get_best_trials(1)
    assert oracle.proposals[best.trial_id].config == asked[1]
    assert [trial.status for trial in oracle.trials.values()] == [FAILED, COMPLETED, *[FAILED] * 3]
    assert not oracle.ongoing_trials


def test_a_trials_score_is_the_last_one_that_is_told() -> None:
    oracle = Through(make_strategy(MethodSpec("tpe"), SPACE), SPACE)
    (config,) = configs(oracle, 1)
    for score in (0.25, 0.75):
        oracle.tell([Outcome(config, score)])
    assert [t.score for t in oracle.trials.values()] == [0.75]
    assert oracle.strategy.history.observations().losses.tolist() == [-0.75]


def test_asking_stays_cheap() -> None:
    """A call does not walk over all trials."""
    oracle = random_search(Space((Parameter("l2", Range(0.0, 1.0)),)))

    def executed(trials: int) -> int:
        """How many lines of code so many trials take: the same on every machine."""
        counted = 0

        def count(_frame: FrameType, event: str, _: object) -> Any:
            nonlocal counted
            counted += event == "line"
            return count

        before = sys.gettrace()
        sys.settrace(count)
        try:
            for _ in range(trials):
                (config,) = configs(oracle, 1)
                oracle.tell([Outcome(config, 1.0)])
        finally:
            sys.settrace(before)
        return counted

    first = executed(30)
    for _ in range(300):
        (config,) = configs(oracle, 1)
        oracle.tell([Outcome(config, 1.0)])
    assert executed(30) <= 1.1 * first
    assert not oracle.ongoing_trials
    assert len(oracle.trials) == 360
