"""From a method's name and options to a strategy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpsearch import sampling
from hpsearch.errors import NotSupportedError
from hpsearch.space import Config, Space
from hpsearch.strategies.base import Strategy
from hpsearch.strategies.drawn import Drawn
from hpsearch.sweep.method import MethodSpec

__all__ = ["METHODS", "Task", "make_strategy"]


@dataclass(frozen=True)
class Task:
    """What a strategy is made for.

    Attributes:
        space: What can vary.
        listed: Configs to try first.
        goal: `maximize` or `minimize`.
        seed: Of the proposals; not negative.
        trials: How many configs the budget allows; None where only the clock ends the search.
        options: Of the method, as `sweep.method` checks them.
    """

    space: Space
    listed: Sequence[Config]
    goal: str
    seed: int
    trials: int | None
    options: Mapping[str, Any]


def _drawn(method: str) -> Callable[[Task], Strategy]:
    return lambda task: Drawn(method, task.space, task.listed, task.seed)


#: Method -> what makes its strategy. Those that need NumPy import it when they are made.
_MAKERS: dict[str, Callable[[Task], Strategy]] = {
    **{method: _drawn(method) for method in sampling.METHODS},
}

#: The methods that have a strategy; `configs` is a list without a method.
METHODS: tuple[str, ...] = tuple(_MAKERS)


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
        NotSupportedError: The method has no execution in this version.
        ValueError: A grid's parameter is continuous.
    """
    if method.name not in _MAKERS:
        raise NotSupportedError(
            f"method: {method.name} is not there yet in this version of hpsearch; "
            f"what runs today: {', '.join(name for name in METHODS if name != 'configs')}"
        )
    return _MAKERS[method.name](Task(space, listed, goal, seed, trials, method.options))
