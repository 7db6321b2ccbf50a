"""Turn tables into figures.

In: a results table and its curves.
Out: report.html, single figures, the importance of hyperparameters.
Next: `results`, which offers them as methods.
"""
