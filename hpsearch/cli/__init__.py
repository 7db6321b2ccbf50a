"""The command line.

In: arguments.
Out: what the functions of `api` do, in words, and an exit code.
Next: nobody: this is the last room.
"""
