"""Dense networks in C.

In: an MLP's config, or a Keras model that is one.
Out: the network as the extension in `src` takes it.
Next: `training`, which runs it.
"""
