"""Write a trial as a program.

In: a stored trial.
Out: the text of a Keras program that trains the trial without hpsearch.
Next: `api`.
"""
