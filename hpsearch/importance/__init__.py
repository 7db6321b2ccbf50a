"""How much of the score's variance each hyperparameter and each pair explains.

A functional analysis of variance of what a random forest has learnt from the trials: Hutter, Hoos
and Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter Importance", ICML 2014.
"""

from __future__ import annotations

from hpsearch.importance.analysis import importance
from hpsearch.importance.outcome import Effect, Importance, Share

__all__ = ["Effect", "Importance", "Share", "importance"]
