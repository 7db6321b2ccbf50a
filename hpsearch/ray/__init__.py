"""Workers on a Ray cluster.

In: jobs and calls.
Out: the events of `workers.protocol`.
Next: `store`. Other engines do not import Ray.
"""
