"""Tree-structured Parzen estimator: where good configs are dense, and others are not.

Our own, after the papers that `parzen` names: Optuna's sampler keeps its state in a study and
draws from one stream of random numbers, so it can neither take up a search without replaying it
nor give proposal k for (seed, k), and its ask grows with all trials' parameters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hpsearch.space import Config, Space
from hpsearch.strategies.adaptive import Adaptive
from hpsearch.strategies.parzen import Parzen

__all__ = ["TPE"]

_GOOD_SHARE = 0.1
_MOST_GOOD = 25
#: Of those that are not good, the latest: an ask costs no more than with so many.
_MOST_OTHERS = 1_000
_ATTEMPTS = 4


class TPE(Adaptive):
    """Of candidates near good configs, the one with the greatest ratio of densities.

    Configs under way, and those that failed, count as not good.

    Args:
        candidates: Drawn for each proposal.
    """

    def __init__(
        self,
        space: Space,
        listed: Sequence[Config] = (),
        *,
        goal: str,
        seed: int,
        initial: int = 10,
        candidates: int = 24,
    ) -> None:
        super().__init__(space, listed, goal=goal, seed=seed, initial=initial)
        self._candidates = candidates

    def suggest(self, random: np.random.Generator) -> Config | None:
        """A config that is not known; None where fewer than two have a score, or none is found."""
        known = self.history.observations()
        finite = int(np.isfinite(known.losses).sum())
        if finite < 2 or not self.encoding.dimensions:
            return None
        order = np.argsort(known.losses, kind="stable")
        count = max(1, min(math.ceil(_GOOD_SHARE * len(order)), _MOST_GOOD, finite - 1))
        others = np.sort(order[count:])[-_MOST_OTHERS:]
        ranks = np.arange(1, count + 1)
        good = Parzen(self.encoding, known.rows[order[:count]], np.log((count + 1) / ranks))
        rest = np.concatenate([known.rows[others], known.pending])
        bad = Parzen(self.encoding, rest, np.ones(len(rest)))
        for attempt in range(_ATTEMPTS):
            points = good.sample(random, self._candidates * 2**attempt)
            rows = self.encoding.live(points)
            ratio = good.log_density(rows) - bad.log_density(rows)
            best_first = points[np.argsort(-ratio, kind="stable")]
            config = next((config for _, config in self.new_configs(best_first)), None)
            if config is not None:
                return config
        return None
