"""Earlier runs revisited.

In: a results directory.
Out: a trial's model, its score on a split, its training again, its program; KerasTuner's tuner.
Next: `results`, which has them as methods.
"""
