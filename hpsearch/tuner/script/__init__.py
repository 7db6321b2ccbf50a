"""A row as a program.

In: a stored trial.
Out: the text of a Keras program that trains it without hpsearch.
Next: `api`.
"""
