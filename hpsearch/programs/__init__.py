"""Programs: a config as the arguments of a process, and its reports as a training's epochs.

In: a program as plain data; a config and a seed.
Out: the result of an execution.
Programs themselves import `report.py` and `hook/`.
Next: `engine`, which loads it by name.
"""
