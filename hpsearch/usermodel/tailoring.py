"""A hypermodel with what a tuner adds to it: compile arguments, callbacks, arguments of `fit`."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import keras_tuner

from hpsearch.errors import InputError

__all__ = ["Tailored", "compiled_anew"]


class Tailored(keras_tuner.HyperModel):  # type: ignore[misc]  # KerasTuner has no types
    """Builds and fits as another hypermodel does.

    Args:
        hypermodel: The other one.
        own_fit: Whether models are trained by its `fit`.
        optimizer, loss, metrics: In place of those that a model was compiled with; None keeps them.
        most_weights: A larger model is refused; None for none.
        callbacks: Of each training a copy.
        arguments: Of `fit`, beside the data.
    """

    def __init__(
        self,
        hypermodel: keras_tuner.HyperModel,
        *,
        own_fit: bool,
        optimizer: Any = None,
        loss: Any = None,
        metrics: Any = None,
        most_weights: int | None = None,
        callbacks: Sequence[Any] = (),
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._hypermodel = hypermodel
        #: See `loading.trains_itself`.
        self.own_fit = own_fit
        self._instead = {"optimizer": optimizer, "loss": loss, "metrics": metrics}
        self._most_weights = most_weights
        self._callbacks, self._arguments = list(callbacks), dict(arguments or {})

    def build(self, hp: Any) -> Any:
        """A model of the other hypermodel, compiled with what stands in place of its own.

        Raises:
            InputError: It has too many weights.
        """
        model = self._hypermodel.build(hp)
        if not isinstance(model, keras.Model):
            return model
        compiled_anew(model, **self._instead)
        if self._most_weights and model.built:
            count = sum(math.prod(weight.shape) for weight in model.trainable_weights)
            if count > self._most_weights:
                raise InputError(
                    f"max_model_size: the model has {count} weights, more than {self._most_weights}"
                )
        return model

    def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        """What the other hypermodel's `fit` gives."""
        callbacks = [*copy.deepcopy(self._callbacks), *kwargs.pop("callbacks", ())]
        return self._hypermodel.fit(
            hp, model, *args, callbacks=callbacks, **{**self._arguments, **kwargs}
        )


def compiled_anew(
    model: Any, *, optimizer: Any = None, loss: Any = None, metrics: Any = None
) -> None:
    """Compiles a model with what is given, and with what it had where nothing is."""
    if optimizer is None and loss is None and metrics is None:
        return
    arguments = dict(model._compile_config.config) if model.compiled else {}  # noqa: SLF001
    if optimizer is not None and not isinstance(optimizer, str):
        # Each model needs one of its own.
        optimizer = type(optimizer).from_config(optimizer.get_config())
    instead = {"optimizer": optimizer, "loss": loss, "metrics": copy.deepcopy(metrics)}
    arguments.update((name, value) for name, value in instead.items() if value is not None)
    model.compile(**arguments)
