"""Stored runs.

In: results directories.
Out: a trial's model, its score on a split, its training again, a program that trains it; several
    directories joined in one.
Next: the annexes, and `results`, which offers these as methods.
"""
