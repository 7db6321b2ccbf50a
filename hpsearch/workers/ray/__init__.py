"""Workers on a Ray cluster.

In: jobs and calls.
Out: the events of `workers.protocol`.
Next: `store`; Ray is imported where one is used, and nowhere else.
"""
