"""Make the strategy of a method from its name and options."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from hpsearch.search.draws import DrawStrategy
from hpsearch.search.halving import AshaStrategy, HyperbandStrategy, at_top, rungs_below, rungs_of
from hpsearch.search.strategy import Strategy
from hpsearch.space.mlp import DEFAULTS
from hpsearch.space.space import ENDLESS, Config, Space
from hpsearch.spec.method import METHODS, MethodSpec

if TYPE_CHECKING:
    from hpsearch.search.adaptive import AdaptiveStrategy
    from hpsearch.search.prior import Study

_Learner = TypeVar("_Learner", bound="AdaptiveStrategy")
#: The factor of KerasTuner's Hyperband.
_FACTOR = 3
#: How often a training halts below the top, unless `min_epochs` is given. `hyperband` has brackets
#: that begin higher, for configs that are bad at first; `asha` has none, and so halts later.
_HALVINGS = {"hyperband": 2, "asha": 1}
#: `asha` draws one in this many new configs at random: if scores at rungs mislead, so does a model
#: of them.
_RANDOM_EVERY = 4


@dataclass(frozen=True)
class _Search:
    """The arguments of `make_strategy`, and the method's checked options."""

    space: Space
    listed: Sequence[Config]
    goal: str
    seed: int
    proposer: str
    options: Mapping[str, Any]
    kinds: Collection[str]


def _study(search: _Search) -> Study | None:
    """Return the study if it covers the hyperparameters and the options do not decline it."""
    asked = search.options.get("prior", "mlp" if search.space.kind.is_network else "none")
    if asked == "none":
        return None
    from hpsearch.search.prior import is_known, is_of_layers, shipped

    # A program's `learning_rate` may be one of trees.
    certain = search.space.kind.is_predefined or "prior" in search.options
    varied = (parameter.name for parameter in search.space.parameters if parameter.varies)
    if not any(map(is_known if certain else is_of_layers, varied)):
        return None
    return shipped().of(search.kinds) if search.kinds else shipped()


def _learner(search: _Search, kind: type[_Learner]) -> _Learner:
    return kind(
        search.space,
        search.listed,
        goal=search.goal,
        seed=search.seed,
        initial=search.options.get("num_initial_points"),
        study=_study(search),
    )


def _tpe(search: _Search) -> AdaptiveStrategy:
    # SciPy is slow to import.
    from hpsearch.search.tpe import TPEStrategy

    strategy = _learner(search, TPEStrategy)
    strategy.candidates = search.options.get("candidates", strategy.candidates)
    return strategy


def _bayesian(search: _Search) -> AdaptiveStrategy:
    # SciPy is slow to import.
    from hpsearch.search.bayesian import BayesianStrategy

    strategy = _learner(search, BayesianStrategy)
    strategy.alpha, strategy.beta = search.options.get("alpha"), search.options.get("beta")
    return strategy


def _proposer(search: _Search, rungs: tuple[int, ...], *, random_every: int = 0) -> Strategy:
    """Make the strategy that proposes the configs of a halving method.

    Args:
        random_every: One in this many of a model's proposals is random, and the others have the
            model's name; 0 for none.
    """
    name = search.proposer
    prior = {"prior": search.options["prior"]} if "prior" in search.options else {}
    search = replace(search, space=at_top(search.space), options=prior)
    if METHODS[name].draws:
        return DrawStrategy(name, search.space, search.listed, search.seed)
    from hpsearch.search.adaptive import EveryRung, HighestRung

    tpe = name == "tpe"
    strategy = _tpe(search) if tpe else _bayesian(search)
    history = HighestRung if tpe else EveryRung
    strategy.history = history(strategy.encoding, rungs, maximize=search.goal == "maximize")
    if random_every:
        strategy.random_every, strategy.by = random_every, name
    return strategy


#: Most rungs of a program, whose number of epochs may be unknown.
_MOST_RUNGS = 20


