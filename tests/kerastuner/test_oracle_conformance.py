"""The conformance suite on strategies behind KerasTuner's Oracle, and the Oracle's own."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from search_spaces import CONFIGS, FINITE, MIXED, score_of
from strategy_conformance import HALVING, METHODS_ONCE, Conformance, Make, search
from through_kerastuner import Through

from hpsearch.kerastuner.oracle import config_from
from hpsearch.search.methods import make_strategy
from hpsearch.space.space import Config, Space
from hpsearch.spec.method import METHODS, MethodSpec

pytestmark = pytest.mark.filterwarnings("ignore:currentThread", "ignore:getName")


def _make(
    method: str,
    space: Space,
    listed: Sequence[Config] = (),
    *,
    goal: str = "maximize",
    seed: int = 0,
    trials: int | None = None,
) -> Through:
    strategy = make_strategy(MethodSpec(method), space, listed, goal=goal, seed=seed, trials=trials)
    return Through(strategy, space, goal, seed)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["hyperband"])
class TestOracles(Conformance):
    """One with rungs; the test below shows that any other is asked alike."""

    @pytest.fixture
    def make(self) -> Make:
        return _make


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS_ONCE)
def test_it_proposes_what_its_strategy_does_in_trials_that_name_its_configs(method: str) -> None:
    for space in (FINITE, *(() if method == "grid" else (MIXED,))):
        strategy = make_strategy(MethodSpec(method), space, seed=3)
        oracle = _make(method, space, seed=3)
        asked = search(oracle, 25, width=5)
        assert asked == search(strategy, 25, width=5)
        assert oracle.exhausted == strategy.exhausted
        assert (oracle.adaptive, oracle.rungs) == (strategy.adaptive, strategy.rungs)
        for trial, proposal in zip(oracle.trials.values(), asked, strict=True):
            values = trial.hyperparameters.values
            assert config_from(space, values).id == proposal.config.id
            assert set(proposal.config.values) & set(space.names) <= set(values)
            assert trial.status in {"COMPLETED", "FAILED"}


def run_as_kerastuner(oracle: Through, workers: int) -> list[str]:
    """Run KerasTuner's own loop with several tuners in turn; return the statuses they got."""
    running: dict[str, object] = {}
    statuses: list[str] = []
    while len(statuses) < 10_000:
        for tuner in (f"tuner{number}" for number in range(workers)):
            if tuner in running:
                continue
            trial = oracle.create_trial(tuner)
            statuses.append(trial.status)
            if trial.status == "RUNNING":
                running[tuner] = trial
        if not running:
            return statuses
        tuner, trial = next(iter(running.items()))
        del running[tuner]
        epochs = oracle.proposals[trial.trial_id].epochs
        score = score_of(config_from(FINITE, trial.hyperparameters.values), epochs)
        if score is None:
            trial.status = "FAILED"
        else:
            oracle.update_trial(trial.trial_id, {"score": score})
            trial.status = "COMPLETED"
        oracle.end_trial(trial)
    raise AssertionError("it spins")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("workers", [1, 3])
def test_kerastuners_own_loop_comes_to_an_end(method: str, workers: int) -> None:
    oracle = _make(method, FINITE)
    statuses = run_as_kerastuner(oracle, workers)
    assert statuses[-1] == "STOPPED"
    tried = {config_from(FINITE, t.hyperparameters.values).id for t in oracle.trials.values()}
    assert tried == {config.id for config in CONFIGS}
    if method not in HALVING:
        assert "IDLE" not in statuses
        assert len(oracle.trials) == len(CONFIGS)


def test_it_waits_only_for_what_is_under_way() -> None:
    oracle = _make("hyperband", FINITE)
    running = [oracle.create_trial("0")]
    while running[-1].status == "RUNNING":
        running.append(oracle.create_trial(str(len(running))))
    assert running.pop().status == "IDLE"
    assert oracle.create_trial("late").status == "IDLE"
    for trial in running:
        trial.status = "FAILED"
        oracle.end_trial(trial)
    assert oracle.create_trial("late").status == "STOPPED"
