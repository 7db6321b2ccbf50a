"""The command line.

In: arguments.
Out: the results of `api`'s functions in words, and an exit code.
Next: no room: this is the last one.
"""
