"""Programs: a config as the arguments of a process, and what it tells as a training's epochs.

In: the sweep file of a program; a config and a seed.
Out: what is to be run; the result of an execution.
What a program itself imports is `report.py` and `hook/`.
Next: `workers`, which run trainings of every kind.
"""
