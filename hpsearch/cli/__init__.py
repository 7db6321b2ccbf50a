"""The command line.

In: arguments.
Out: the results of `api`'s functions in words, and an exit code.
Next: nothing; this is the last room.
"""
