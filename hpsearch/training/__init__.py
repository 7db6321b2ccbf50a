"""Training: whole epochs as one compiled graph.

`follow` and `choose` are pure; TensorFlow is imported by `make_trainer` when it is called.
The process that trains sets TensorFlow's threads (one a worker), not this package.
"""

from __future__ import annotations

from hpsearch.training.base import Trainer
from hpsearch.training.choice import choose, needs_tensorflow
from hpsearch.training.follow import Steps, follow, followed, score_at
from hpsearch.training.make import make_trainer
from hpsearch.training.programs import Programs

__all__ = [
    "Programs",
    "Steps",
    "Trainer",
    "choose",
    "follow",
    "followed",
    "make_trainer",
    "needs_tensorflow",
    "score_at",
]
