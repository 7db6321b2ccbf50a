"""Functions: a user's function as a trial.

In: a function of a config's values, and parameters as in a sweep file.
Out: the result of an execution; an epoch is a score.
Next: `api`, whose `optimize` searches; `asking` has the search whose trials the caller runs.
"""
