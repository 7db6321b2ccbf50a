"""Write a trial as a program.

In: a stored execution.
Out: the text of a Keras program that trains it without hpsearch.
Next: `api`.
"""
