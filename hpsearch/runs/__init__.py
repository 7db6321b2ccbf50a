"""Return to earlier runs.

In: results directories.
Out: a trial's model, its score on a split, a repetition of its training, its program; KerasTuner's
    tuner; several directories joined in one.
Next: `results`, which offers them as methods.
"""
