"""Search spaces.

In: the hyperparameters that a sweep names.
Out: a `Space`, its configs, and the types of executions and their results.
Next: `spec`, which reads hyperparameters from a file.
"""
