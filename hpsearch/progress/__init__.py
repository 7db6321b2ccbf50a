"""The progress of a run: a bar on a terminal and in a notebook, lines elsewhere.

In: what the driver reports.
Out: what a user sees of it, safe for a terminal.
Next: `revisit`, whose commands print through the same console.
"""
