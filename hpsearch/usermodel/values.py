"""KerasTuner's `HyperParameters`, told what is tried, and remembering what else was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras_tuner
from keras_tuner.src.engine.hyperparameters import hp_types

__all__ = ["AnyChoice", "Values"]

Choose = Callable[[Any], Any]


class AnyChoice(hp_types.Choice):  # type: ignore[misc]  # KerasTuner has no types
    """A choice among values that KerasTuner's refuses, or turns into others.

    None, values of several types, lists; truth values stay what they are.
    """

    def __init__(
        self,
        name: str,
        values: Sequence[Any],
        ordered: bool | None = None,
        default: Any = None,
        **kwargs: Any,
    ) -> None:
        del ordered
        super().__init__(name, list(range(len(values))), ordered=False, **kwargs)
        self._values = list(values)
        self._default = default

    @property
    def default(self) -> Any:
        """As KerasTuner says: None where it is one of the values, else the first."""
        if self._default is not None:
            return self._default
        return None if None in self._values else self._values[0]


# KerasTuner copies hyperparameters by way of their configs, and finds the classes here.
hp_types.ALL_CLASSES.setdefault(AnyChoice.__name__, AnyChoice)


class Values(keras_tuner.HyperParameters):  # type: ignore[misc]
    """What a model is built with.

    Args:
        values: By name; those that live.
        choose: The value of a hyperparameter that has none.

    Attributes:
        late: What was chosen.
        read: Names that were read, by `get` or `[]`.
    """

    def __init__(self, values: Mapping[str, Any], choose: Choose) -> None:
        super().__init__()
        self.values = dict(values)
        self.late: dict[str, Any] = {}
        self.read: set[str] = set()
        self._choose = choose

    def get(self, name: str) -> Any:
        """The value of a name.

        Raises:
            KeyError, ValueError: It has none.
        """
        self.read.add(self._get_name(name))
        return super().get(name)

    def Choice(  # noqa: N802, PLR0917 - KerasTuner's
        self,
        name: str,
        values: Sequence[Any],
        ordered: bool | None = None,
        default: Any = None,
        parent_name: str | None = None,
        parent_values: Any = None,
    ) -> Any:
        """KerasTuner's, for any values."""
        types = {type(value) for value in values}
        if len(types) == 1 and not types & {bool, type(None), list, tuple, dict}:
            return super().Choice(name, values, ordered, default, parent_name, parent_values)
        with self._maybe_conditional_scope(parent_name, parent_values):
            return self._retrieve(
                AnyChoice(
                    self._get_name(name), values, default=default, conditions=self._conditions
                )
            )

    def _register(self, hyperparameter: Any, overwrite: bool = False) -> Any:
        name = hyperparameter.name
        missing = name not in self.values
        if missing and self._conditions_are_active(hyperparameter.conditions):
            self.values[name] = self.late[name] = self._choose(hyperparameter)
        return super()._register(hyperparameter, overwrite)
