"""Workers on a Ray cluster.

In: jobs and calls.
Out: the events of `workers.protocol`.
Next: `engine`, which loads it by name.
"""
