"""The driver, which runs sweeps.

In: a sweep and settings.
Out: a complete results directory.
Next: `progress`, which shows what the driver reports.
"""
