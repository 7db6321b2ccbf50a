"""The driver, which runs sweeps.

In: a sweep and settings.
Out: a complete results directory.
Next: `trackers`, which send the rows to other programs.
"""
