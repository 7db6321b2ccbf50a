"""The driver, which runs sweeps and revisits their trials.

In: a sweep and settings.
Out: a complete results directory.
Next: `api`, the functions that users call.
"""
