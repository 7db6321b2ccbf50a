"""Custom models: a user's Keras model, or its KerasTuner hypermodel, as a trial.

In: a function of `hp`, or a hypermodel, and the data.
Out: its hyperparameters; the result of a training.
Next: `kerastuner`, whose classes search over such models.
"""
