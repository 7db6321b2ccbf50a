"""One HTML file that needs nothing else: script, style and data are in it."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.colours import COLOURS, variables
from hpsearch.errors import InputError
from hpsearch.report.payload import Limits, payload_of
from hpsearch.report.source import told_apart
from hpsearch.versions import version_of

if TYPE_CHECKING:
    from hpsearch.report.source import Source

__all__ = ["MOST_BYTES", "render"]

#: Of the whole page; the figures are thinned until it fits.
MOST_BYTES = 6_000_000
_SCRIPTS = ("basics", "model", "figures", "table", "filters", "sections", "main")
#: What of the figures and of the table is left of a large sweep, tried in this order.
_SHARES = (
    *((1.0, 1.0), (0.6, 1.0), (0.35, 1.0), (0.25, 0.7), (0.2, 0.45), (0.15, 0.3), (0.1, 0.2)),
    *((0.06, 0.1), (0.03, 0.05), (0.02, 0.02)),
)


def render(sources: Sequence[Source], *, live: bool = False, inputs: str = "") -> str:
    """The page of one sweep or several.

    Args:
        sources: The sweeps; the page opens with the first.
        live: Whether the page reads its file again every few seconds.
        inputs: A mark of what it was made from, to tell whether it is up to date.

    Raises:
        InputError: Plotly is not installed, or there are more sweeps than fit a page.
    """
    sources = told_apart(sources)
    plotly, script, style = _plotly(), _script(), _style()
    fixed = {
        "policy": _policy(plotly, script),
        "version": html.escape(version_of("hpsearch")),
        "inputs": html.escape(inputs),
        "title": html.escape(", ".join(source.name for source in sources[:3]) + " - hpsearch"),
        "style": style,
        "plotly": plotly,
        "script": script,
    }
    room = (
        MOST_BYTES - sum(len(part.encode()) for part in fixed.values()) - len(_asset("page.html"))
    )
    for share, rows in _SHARES:
        limits = Limits().times(share / len(sources), rows / len(sources))
        data = _json(payload_of(sources, limits, live=live))
        if len(data.encode()) <= room:
            return _filled({**fixed, "payload": data})
    raise InputError(
        f"{len(sources)} sweeps do not fit in one page of {MOST_BYTES // 10**6} MB; report on fewer"
    )


def _filled(parts: dict[str, str]) -> str:
    # Piece by piece, so that nothing that is filled in is searched for further places.
    pieces = _asset("page.html").split("{{")
    filled = [pieces[0]]
    for piece in pieces[1:]:
        name, rest = piece.split("}}", 1)
        filled += [parts[name], rest]
    return "".join(filled)


def _json(data: Any) -> str:
    """JSON that ends no script element and begins none, whatever it says."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(*scripts: str) -> str:
    """No request to anywhere, and no script but these."""
    hashes = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts)
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    return (
        # Plotly compiles the shaders' calls of parallel coordinates, and writes style elements.
        f"default-src 'none'; script-src {allowed} 'unsafe-eval'; style-src 'unsafe-inline'; "
        "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
    )


@cache
def _asset(name: str) -> str:
    return (files("hpsearch.report") / "assets" / name).read_text(encoding="utf-8")


@cache
def _script() -> str:
    parts = "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    return f'(function () {{\n"use strict";\n{parts}}})();\n'


@cache
def _style() -> str:
    """The variables of both themes, then the sheet."""
    rules = [f':root[data-theme="{name}"]{{{variables(name)}}}' for name in COLOURS]
    return "\n".join([*rules, _asset("page.css")])


@cache
def _plotly() -> str:
    """Plotly.js as Plotly for Python ships it, without importing that."""
    found = find_spec("plotly")
    path = Path(str(found and found.origin)).parent / "package_data" / "plotly.min.js"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path}: Plotly's script cannot be read ({error.strerror}); pip install plotly"
        ) from None
    # A script element ends at the first of these, wherever it stands.
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")
