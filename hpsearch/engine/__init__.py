"""The engine, which plans trainings, hands them out, and stores their results.

In: a sweep and settings.
Out: a complete results directory.
Next: `runs`, which reads it.
"""
