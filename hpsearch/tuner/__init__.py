"""The driver.

In: a sweep and settings.
Out: a results directory that is complete.
Next: `api`, the functions that users call.
"""
