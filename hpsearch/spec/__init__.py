"""Sweep files, of models and of programs.

In: a YAML file, a text or a mapping.
Out: a frozen, validated `Sweep` or `ProgramSweep`, or all problems with their lines.
Next: `search`, which proposes configs of its space.
"""
