"""The rows.

In: files, arrays, frames, functions.
Out: a `Dataset`: encoded, split, fingerprinted.
Next: `models`, which are built for it.
"""
