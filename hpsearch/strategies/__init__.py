"""What proposes configs, a method each: plain objects that `ask` and `tell`.

None imports KerasTuner or TensorFlow; `oracles` gives KerasTuner the same proposals.
"""

from __future__ import annotations

from hpsearch.strategies.base import Strategy
from hpsearch.strategies.drawn import Drawn
from hpsearch.strategies.halving import Halving, at_top
from hpsearch.strategies.making import METHODS, Task, make_strategy

__all__ = ["METHODS", "Drawn", "Halving", "Strategy", "Task", "at_top", "make_strategy"]
