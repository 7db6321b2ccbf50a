"""The progress of a run: a bar on a terminal and in a notebook, lines elsewhere.

In: the driver's reports.
Out: text for the user, safe for a terminal.
Next: `cli`, which prints through the same console.
"""
