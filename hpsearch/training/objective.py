"""A user's function in place of a model: its scores are the epochs."""

from __future__ import annotations

import numbers
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpsearch.models.problem import METRIC, Objective

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: Generators that halted and may go on in this process; others are run through again.
_MOST_PAUSED = 1_000
_paused: OrderedDict[tuple[str, int], tuple[Objective, Iterator[Any]]] = OrderedDict()


class ObjectiveTrainer:
    """Calls the function for its score, or for an iterator of one score an epoch.

    Args:
        objective: Called once, with a copy of the values.
        values: The config's.
    """

    kind = "function"
    weights_count = None
    model = None

    def __init__(self, objective: Objective, values: Mapping[str, Any]) -> None:
        self._objective = objective
        self._values = values
        self._epoch = 0
        self._scores: Iterator[Any] | None = None

    def run_epoch(self) -> dict[str, float] | None:
        """The next score as `METRIC`; None where there is none.

        Raises:
            TypeError: The function gave something else than a number.
        """
        if self._scores is None:
            given = self._objective(dict(self._values))
            self._scores = given if isinstance(given, Iterator) else iter((given,))
        try:
            score = next(self._scores)
        except StopIteration:
            return None
        self._epoch += 1
        if isinstance(score, bool) or not isinstance(score, numbers.Real):
            raise TypeError(f"the function must give a number, not {type(score).__name__}")
        return {METRIC: float(score)}

    @property
    def _key(self) -> tuple[str, int]:
        values = {name: value for name, value in self._values.items() if name != "epochs"}
        return repr(sorted(values.items(), key=str)), self._epoch

    def state(self) -> tuple[npt.NDArray[np.generic], ...]:
        """Nothing that could be stored; in this process the iterator waits to go on."""
        if self._scores is not None:
            _paused[self._key] = (self._objective, self._scores)
            while len(_paused) > _MOST_PAUSED:
                _paused.popitem(last=False)
        return ()

    def resume(self, epoch: int, state: Sequence[npt.NDArray[np.generic]]) -> None:
        """Goes on after `epoch`, where another process had halted by running through it again."""
        del state
        self._epoch = epoch
        objective, scores = _paused.pop(self._key, (None, None))
        if objective is self._objective:
            self._scores = scores
            return
        self._epoch = 0
        while self._epoch < epoch and self.run_epoch() is not None:
            pass

    def weights(self) -> tuple[npt.NDArray[np.generic], ...]:
        """None."""
        return ()

    def set_weights(self, weights: Sequence[npt.NDArray[np.generic]]) -> None:
        """Nothing to set."""
