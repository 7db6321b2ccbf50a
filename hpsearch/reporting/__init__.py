"""Turn tables into figures.

In: a results table and its curves.
Out: report.html, single figures, the importance of hyperparameters.
Next: `trackers`, which send the rows to other programs.
"""
