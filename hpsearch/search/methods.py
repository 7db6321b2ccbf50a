"""From a method's name and options to a strategy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hpsearch.search.draws import FIXED_METHODS, DrawStrategy
from hpsearch.search.halving import AshaStrategy, HyperbandStrategy, at_top, rungs_below, rungs_of
from hpsearch.search.strategy import Strategy
from hpsearch.space.mlp import DEFAULTS
from hpsearch.space.space import Config, Space
from hpsearch.spec.method import MethodSpec

#: As KerasTuner's Hyperband has it.
_FACTOR = 3
#: Random configs before TPE's densities are asked.
_INITIAL = 10
#: How often, where `min_epochs` does not say: scores after so few epochs that a training would halt
#: once more hardly tell which config is good in the end.
_HALVINGS = 2
#: Trials up to which `auto` is `bayesian`.
_FEW = 200


@dataclass(frozen=True)
class StrategyContext:
    """What a strategy is made for.

    Attributes:
        space: What can vary.
        listed: Configs to try first.
        goal: `maximize` or `minimize`.
        seed: Of the proposals; not negative.
        trials: How many configs the budget allows; None where only the clock ends the search.
        options: Of the method: a built-in one's checked by `sweep.method`, a package's as they are.
    """

    space: Space
    listed: Sequence[Config]
    goal: str
    seed: int
    trials: int | None
    options: Mapping[str, Any]


def _drawn(method: str) -> Callable[[StrategyContext], Strategy]:
    return lambda task: DrawStrategy(method, task.space, task.listed, task.seed)


def _tpe(task: StrategyContext) -> Strategy:
    from hpsearch.search.tpe import TPEStrategy

    return TPEStrategy(
        task.space,
        task.listed,
        goal=task.goal,
        seed=task.seed,
        initial=task.options.get("num_initial_points", _INITIAL),
        candidates=task.options.get("candidates", 24),
    )


def _bayesian(task: StrategyContext) -> Strategy:
    from hpsearch.search.bayesian import BayesianStrategy

    return BayesianStrategy(
        task.space,
        task.listed,
        goal=task.goal,
        seed=task.seed,
        initial=task.options.get("num_initial_points"),
        alpha=task.options.get("alpha"),
        beta=task.options.get("beta"),
    )


def _auto(task: StrategyContext) -> Strategy:
    """Bayesian where the budget is small enough for a Gaussian process, else TPE."""
    few = task.trials is not None and task.trials <= _FEW
    return _bayesian(task) if few else _tpe(task)


def _proposer(task: StrategyContext, default: str = "random") -> Strategy:
    """Where the configs of a halving method come from."""
    maker = _MAKERS[task.options.get("proposals", default)]
    return maker(replace(task, space=at_top(task.space), options={}))


def _top(task: StrategyContext) -> int:
    """The most epochs of the space."""
    parameter = next((p for p in at_top(task.space).parameters if p.name == "epochs"), None)
    return int(DEFAULTS["epochs"] if parameter is None else parameter.at(0.0))


def _rungs(task: StrategyContext, factor: float) -> tuple[int, ...]:
    first = task.options.get("min_epochs")
    if first is None:
        return rungs_below(_top(task), factor, _HALVINGS)
    return rungs_of(_top(task), first, factor)


def _asha(task: StrategyContext) -> Strategy:
    factor = task.options.get("factor", _FACTOR)
    return AshaStrategy(
        _proposer(task),
        _rungs(task, factor),
        goal=task.goal,
        factor=factor,
        brackets=task.options.get("brackets", 1),
        seed=task.seed,
    )


def _hyperband(task: StrategyContext) -> Strategy:
    """With configs that TPE proposes.

    Source: Falkner et al., BOHB: Robust and Efficient Hyperparameter Optimization at Scale (2018).
    """
    if "early_terminate" in task.options:
        return _early_terminate(task, task.options["early_terminate"])
    factor = task.options.get("factor", _FACTOR)
    return HyperbandStrategy(
        _proposer(task, "tpe"),
        _rungs(task, factor),
        goal=task.goal,
        factor=factor,
        iterations=task.options.get("hyperband_iterations"),
    )


def _early_terminate(task: StrategyContext, options: Mapping[str, Any]) -> Strategy:
    """W&B's: rungs from the bottom (`min_iter`) or from the top (`max_iter`, `s`), no barrier.

    W&B stops a run that is not among the best at a rung; here it halts, and goes on if it turns
    out to be among the best.
    """
    factor = options.get("eta", _FACTOR)
    top = _top(task)
    first = options.get("min_iter", 1)
    if "max_iter" in options:
        top = min(top, options["max_iter"])
        first = max(1, round(top / factor ** options.get("s", 1)))
    rungs = rungs_of(top, min(first, top), factor)
    if top < _top(task):
        rungs = (*rungs, _top(task))
    return AshaStrategy(_proposer(task), rungs, goal=task.goal, factor=factor, seed=task.seed)


#: Method -> what makes its strategy. Those that need NumPy import it when they are made.
_MAKERS: dict[str, Callable[[StrategyContext], Strategy]] = {
    **{method: _drawn(method) for method in FIXED_METHODS},
    "tpe": _tpe,
    "bayesian": _bayesian,
    "auto": _auto,
    "asha": _asha,
    "hyperband": _hyperband,
}

#: The methods that have a strategy; `configs` is a list without a method.
STRATEGIES: tuple[str, ...] = tuple(_MAKERS)


def make_strategy(
    method: MethodSpec,
    space: Space,
    listed: Sequence[Config] = (),
    *,
    goal: str = "maximize",
    seed: int = 0,
    trials: int | None = None,
) -> Strategy:
    """The strategy of a method over a space.

    Args:
        listed: Configs to try first; without a method (`configs`), all there is to try.
        goal: `maximize` or `minimize`.
        seed: Of the proposals; not negative.
        trials: How many configs the budget allows; None where only the clock ends the search.

    Raises:
        ValueError: A grid's parameter is continuous.
    """
    task = StrategyContext(space, listed, goal, seed, trials, method.options)
    return _MAKERS[method.name](task)
