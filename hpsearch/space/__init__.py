"""Search spaces.

In: the hyperparameters that a sweep names.
Out: a `Space`, its configs, and the types of a trial from its number to its result.
Next: `spec`, which reads hyperparameters from a file.
"""
