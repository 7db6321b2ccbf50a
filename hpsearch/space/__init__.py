"""What can vary.

In: the hyperparameters that a sweep names.
Out: a `Space`, its configs, and each trial's way from number to result.
Next: `spec`, which reads them from a file.
"""
