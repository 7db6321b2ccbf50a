"""The truth on disk.

In: executions and their results.
Out: sweep.db, and the tables that are derived from it.
Next: `engine`, which fills it.
"""
