"""KerasTuner: the tuner that drives `run` and `tune`, oracles, and its classes on the engine.

In: a search, or a program written for KerasTuner.
Out: proposals for the engine, and what it trained as KerasTuner's trials.
Next: `hpsearch.tuners`, the public name of the classes.
"""
