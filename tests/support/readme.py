"""The documents' blocks of code."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Every document that users read.
DOCUMENTS = [
    ROOT / "README.md",
    *sorted(ROOT.glob("sweeps/*.md")),
    *sorted(ROOT.glob("experiments/README.md")),
    *sorted(ROOT.glob("hpsearch/**/README.md")),
]


def block(marker: str, language: str, root: Path = ROOT) -> str:
    """The one block after a marker, in whichever document it is."""
    pattern = rf"<!-- {re.escape(marker)} -->\n```{language}\n(.*?)^```"
    texts = [
        (root / document.relative_to(ROOT)).read_text(encoding="utf-8") for document in DOCUMENTS
    ]
    (found,) = re.findall(pattern, "\n".join(texts), re.DOTALL | re.MULTILINE)
    return found


def blocks(document: str, language: str) -> list[str]:
    """All blocks of a language in a document, given by its path from the root."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
