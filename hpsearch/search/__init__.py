"""Search methods, which propose configs.

In: a space, and the outcomes so far.
Out: proposals: configs, and how many epochs to train each.
Next: `data`, on which they train.
"""