def _top(search: _Search) -> int:
    """Return the largest `epochs` of the space."""
    if not search.space.kind.has_budget:
        return search.space.most_epochs or ENDLESS
    parameter = next((p for p in at_top(search.space).parameters if p.name == "epochs"), None)
    return int(DEFAULTS["epochs"] if parameter is None else parameter.at(0.0))


def _rungs(search: _Search, factor: float, halvings: int) -> tuple[int, ...]:
    first, top = search.options.get("min_epochs"), _top(search)
    below = rungs_below(top, factor, halvings)
    return _to_the_end(search, below if first is None else rungs_of(top, first, factor))


def _to_the_end(search: _Search, rungs: tuple[int, ...]) -> tuple[int, ...]:
    """Replace a program's last rung by its own end, at which it is not halted."""
    if search.space.kind.has_budget:
        return rungs
    return (*rungs[:-1][:_MOST_RUNGS], ENDLESS)


def _asha(search: _Search) -> Strategy:
    factor = search.options.get("factor", _FACTOR)
    rungs = _rungs(search, factor, _HALVINGS["asha"])
    return AshaStrategy(
        _proposer(search, rungs, random_every=_RANDOM_EVERY),
        rungs,
        goal=search.goal,
        factor=factor,
        brackets=search.options.get("brackets", 1),
        seed=search.seed,
    )


def _hyperband(search: _Search) -> Strategy:
    """Make Hyperband; with configs of TPE, it is BOHB.

    Source: Falkner et al., BOHB: Robust and Efficient Hyperparameter Optimization at Scale (2018).
    """
    if "early_terminate" in search.options:
        return _early_terminate(search, search.options["early_terminate"])
    factor = search.options.get("factor", _FACTOR)
    rungs = _rungs(search, factor, _HALVINGS["hyperband"])
    return HyperbandStrategy(
        _proposer(search, rungs),
        rungs,
        goal=search.goal,
        factor=factor,
        iterations=search.options.get("hyperband_iterations"),
    )


def _early_terminate(search: _Search, options: Mapping[str, Any]) -> Strategy:
    """Make W&B's Hyperband: asynchronous, rungs by `min_iter` or by `max_iter` and `s`.

    W&B stops a run that is not among the best at a rung; here the run halts, and continues if it
    later is among the best.
    """
    factor = options.get("eta", _FACTOR)
    top = _top(search)
    first = options.get("min_iter", 1)
    if "max_iter" in options:
        top = min(top, options["max_iter"])
        first = max(1, round(top / factor ** options.get("s", 1)))
    rungs = rungs_of(top, min(first, top), factor)
    if "max_iter" in options and not search.space.kind.has_budget:
        # W&B stops no run after its last band.
        rungs = (*(rung for rung in rungs if rung < top), ENDLESS)
    elif top < _top(search):
        rungs = (*rungs, _top(search))
    else:
        rungs = _to_the_end(search, rungs)
    return AshaStrategy(
        _proposer(search, rungs), rungs, goal=search.goal, factor=factor, seed=search.seed
    )


#: Method that uses scores -> the function that makes its strategy.
_MAKERS: dict[str, Callable[[_Search], Strategy]] = {
    "tpe": _tpe,
    "bayesian": _bayesian,
    "asha": _asha,
    "hyperband": _hyperband,
}


def make_strategy(
    method: MethodSpec,
    space: Space,
    listed: Sequence[Config] = (),
    *,
    goal: str = "maximize",
    seed: int = 0,
    trials: int | None = None,
    kinds: Collection[str] = (),
) -> Strategy:
    """Make the strategy of a method over a space.

    Args:
        listed: Configs to try first; without a method (`configs`), the only ones.
        seed: Seed of the proposals; not negative.
        trials: The number of configs that the budget allows; None if only time ends the search.
        kinds: The kinds of score, for a prior: some of `prior.KINDS`; empty if unknown.

    Raises:
        ValueError: A grid's parameter is continuous.
    """
    if method.draws:
        return DrawStrategy(method.name, space, listed, seed)
    proposer = method.proposer(trials)
    search = _Search(space, listed, goal, seed, proposer, method.options, kinds)
    return _MAKERS[method.name if method.halves else proposer](search)
