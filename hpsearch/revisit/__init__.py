"""Earlier runs revisited.

In: results directories.
Out: a trial's model, its score on a split, its training again, its program; KerasTuner's tuner;
    several directories as one.
Next: `results`, which has them as methods.
"""
