"""The program's model: Keras layers with the seeds that hpsearch gives them.

The layers are those of `hpsearch.layer_types`, written out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hpsearch.driver.script.text import call, imported, joined, literal
from hpsearch.errors import NotSupportedError
from hpsearch.hyperparameters import DEFAULTS, optimizer_settings, widths
from hpsearch.keras_names import INITIALIZERS, OPTIMIZER_CLASSES, SCHEDULE_CLASSES
from hpsearch.layer_types import RESHAPING_ACTIVATIONS, is_own_function, reference_of
from hpsearch.preprocessing import n_features
from hpsearch.seeds import derive
from hpsearch.trial import InputSpec, Recipe, Target

__all__ = ["model_code", "optimizer_code"]

#: Initializers that draw no random numbers.
_FIXED = frozenset({"constant", "identity", "one", "ones", "zero", "zeros"})

_INITIALIZER = '''\
def initializer(seed):
    """Of a layer's kernel."""
    return keras.initializers.get({{"class_name": {name}, "config": {config}}})
'''

_OWN_LAYER = '''\
def layer(function, x, seed, values):
    """What a function of one's own makes of `x`, from whichever values it names."""
    keras.utils.set_random_seed(seed)
    parameters = list(inspect.signature(function).parameters.values())[1:]
    if not any(each.kind is each.VAR_KEYWORD for each in parameters):
        values = {each.name: values[each.name] for each in parameters if each.name in values}
    return function(x, **values)
'''


def model_code(
    values: Mapping[str, Any], seed: int, recipe: Recipe, spec: InputSpec, target: Target
) -> str:
    """Statements that leave `inputs`, `outputs` and `model`.

    Raises:
        NotSupportedError: The model is built by a function of one's own.
    """
    if recipe.model:
        raise NotSupportedError(
            f"model: {recipe.model!r} builds its own model, which is a program already; a script "
            "is written for hpsearch's own MLPs"
        )
    layers = _Layers(values, seed, recipe)
    parts = [layers.initializer()]
    layer_type = str(values.get("layer_type", DEFAULTS["layer_type"]))
    if is_own_function(layer_type) and widths(values):
        parts = [imported(reference_of(layer_type), "own_layer"), _OWN_LAYER, *parts]
    lines = [
        f"keras.utils.set_random_seed({derive(recipe.sweep_seed, seed)})",
        f"inputs = hidden = keras.Input(({n_features(spec)},))",
    ]
    incoming = n_features(spec)
    for number, units in enumerate(widths(values), start=1):
        lines += layers.block(layer_type, number, units, incoming)
        incoming = layers.width(units)
    output = layers.dense(0, target.outputs, activation=recipe.output_activation)
    lines += [f"outputs = {output}(hidden)", "model = keras.Model(inputs, outputs)"]
    return joined([*parts, "\n".join(lines)])


class _Layers:
    """The layers of one model as text."""

    def __init__(self, values: Mapping[str, Any], seed: int, recipe: Recipe) -> None:
        self._values, self._seed, self._recipe = values, seed, recipe
        self._activation = str(self._value("activation"))

    def _value(self, name: str) -> Any:
        return self._values.get(name, DEFAULTS[name])

    def _block_seed(self, layer: int) -> int:
        return derive(self._recipe.sweep_seed, self._seed, layer)

    def width(self, units: int) -> int:
        """Of a block's output: Keras' glu halves it."""
        return units // 2 if self._activation == "glu" else units

    def initializer(self) -> str:
        """The function that gives a kernel's initializer."""
        own = self._value("kernel_initializer")
        named = {"name": own} if isinstance(own, str) else dict(own)
        name = named.pop("name")
        config = {**INITIALIZERS.get(name, {}), **named}
        items = [f"{literal(key)}: {literal(value)}" for key, value in config.items()]
        if name not in _FIXED:
            items.append('"seed": seed')
        return _INITIALIZER.format(name=literal(name), config=f"{{{', '.join(items)}}}")

    def dense(
        self,
        layer: int,
        units: int,
        *,
        activation: str | None = None,
        use_bias: bool = True,
        part: int = 0,
    ) -> str:
        """A Dense layer; layer 0 is the output."""
        named = {"activation": literal(activation)} if activation else {}
        if not use_bias:
            named["use_bias"] = "False"
        named["kernel_initializer"] = f"initializer({derive(self._block_seed(layer), part)})"
        l2 = float(self._value("l2"))
        if l2:
            named["kernel_regularizer"] = f"keras.regularizers.L2({l2!r})"
        return call("keras.layers.Dense", [repr(units)], named)

    def block(self, layer_type: str, layer: int, units: int, incoming: int) -> Iterator[str]:
        """A hidden block, from `x` to `x`."""
        if is_own_function(layer_type):
            yield self._own(layer, units)
        elif layer_type == "batch_norm":
            yield f"hidden = {self.dense(layer, units, use_bias=False)}(hidden)"
            yield "hidden = keras.layers.BatchNormalization()(hidden)"
            yield self._activate()
        elif layer_type == "layer_norm":
            yield f"hidden = {self.dense(layer, units)}(hidden)"
            yield "hidden = keras.layers.LayerNormalization()(hidden)"
            yield self._activate()
        elif layer_type == "residual":
            yield "before = hidden"
            yield from self._activated(layer, units)
            if incoming != self.width(units):
                projection = self.dense(layer, self.width(units), use_bias=False, part=1)
                yield f"before = {projection}(before)"
            yield "hidden = keras.layers.Add()([before, hidden])"
        else:
            yield from self._activated(layer, units)
            if layer_type == "dropout":
                rate, seed = float(self._value("dropout")), derive(self._block_seed(layer), 2)
                yield f"hidden = keras.layers.Dropout({rate!r}, seed={seed})(hidden)"

    def _activated(self, layer: int, units: int) -> Iterator[str]:
        if self._activation in RESHAPING_ACTIVATIONS:
            yield f"hidden = {self.dense(layer, units)}(hidden)"
            yield self._activate()
        else:
            yield f"hidden = {self.dense(layer, units, activation=self._activation)}(hidden)"

    def _activate(self) -> str:
        if self._activation in RESHAPING_ACTIVATIONS:
            return f"hidden = keras.activations.get({literal(self._activation)})(hidden)"
        return f"hidden = keras.layers.Activation({literal(self._activation)})(hidden)"

    def _own(self, layer: int, units: int) -> str:
        offered = {**self._values, "units": units, "activation": self._activation}
        seed = repr(self._block_seed(layer))
        return f"hidden = {call('layer', ['own_layer', 'hidden', seed, literal(offered)])}"


def optimizer_code(values: Mapping[str, Any]) -> str:
    """The optimizer, as an expression."""
    name, settings = optimizer_settings(values)
    named = {key: literal(value) for key, value in settings.items()}
    rate = settings.get("learning_rate")
    if isinstance(rate, Mapping):
        arguments = {key: literal(value) for key, value in rate.items() if key != "name"}
        schedule = f"keras.optimizers.schedules.{SCHEDULE_CLASSES[rate['name']]}"
        named["learning_rate"] = call(schedule, named=arguments)
    elif rate is not None:
        named["learning_rate"] = repr(float(rate))
    return call(f"keras.optimizers.{OPTIMIZER_CLASSES[name]}", named=named)
