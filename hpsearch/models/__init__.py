"""The networks.

In: a config and a `Problem`.
Out: a compiled Keras model, and the full model, which takes raw rows.
Next: `native`, which describes networks to the trainer in C.
"""
