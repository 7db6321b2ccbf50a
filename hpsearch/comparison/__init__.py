"""Turn tables into verdicts.

In: results tables, of hpsearch or of other programs.
Out: which table is better, by how much, how sure, and why.
Next: `reporting`, which draws tables.
"""
