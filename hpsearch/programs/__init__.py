"""Programs: a config as the arguments of a process, and its reports as a training's epochs.

In: the sweep file of a program; a config and a seed.
Out: a command to run; the result of an execution.
Programs themselves import `report.py` and `hook/`.
Next: `workers`, which run trainings of every kind.
"""
