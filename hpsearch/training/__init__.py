"""One training.

In: a `Training`, a `Problem` and its arrays.
Out: losses and metrics of each epoch, results of executions, weights.
Next: `workers`, where trainings run.
"""
