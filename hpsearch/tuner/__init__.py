"""The driver, which runs sweeps.

In: a sweep and settings.
Out: a complete results directory.
Next: `revisit`, which goes back to what a run left.
"""
