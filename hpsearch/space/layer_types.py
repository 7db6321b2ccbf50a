"""The names of layer types; `models.mlp` builds the layers."""

from __future__ import annotations

#: Layer type -> the layers of its hidden block.
DESCRIPTIONS: dict[str, str] = {
    "dense": "Dense, activation",
    "dropout": "Dense, activation, Dropout (0.5 unless `dropout` says otherwise)",
    "batch_norm": "Dense (its bias is the normalisation's), BatchNormalization, activation",
    "layer_norm": "Dense, LayerNormalization, activation",
    "residual": "Dense and activation added to the block's input (projected where widths differ)",
}

#: Activations that change the width of a layer, although Keras' layers assume the same width.
RESHAPING_ACTIVATIONS = frozenset({"glu"})


def is_custom(layer_type: str) -> bool:
    """Check if a layer type names a user's function, as `package.module:function`."""
    return layer_type not in DESCRIPTIONS
