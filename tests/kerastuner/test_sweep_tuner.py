"""The tuner between an oracle and an engine, without processes or trainings."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras_tuner
import pytest
from marks import slow

from hpsearch.data.specs import InputSpec, Target, Task
from hpsearch.engine.search import SearchSpec, TunerSpec
from hpsearch.errors import HpsearchError, InputError
from hpsearch.kerastuner.oracle import StrategyOracle
from hpsearch.kerastuner.sweep_tuner import SweepTuner, make_tuner
from hpsearch.models.problem import Problem, Recipe
from hpsearch.search.strategy import Inquiry, OracleEvent, Outcome, Past, Proposal, Reply
from hpsearch.space.constraints import parse
from hpsearch.space.execution import Repetition
from hpsearch.space.space import Choices, Config, Parameter, Range, Space
from hpsearch.spec.method import MethodSpec
from hpsearch.training.mlps import MLPs

pytestmark = pytest.mark.filterwarnings("ignore:currentThread", "ignore:getName")
SPACE = Space(
    (
        Parameter("units", Choices((4, 8, 16, 32))),
        Parameter("layer_type", Choices(("dense", "dropout"))),
        Parameter("dropout", Choices((0.1, 0.3)), {"layer_type": ("dropout",)}),
        Parameter("optimizer", Choices(("sgd", {"name": "sgd", "momentum": 0.5}))),
        Parameter("learning_rate", Range(1e-3, 1e-1, log=True)),
        Parameter("epochs", Choices((9,))),
    )
)
FINITE = Space((Parameter("units", Choices((4, 8, 16, 32))), Parameter("epochs", Choices((9,)))))
RECIPE = Recipe(0, "sparse_categorical_crossentropy", "softmax", "val_accuracy", "maximize")
PROBLEM = Problem(RECIPE, InputSpec((4,), "float32"), Target(Task.MULTICLASS, 3))


def spec_of(
    method: str,
    space: Space = SPACE,
    *,
    limit: int | None = 12,
    past: Past | None = None,
    **options: Any,
) -> TunerSpec:
    search = SearchSpec(MethodSpec(method, options), space, (), (Repetition(0),), limit, 0)
    return TunerSpec(search, MLPs(), PROBLEM, past or Past())


def score_of(config: Config) -> float:
    return int(config.id[1:7], 16) / 16**6


class Instant:
    """An engine that trains nothing: `room` trials at a time, up to `limit` configs."""

    def __init__(
        self, limit: int, room: int = 1, most: int = 10**6, met: Sequence[OracleEvent] = ()
    ) -> None:
        self.limit, self.room, self.most = limit, room, most
        self.met = {each.config.id for each in met if each.config is not None}
        self.proposals: list[Proposal] = []
        self.events: list[OracleEvent] = []
        self.told = 0
        self.exchanges = 0

    def exchange(self, answer: Reply) -> Inquiry | None:
        if answer.error:
            raise HpsearchError(answer.error)
        self.exchanges += 1
        self.proposals += answer.proposals
        self.events += answer.events
        untold, self.told = self.proposals[self.told :], len(self.proposals)
        if self.exchanges > self.most or (answer.exhausted and not untold):
            return None
        outcomes = (Outcome(each.config, score_of(each.config), each.epochs) for each in untold)
        left = self.limit - len(self.met | {each.config.id for each in self.proposals})
        return Inquiry(tuple(outcomes), min(self.room, left) if left else self.room, left <= 0)

    @property
    def asked(self) -> list[tuple[str, int | None]]:
        return [(each.config.id, each.epochs) for each in self.proposals]


def searched(tuner: SweepTuner, engine: Instant) -> Instant:
    tuner.search(engine)
    return engine


def test_every_trial_comes_from_the_oracle_which_is_told_its_end(monkeypatch: Any) -> None:
    tuner = make_tuner(spec_of("random"))
    assert isinstance(tuner, keras_tuner.Tuner)
    assert isinstance(tuner.oracle, StrategyOracle)
    calls: list[str] = []

    def counted(name: str) -> Any:
        own = getattr(tuner.oracle, name)
        return lambda *args, **kwargs: calls.append(name) or own(*args, **kwargs)

    for name in ("create_trial", "update_trial", "end_trial"):
        monkeypatch.setattr(tuner.oracle, name, counted(name))
    engine = searched(tuner, Instant(12, room=3))
    assert len(engine.proposals) == 12
    assert [calls.count(name) for name in ("create_trial", "update_trial", "end_trial")] == [12] * 3
    trials = tuner.oracle.trials.values()
    assert {trial.status for trial in trials} == {"COMPLETED"}
    assert sorted(trial.score for trial in trials) == sorted(
        score_of(each.config) for each in engine.proposals
    )
    assert tuner.get_best_hyperparameters()[0].values["units"] in (4, 8, 16, 32)


@pytest.mark.parametrize(
    "method", ["grid", "random", "sobol", "keras_tuner.oracles:GridSearchOracle"]
)
def test_it_stops_when_the_oracle_does(method: str) -> None:
    engine = searched(make_tuner(spec_of(method, FINITE, limit=99)), Instant(99, room=3))
    assert sorted(each.config.values["units"] for each in engine.proposals) == [4, 8, 16, 32]


@pytest.mark.parametrize("room", [1, 3])
@pytest.mark.parametrize(
    "name",
    [
        "keras_tuner.oracles:HyperbandOracle",
        "own_oracles:Mine",
        *(
            slow(name)
            for name in (
                "keras_tuner.oracles:RandomSearchOracle",
                "keras_tuner.oracles:BayesianOptimizationOracle",
                "own_oracles:made",
            )
        ),
    ],
)
def test_an_oracle_made_anew_goes_on_as_if_nothing_had_been(name: str, room: int) -> None:
    whole = searched(make_tuner(spec_of(name)), Instant(12, room))
    assert 10 <= len({config for config, _ in whole.asked}) <= 12
    for most in range(1, whole.exchanges, 3):
        first = searched(make_tuner(spec_of(name)), Instant(12, room, most))
        again = make_tuner(spec_of(name, past=Past(events=tuple(first.events))))
        ended = {each.trial_id for each in first.events if each.config is None}
        pending = [
            (each.config.id, each.epochs)
            for each in first.events
            if each.config is not None and each.trial_id not in ended
        ]
        rest = searched(again, Instant(12, room, met=first.events))
        assert rest.asked[: len(pending)] == pending
        together = first.asked[: len(first.asked) - len(pending)] + rest.asked
        assert set(together) >= set(whole.asked[:12]) if room > 1 else together == whole.asked


def test_an_oracle_that_proposes_otherwise_is_given_what_was_stored() -> None:
    first = searched(make_tuner(spec_of("own_oracles:Unseeded")), Instant(6))
    again = make_tuner(spec_of("own_oracles:Unseeded", past=Past(events=tuple(first.events))))
    told = [trial.hyperparameters.values["units"] for trial in again.oracle.trials.values()]
    assert told == [each.config.values["units"] for each in first.proposals]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Raises", "RuntimeError: no idea for a trial"),
        ("RaisesWhenTold", "KeyError: '00'"),
        ("Outside", "trial 03: 7 is no value of 'units'"),
        ("Waits", "it waits for a trial to end, and none is running"),
    ],
)
def test_a_bad_oracle_ends_with_its_name_and_reason(name: str, said: str) -> None:
    engine = Instant(12)
    with pytest.raises(HpsearchError) as caught:
        make_tuner(spec_of(f"own_oracles:{name}")).search(engine)
    assert str(caught.value) == (
        f"method: the oracle own_oracles:{name} failed: {said}; what was finished is stored, so "
        "the same command continues once the oracle is mended"
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("own_oracles:Nobody", "method: own_oracles:Nobody: cannot be loaded: module"),
        ("nowhere:Oracle", "method: nowhere:Oracle: cannot be loaded: No module named 'nowhere'"),
        ("own_oracles:Unmakeable", "cannot be made: TypeError"),
        ("own_oracles:nothing", "must be a keras_tuner.Oracle, or a function that returns one"),
    ],
)
def test_what_is_no_oracle(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        make_tuner(spec_of(name))


def test_an_oracle_takes_the_options_of_the_file() -> None:
    tuner = make_tuner(spec_of("own_oracles:Mine", seed=7, max_retries_per_trial=2))
    assert (tuner.oracle.seed, tuner.oracle.max_retries_per_trial) == (7, 2)
    assert tuner.oracle.max_trials == 12
    with pytest.raises(InputError, match="unexpected keyword argument 'nonsense'"):
        make_tuner(spec_of("own_oracles:Mine", nonsense=1))


@pytest.mark.slow
def test_an_oracle_never_stops_at_a_constraint_that_nothing_meets() -> None:
    impossible = Space(SPACE.parameters, (parse("units <= 1"),))
    with pytest.raises(HpsearchError, match="its last 1,000 trials all break a constraint"):
        make_tuner(spec_of("own_oracles:Mine", impossible, limit=None)).search(Instant(12))


def test_what_breaks_a_constraint_is_no_trial() -> None:
    narrow = Space(SPACE.parameters, (parse("units <= 8"),))
    engine = searched(make_tuner(spec_of("own_oracles:Mine", narrow, limit=None)), Instant(6))
    assert {each.config.values["units"] for each in engine.proposals} <= {4, 8}


def test_its_hypermodel_builds_from_its_values() -> None:
    tuner = make_tuner(spec_of("random"))
    tuner.search(Instant(6))
    for hp in tuner.get_best_hyperparameters(6):
        model = tuner.hypermodel.build(hp)
        units = hp.values["units"]
        assert model.count_params() == (4 + 1) * units + (units + 1) * 3
    hp.values["units"] = 5
    with pytest.raises(ValueError, match="5 is no value of 'units'"):
        tuner.hypermodel.build(hp)


@pytest.mark.parametrize("method", ["random", "own_oracles:Mine"])
def test_it_leaves_no_directory(method: str, tmp_path: Path, monkeypatch: Any) -> None:
    """KerasTuner's oracles write files, and hpsearch's do not."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tuner = make_tuner(spec_of(method))
    searched(tuner, Instant(6))
    assert any(tmp_path.rglob("trial.json")) == (method != "random")
    del tuner
    gc.collect()
    assert not list(tmp_path.iterdir())
