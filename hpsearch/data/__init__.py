"""Rows, read, split and encoded.

In: files, arrays, frames, functions.
Out: a `Dataset` with its fingerprint, or a `DataError` that names the place of what cannot be used.
Next: `models`, which builds a model for it.
"""
