"""Sweep files.

In: a YAML file, a text or a mapping.
Out: a frozen, validated `Sweep`, or all problems with their lines.
Next: `search`, which proposes configs of its space.
"""
