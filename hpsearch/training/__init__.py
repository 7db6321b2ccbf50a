"""One training.

In: a `Training`, a `Problem` and its arrays.
Out: losses and metrics an epoch, results of trials, weights.
Next: `workers`, where trainings run.
"""
