"""Rows, read, split and encoded.

In: files, arrays, frames, functions.
Out: a `Dataset` with its fingerprint.
Next: `models`, which builds a model for it.
"""
