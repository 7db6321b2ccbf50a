"""Which code proposes: a digest of the modules that a search of hpsearch's own comes from.

Comments and docstrings aside, any change of one is another search, whose runs are not to be mixed
with earlier ones.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from hpsearch.space import Parameter, Range, Space
from hpsearch.strategies import make_strategy
from hpsearch.sweep.method import MethodSpec

__all__ = ["digest", "modules"]

#: Beside the strategies, what draws and derives random numbers; spaces and outcomes do neither.
_WITHIN = ("hpsearch.strategies.", "hpsearch.sampling", "hpsearch.seeds", "hpsearch.streams")
#: Where defaults are set; it imports every strategy.
_DEFAULTS = "hpsearch.strategies.making"
_SPACE = Space((Parameter("x", Range(0.0, 1.0)),))


@cache
def digest(method: str) -> str:
    """Eight hexadecimal digits."""
    text = "\n".join(f"{name} {_code(name)}" for name in modules(method))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def modules(method: str) -> list[str]:
    """Names of the modules that decide what a method proposes, with its defaults."""
    strategy = make_strategy(MethodSpec(method), _SPACE, trials=100)
    found, left = {_DEFAULTS}, [type(strategy).__module__]
    # What halves trainings has another method propose to it.
    proposer = getattr(strategy, "_proposer", None)
    if proposer is not None:
        left.append(type(proposer).__module__)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += _imports(name)
    return sorted(found)


def _imports(name: str) -> Iterator[str]:
    for node in ast.walk(_tree(name)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_WITHIN):
            yield str(node.module)


def _code(name: str) -> str:
    tree = _tree(name)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            del body[0]
    # A dump differs from one Python to the next.
    return ast.unparse(tree)


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _tree(name: str) -> ast.Module:
    found = importlib.util.find_spec(name)
    assert found is not None
    assert found.origin is not None
    return ast.parse(Path(found.origin).read_text(encoding="utf-8"))
