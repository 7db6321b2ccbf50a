"""Constraints between hyperparameters, in a small expression language that is never eval()ed.

It has numbers, text, names of hyperparameters, `+ - * / // %`, comparisons (chained as in Python),
`in` and `not in` a list, `and`, `or`, `not`; no calls, no indexing, no attributes.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from hpsearch.errors import ConstraintError

_MAX_LENGTH = 1_000
_MAX_DEPTH = 40
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
}
_NODES = (
    *(ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.And, ast.Or),
    *(ast.Name, ast.Load, ast.List, ast.Tuple, ast.Constant),
)
_ALLOWED = "numbers, text, names of hyperparameters, + - * / // %, comparisons, in, and, or, not"


@dataclass(frozen=True)
class Constraint:
    """A parsed constraint; constraints of equal text are equal."""

    text: str
    names: frozenset[str] = field(compare=False)
    _tree: ast.expr = field(compare=False, repr=False)

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Check if `values` satisfy the constraint, or lack one of its names.

        Every element of a list of units must satisfy it. An optimizer stands for its name.

        Raises:
            ConstraintError: The values' types do not fit, as in `"relu" < 3`.
        """
        if any(values.get(name) is None for name in self.names):
            return True
        names = sorted(self.names)
        alternatives = [_alternatives(values[name]) for name in names]
        return all(
            self._holds_for(dict(zip(names, combination, strict=True)))
            for combination in product(*alternatives)
        )

    def _holds_for(self, values: Mapping[str, Any]) -> bool:
        try:
            return bool(_evaluate(self._tree, values))
        except (TypeError, ArithmeticError) as error:
            shown = ", ".join(f"{name} = {value!r}" for name, value in values.items())
            raise ConstraintError(
                f"constraint {self.text!r} cannot be evaluated for {shown}: {error}"
            ) from None


def _alternatives(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, Mapping):
        return [value.get("name")]
    return [value]


def parse(text: str) -> Constraint:
    """Parse one constraint such as `hidden_layers * units <= 600`.

    Raises:
        ConstraintError: The text is not an expression of the language, or has no comparison.
    """
    if len(text) > _MAX_LENGTH:
        raise ConstraintError(f"a constraint has at most {_MAX_LENGTH} characters, not {len(text)}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ConstraintError(
            f"{text!r} is not an expression; write one such as 'hidden_layers * units <= 600'"
        ) from None
    _check(tree, text, depth=0)
    if not isinstance(tree, ast.Compare | ast.BoolOp | ast.UnaryOp):
        raise ConstraintError(f"{text!r} compares nothing; a constraint is true or false")
    names = frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    return Constraint(text, names, tree)


def _check(node: ast.AST, text: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ConstraintError(f"a constraint is nested at most {_MAX_DEPTH} deep")
    is_plain = isinstance(getattr(node, "value", 0), int | float | str)
    if not is_plain or not isinstance(node, (*_NODES, *_OPERATORS)):
        # ast.unparse would recurse as deep as hostile text is nested.
        part = ast.get_source_segment(text.strip(), node) or text
        raise ConstraintError(f"{part!r} is not allowed in a constraint; allowed are {_ALLOWED}")
    for child in ast.iter_child_nodes(node):
        _check(child, text, depth + 1)


def _evaluate(node: ast.expr, values: Mapping[str, Any]) -> Any:
    result: Any
    match node:
        case ast.Constant(value=value):
            result = value
        case ast.Name(id=name):
            result = values[name]
        case ast.List(elts=items) | ast.Tuple(elts=items):
            result = [_evaluate(item, values) for item in items]
        case ast.BoolOp(op=op, values=items):
            outcomes = (bool(_evaluate(item, values)) for item in items)
            result = all(outcomes) if isinstance(op, ast.And) else any(outcomes)
        case ast.UnaryOp(op=op, operand=operand):
            result = _OPERATORS[type(op)](_evaluate(operand, values))
        case ast.BinOp(left=left, op=op, right=right):
            operands = _evaluate(left, values), _evaluate(right, values)
            # Refuse `*` between a text and a number, whose result could take gigabytes.
            if any(isinstance(operand, str | list) for operand in operands):
                raise TypeError("arithmetic needs numbers")
            result = _OPERATORS[type(op)](*operands)
        case ast.Compare():
            result = _compare(node, values)
        case _:
            raise AssertionError(f"parse() let {node!r} through")
    return result


def _compare(node: ast.Compare, values: Mapping[str, Any]) -> bool:
    left = _evaluate(node.left, values)
    for op, comparator in zip(node.ops, node.comparators, strict=True):
        right = _evaluate(comparator, values)
        if not _OPERATORS[type(op)](left, right):
            return False
        left = right
    return True
