"""Dense networks in C.

In: an MLP's config, or a custom Keras model that is a dense network.
Out: a description of the network for the extension, whose sources are in `src`, and metrics that
NumPy computes from its predictions.
Next: `training`, which runs the extension.
"""
