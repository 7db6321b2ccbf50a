"""What is asked.

In: a YAML file, a text or a mapping.
Out: a `Sweep`: frozen, checked, every problem told with its line.
Next: `search`, which proposes configs of its space.
"""
