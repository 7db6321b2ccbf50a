"""Optuna and KerasTuner with the interface of `hpsearch.search.strategy`.

Each peer gets what it can use: numbers in lists are declared as ordered, conditions in the way of
each library, and all other options have their defaults. A config that a peer proposes twice counts
twice, because it would be trained twice.
"""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from hpsearch.search.strategy import Outcome, Proposal
from hpsearch.space.space import Config, Parameter, Range, Space

__all__ = ["PEERS", "STOCK", "KerasTunerSearch", "OptunaSearch", "make_peer", "suggested"]

#: The peer that measures KerasTuner's time; `keras_tuner` measures its regrets.
STOCK = "keras_tuner_stock"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _config(space: Space, assignment: Mapping[str, Any]) -> Config:
    config = space.config(assignment)
    # The problems have no constraints, because the peers do not support them.
    assert config is not None
    return config


class _Pending:
    """A peer's records of its proposals by config; a config may be in progress twice."""

    def __init__(self) -> None:
        self._records: dict[str, list[Any]] = {}

    def add(self, config: Config, record: Any) -> None:
        self._records.setdefault(config.id, []).append(record)

    def pop(self, config: Config) -> Any:
        return self._records[config.id].pop(0)


class OptunaSearch:
    """An Optuna study in memory.

    Args:
        space: The space to search.
        seed: Seed of the sampler.
        sampler: Seed -> a sampler.
        conditional: Whether only active parameters are suggested, as usual with Optuna. Otherwise
            all are, for samplers that only model parameters that every trial has.
    """

    exhausted = False
    adaptive = True
    rungs: tuple[int, ...] = ()

    def __init__(
        self, space: Space, seed: int, sampler: Callable[[int], Any], *, conditional: bool
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = space
        self._conditional = conditional
        self._pending = _Pending()
        self._study = optuna.create_study(sampler=sampler(seed))

    def ask(self, count: int) -> list[Proposal]:
        """Propose `count` configs."""
        return [Proposal(self._suggested()) for _ in range(count)]

    def _suggested(self) -> Config:
        trial = self._study.ask()
        config = suggested(trial, self._space, conditional=self._conditional)
        self._pending.add(config, trial)
        return config

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Report scores and failures."""
        from optuna.trial import TrialState

        for outcome in outcomes:
            trial = self._pending.pop(outcome.config)
            if outcome.score is None:
                self._study.tell(trial, state=TrialState.FAIL)
            else:
                self._study.tell(trial, outcome.score)

    def restore(self, configs: Sequence[Config], outcomes: Sequence[Outcome]) -> None:
        """Not supported."""
        raise NotImplementedError


def suggested(trial: Any, space: Space, *, conditional: bool = True) -> Config:
    """The config that an Optuna trial suggests; for the arguments see `OptunaSearch`."""
    values: dict[str, Any] = {}
    for parameter in space.parameters:
        if not conditional or _is_active(parameter, values):
            values[parameter.name] = _suggest(trial, parameter)
    return _config(space, values)


def _is_active(parameter: Parameter, values: Mapping[str, Any]) -> bool:
    return all(values.get(name) in accepted for name, accepted in parameter.when.items())


def _suggest(trial: Any, parameter: Parameter) -> Any:
    name, choices, domain = parameter.name, parameter.choices, parameter.domain
    if choices is None:
        assert isinstance(domain, Range)
        if domain.integer:
            return trial.suggest_int(name, int(domain.min), int(domain.max), log=domain.log)
        return trial.suggest_float(name, domain.min, domain.max, log=domain.log)
    if len(choices) == 1:
        return choices[0]
    if all(map(_is_number, choices)):
        return sorted(choices)[trial.suggest_int(name, 0, len(choices) - 1)]
    return trial.suggest_categorical(name, choices)


class KerasTunerSearch:
    """KerasTuner's BayesianOptimizationOracle with its files in a temporary directory.

    Args:
        space: The space to search.
        seed: Seed of the oracle.
        trials: Most trials.
        stock: Whether predictions stay as slow as they are, instead of using search_foreseen.py.
    """

    exhausted = False
    adaptive = True
    rungs: tuple[int, ...] = ()

    def __init__(self, space: Space, seed: int, trials: int, *, stock: bool) -> None:
        import keras_tuner

        self._space = space
        self._pending = _Pending()
        self._asked = 0
        hp = keras_tuner.HyperParameters()
        for parameter in space.parameters:
            _declare(hp, parameter, space)
        self._oracle = keras_tuner.oracles.BayesianOptimizationOracle(
            objective=keras_tuner.Objective("score", "min"),
            max_trials=trials,
            # KerasTuner takes the seed 0 for a random one.
            seed=seed + 1,
            hyperparameters=hp,
            # By default three diverged trainings in a row end a search.
            max_consecutive_failed_trials=trials,
        )
        self._oracle.verbose = 0
        if not stock:
            from search_foreseen import foreseeing

            self._oracle.gpr = foreseeing(self._oracle.gpr)
        self._scratch = tempfile.TemporaryDirectory()
        self._oracle._set_project_dir(self._scratch.name, "search")  # noqa: SLF001

    def ask(self, count: int) -> list[Proposal]:
        """Propose `count` configs, or fewer if the oracle finds no new ones."""
        proposals: list[Proposal] = []
        while len(proposals) < count and not self.exhausted:
            # Each proposal needs its own tuner id: the oracle repeats the pending trial of an id.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                trial = self._oracle.create_trial(f"worker{self._asked}")
            self._asked += 1
            if trial.status != "RUNNING":
                self.exhausted = True
                break
            values = dict(trial.hyperparameters.values)
            numbers = {parameter.name: parameter for parameter in self._space.parameters}
            config = _config(self._space, {n: v for n, v in values.items() if n in numbers})
            self._pending.add(config, trial)
            proposals.append(Proposal(config))
        return proposals

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Report scores and failures."""
        for outcome in outcomes:
            trial = self._pending.pop(outcome.config)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if outcome.score is not None and math.isfinite(outcome.score):
                    self._oracle.update_trial(trial.trial_id, {"score": outcome.score})
                    trial.status = "COMPLETED"
                else:
                    trial.status = "FAILED"
                self._oracle.end_trial(trial)

    def restore(self, configs: Sequence[Config], outcomes: Sequence[Outcome]) -> None:
        """Not supported."""
        raise NotImplementedError


def _declare(hp: Any, parameter: Parameter, space: Space) -> None:
    name, choices, domain = parameter.name, parameter.choices, parameter.domain
    with ExitStack() as scopes:
        for parent, accepted in _conditions(parameter, space):
            scopes.enter_context(hp.conditional_scope(parent, list(accepted)))
        if choices is not None and len(choices) == 1:
            hp.Fixed(name, choices[0])
        elif choices is not None:
            hp.Choice(name, list(choices))
        else:
            assert isinstance(domain, Range)
            sampling = "log" if domain.log else "linear"
            if domain.integer:
                hp.Int(name, int(domain.min), int(domain.max), sampling=sampling)
            else:
                hp.Float(name, domain.min, domain.max, sampling=sampling)


def _conditions(parameter: Parameter, space: Space) -> list[tuple[str, Sequence[Any]]]:
    """A parameter's conditions, after those of the parameters that they name."""
    by_name = {known.name: known for known in space.parameters}
    conditions: list[tuple[str, Sequence[Any]]] = []
    for parent, accepted in parameter.when.items():
        conditions += [*_conditions(by_name[parent], space), (parent, accepted)]
    return conditions


def _optuna(name: str, *, conditional: bool) -> Callable[[Space, int, int], Any]:
    def sampler(seed: int) -> Any:
        import optuna

        with warnings.catch_warnings():
            # Optuna warns that some options are experimental.
            warnings.simplefilter("ignore")
            return getattr(optuna.samplers, name)(seed=seed)

    def search(space: Space, seed: int, _: int) -> OptunaSearch:
        return OptunaSearch(space, seed, sampler, conditional=conditional)

    return search


_KERAS_TUNER = ("keras-tuner", "scikit-learn", "scipy")
#: A function of space, seed and trials that makes the search, and the packages it uses.
_Peer = tuple[Callable[[Space, int, int], Any], tuple[str, ...]]
#: Name -> peer.
PEERS: dict[str, _Peer] = {
    "optuna_tpe": (_optuna("TPESampler", conditional=True), ("optuna",)),
    "optuna_gp": (_optuna("GPSampler", conditional=False), ("optuna", "torch")),
    "keras_tuner": (partial(KerasTunerSearch, stock=False), _KERAS_TUNER),
    STOCK: (partial(KerasTunerSearch, stock=True), _KERAS_TUNER),
}


def make_peer(name: str, space: Space, seed: int, trials: int) -> Any:
    """Make a peer's search.

    Args:
        name: One of PEERS.
        space: The space to search.
        seed: Seed of the search.
        trials: Most trials.
    """
    return PEERS[name][0](space, seed, trials)
