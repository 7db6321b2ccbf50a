"""Compute a digest of the code that decides what a method of hpsearch proposes.

Any change of that code except comments and docstrings may change proposals, so runs with different
digests must not be mixed.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from hpsearch.search.methods import make_strategy
from hpsearch.space.space import Parameter, Range, Space
from hpsearch.spec.method import MethodSpec

__all__ = ["digest", "modules"]

#: Modules that can affect proposals: the strategies, and the derivation of random numbers.
_WITHIN = ("hpsearch.search.", "hpsearch.space.seeds")
#: The module that sets each method's defaults, in a function named after the method.
_DEFAULTS = "hpsearch.search.methods"
#: The function for methods that only draw.
_DRAWN = "_drawn"
_SPACE = Space((Parameter("x", Range(0.0, 1.0)),))


@cache
def digest(method: str) -> str:
    """Eight hexadecimal digits that identify a method's code."""
    codes = [f"{name} {_code(_tree(name).body)}" for name in modules(method)]
    text = "\n".join([*codes, _code(_defaults(method))])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _defaults(method: str) -> list[ast.stmt]:
    """The definition of the function that makes a method's strategy, and those that it uses."""
    named: dict[str, ast.stmt] = {}
    for node in _tree(_DEFAULTS).body:
        if isinstance(node, ast.FunctionDef):
            named[node.name] = node
        elif isinstance(node, ast.Assign):
            named |= {t.id: node for t in node.targets if isinstance(t, ast.Name)}
    first = f"_{method}"
    found: dict[str, ast.stmt] = {}
    left = [first if first in named else _DRAWN]
    while left:
        name = left.pop()
        if name in named and name not in found:
            found[name] = named[name]
            inside = list(ast.walk(named[name]))
            left += [n.id for n in inside if isinstance(n, ast.Name)]
            # A constant may name another method, which proposes for this one.
            left += [f"_{n.value}" for n in inside if isinstance(n, ast.Constant)]
    return [found[name] for name in sorted(found)]


def modules(method: str) -> list[str]:
    """Names of the modules that decide what a method proposes, apart from its defaults."""
    strategy = make_strategy(MethodSpec(method), _SPACE, trials=100)
    found: set[str] = set()
    left = [type(strategy).__module__]
    # Methods with rungs have another method propose.
    proposer = getattr(strategy, "_proposer", None)
    if proposer is not None:
        left += [type(proposer).__module__, type(getattr(proposer, "history", None)).__module__]
    while left:
        name = left.pop()
        if name not in found and name.startswith(_WITHIN):
            found.add(name)
            left += _imports(name)
    return sorted(found)


def _imports(name: str) -> Iterator[str]:
    for node in ast.walk(_tree(name)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_WITHIN):
            yield str(node.module)


def _code(body: list[ast.stmt]) -> str:
    tree = ast.Module(body, [])
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            del body[0]
    # `ast.dump` differs between versions of Python.
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
