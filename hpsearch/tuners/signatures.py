"""The signatures of KerasTuner's classes, for `inspect` and completion."""

from __future__ import annotations

import functools
import inspect
from typing import Any, TypeVar

TunerType = TypeVar("TunerType", bound=type)


def like_keras_tuners(ours: TunerType) -> TunerType:
    """Give a class the signature of its KerasTuner parent, with `workers` added."""
    changed: Any = ours
    theirs: Any = next(each for each in ours.__mro__ if each.__module__.startswith("keras_tuner."))
    parameters = list(inspect.signature(theirs.__init__).parameters.values())
    workers = inspect.Parameter("workers", inspect.Parameter.KEYWORD_ONLY, default=None)
    places = [place for place, each in enumerate(parameters) if each.kind is each.VAR_KEYWORD]
    parameters.insert(places[0] if places else len(parameters), workers)
    original = changed.__init__

    @functools.wraps(theirs.__init__)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        original(self, *args, **kwargs)

    changed.__init__ = __init__
    changed.__init__.__signature__ = inspect.Signature(parameters)
    return ours
