"""Layer types: the blocks that a hidden layer can be, built in or a user's function."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from hpsearch.errors import InputError
from hpsearch.space.keras_names import INITIALIZERS
from hpsearch.space.seeds import derive

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Name -> one line for people.
#: What each layer type is, in words.
DESCRIPTIONS: dict[str, str] = {
    "dense": "Dense, activation",
    "dropout": "Dense, activation, Dropout (0.5 unless `dropout` says otherwise)",
    "batch_norm": "Dense (its bias is the normalisation's), BatchNormalization, activation",
    "layer_norm": "Dense, LayerNormalization, activation",
    "residual": "Dense and activation added to the block's input (projected where widths differ)",
}

#: Activations that Keras' layers take for width-preserving although they are not.
RESHAPING_ACTIVATIONS = frozenset({"glu"})


@dataclass(frozen=True)
class Block:
    """What a Dense layer and its company are made from.

    Attributes:
        units: Width of the Dense layer.
        activation: A Keras name.
        dropout: Rate of `dropout` blocks.
        kernel_initializer: A Keras name, or `{name: ..., argument: ...}`; of every Dense kernel.
        l2: Weight of every Dense kernel's squared norm in the loss.
        seed: Of the block's weights and masks.
    """

    units: int
    activation: str
    dropout: float
    kernel_initializer: str | Mapping[str, Any]
    l2: float
    seed: int

    def part_seed(self, part: int) -> int:
        """Seed of one of the block's random parts: 0 the kernel, 1 a projection, 2 a mask."""
        return derive(self.seed, part)

    def dense(
        self,
        units: int | None = None,
        *,
        activation: str | None = None,
        use_bias: bool = True,
        part: int = 0,
    ) -> Any:
        """A `keras.layers.Dense` with the block's initializer and L2."""
        import keras

        return keras.layers.Dense(
            self.units if units is None else units,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=_seeded_initializer(self.kernel_initializer, self.part_seed(part)),
            kernel_regularizer=keras.regularizers.L2(self.l2) if self.l2 else None,
        )


def hidden_block(x: Any, layer_type: str, block: Block, values: Mapping[str, Any]) -> Any:
    """Output of one hidden block.

    Args:
        x: Symbolic input `(batch, width)`.
        layer_type: One of `space.mlp.LAYER_TYPES`, or `package.module:function`.
        block: What it is made from.
        values: The live hyperparameters, offered to a function of one's own.

    Returns:
        A symbolic tensor `(batch, units)`; another width for activations such as glu.

    Raises:
        InputError: The function cannot be loaded, or returns something else than a tensor.
    """
    if not is_custom(layer_type):
        return _BUILD[layer_type](x, block)
    return _own(x, load_function(layer_type), layer_type, block, values)


def is_custom(layer_type: str) -> bool:
    """Whether it names a function of the user's, as `package.module:function`."""
    return layer_type not in _BUILD


def load_function(path: str) -> Callable[..., Any]:
    """The function that `package.module:function` names.

    Raises:
        InputError: If the module cannot be found or has no such function.
    """
    function = load_object(path)
    if not callable(function):
        raise InputError(f"{path}: is not a function but {type(function).__name__}")
    return function  # type: ignore[no-any-return]


def load_object(path: str) -> Any:
    """What `package.module:name` names.

    Raises:
        InputError: If the module cannot be found or has no such name.
    """
    module_name, _, name = path.partition(":")
    try:
        return attrgetter(name)(importlib.import_module(module_name))
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"{path}: cannot be loaded: {error}") from error


def _dense(x: Any, block: Block) -> Any:
    if block.activation in RESHAPING_ACTIVATIONS:
        return _activate(block.dense()(x), block)
    return block.dense(activation=block.activation)(x)


def _dropout(x: Any, block: Block) -> Any:
    import keras

    return keras.layers.Dropout(block.dropout, seed=block.part_seed(2))(_dense(x, block))


def _batch_norm(x: Any, block: Block) -> Any:
    import keras

    # No bias: normalisation cancels it, so its gradient is rounding noise, which adam and rmsprop
    # scale up to whole steps; trainings would then agree across trainers to 1e-5 only.
    x = block.dense(use_bias=False)(x)
    return _activate(keras.layers.BatchNormalization()(x), block)


def _layer_norm(x: Any, block: Block) -> Any:
    import keras

    return _activate(keras.layers.LayerNormalization()(block.dense()(x)), block)


def _residual(x: Any, block: Block) -> Any:
    import keras

    y = _dense(x, block)
    if x.shape[-1] != y.shape[-1]:
        x = block.dense(y.shape[-1], use_bias=False, part=1)(x)
    return keras.layers.Add()([x, y])


_BUILD: dict[str, Callable[[Any, Block], Any]] = {
    "dense": _dense,
    "dropout": _dropout,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "residual": _residual,
}


def _activate(x: Any, block: Block) -> Any:
    import keras

    if block.activation in RESHAPING_ACTIVATIONS:
        # The function, not the layer: as an operation it knows its output's width.
        return keras.activations.get(block.activation)(x)
    return keras.layers.Activation(block.activation)(x)


def _own(
    x: Any, function: Callable[..., Any], where: str, block: Block, values: Mapping[str, Any]
) -> Any:
    import keras

    offered = dict(values)
    fixed = {"units": block.units, "activation": block.activation}
    # The function's layers draw their seeds from the global state: give each block its own.
    keras.utils.set_random_seed(block.seed)
    y = function(x, **(_accepted(function, offered) | fixed))
    if not keras.backend.is_keras_tensor(y):
        raise InputError(f"{where}: must return a Keras tensor, not {type(y).__name__}")
    return y


def _accepted(function: Callable[..., Any], offered: Mapping[str, Any]) -> dict[str, Any]:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return dict(offered)
    names = {
        parameter.name
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    return {name: value for name, value in offered.items() if name in names}


def _seeded_initializer(initializer: str | Mapping[str, Any], seed: int) -> Any:
    """The Keras initializer of that name, or `{name: ..., argument: ...}`; seeded if random."""
    import keras

    arguments = {"name": initializer} if isinstance(initializer, str) else dict(initializer)
    name = arguments.pop("name")
    # With the defaults, since Keras makes no `constant` without its value.
    config = {**INITIALIZERS.get(name, {}), **arguments}
    return with_seed(keras.initializers.get({"class_name": name, "config": config}), seed)


def with_seed(initializer: Any, seed: int) -> Any:
    """A Keras initializer with that seed where it is random, else the same."""
    config = initializer.get_config()
    if "seed" not in config:
        return initializer
    return type(initializer).from_config({**config, "seed": seed})
