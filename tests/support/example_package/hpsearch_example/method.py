"""A method: what proposes configs, and learns from their scores."""

import numpy as np

from hpsearch.search.adaptive import AdaptiveStrategy
from hpsearch.search.methods import StrategyContext

_CHILDREN = 64
_STEP = 0.05


class Evolution(AdaptiveStrategy):
    """The children of the best configs so far, with numbers near theirs and some values new.

    `Adaptive` sees to all else: listed configs first, then random ones, none twice, and a search
    that was interrupted goes on with the proposals that were due.

    Options: `population` (10), how many configs are random, and how many have children;
    `mutation` (0.1), which share of the values is new.
    """

    def __init__(self, task: StrategyContext) -> None:
        self._population = task.options.get("population", 10)
        self._mutation = task.options.get("mutation", 0.1)
        if self._population < 2:
            raise ValueError(f"population must be at least 2, not {self._population}")
        super().__init__(
            task.space, task.listed, goal=task.goal, seed=task.seed, initial=self._population
        )

    def suggest(self, random: np.random.Generator):
        """A config that `history` does not hold; None where no child is new."""
        known = self.history.observations()
        if not len(known.rows):
            return None
        fittest = known.rows[np.argsort(known.losses, kind="stable")][: self._population]
        shape = (_CHILDREN, fittest.shape[1])
        mothers, fathers = fittest[random.integers(len(fittest), size=(2, _CHILDREN))]
        children = np.where(random.random(shape) < 0.5, mothers, fathers)
        # Numbers lie in [0, 1], and near ones are alike; of texts, only another one is new.
        numbers = [dimension.ordered for dimension in self.encoding.dimensions]
        children += random.normal(scale=_STEP, size=shape) * numbers
        fresh = self.encoding.uniform(random.random(shape))
        # NaN: the parent had no use for the value.
        mutated = (random.random(shape) < self._mutation) | np.isnan(children)
        new = self.new_configs(np.where(mutated, fresh, children))
        return next((config for _, config in new), None)
