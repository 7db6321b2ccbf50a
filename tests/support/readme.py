"""The README's blocks of code."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def block(marker: str, language: str, root: Path = ROOT) -> str:
    """The one block after a marker."""
    text = (root / "README.md").read_text(encoding="utf-8")
    pattern = rf"<!-- {re.escape(marker)} -->\n```{language}\n(.*?)^```"
    (found,) = re.findall(pattern, text, re.DOTALL | re.MULTILINE)
    return found
