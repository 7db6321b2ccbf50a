"""The networks.

In: a config and a `Problem`.
Out: a compiled Keras model, and the model for users that takes raw rows.
Next: `native`, which trains those that C can train.
"""
