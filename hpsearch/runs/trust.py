"""Decide whose functions may run: a results directory names functions, and anyone may make one."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from pathlib import Path

from hpsearch.errors import InputError, RefusedError
from hpsearch.space.mlp import is_custom
from hpsearch.spec.rules import REFERENCE
from hpsearch.spec.sweep import Sweep

DATA, MODEL = "its data is read by", "its model is built by"
LAYER, ORACLE = "its layers are built by", "its trials are proposed by"


def roles_of(sweep: Sweep) -> dict[str, str]:
    """Return the user's functions that a sweep names, with the role of each in words."""
    found = {}
    if sweep.data.python is not None:
        found[sweep.data.python] = DATA
    if isinstance(sweep.model, str):
        found[sweep.model] = MODEL
    else:
        found |= dict.fromkeys(filter(is_custom, sorted(sweep.layer_types)), LAYER)
    if sweep.method.is_oracle:
        found[sweep.method.name] = ORACLE
    return found


def trusted(names: str | Collection[str]) -> frozenset[str]:
    """Check the names of functions to trust.

    Raises:
        InputError: A name is not a `package.module:function`.
    """
    given = frozenset([names] if isinstance(names, str) else names)
    for name in sorted(given):
        if not REFERENCE.match(name):
            raise InputError(
                f"trust: must be a function as 'package.module:function', not {name!r}"
            )
    return given


def require_trusted(directory: Path, roles: Mapping[str, str], trust: Collection[str]) -> None:
    """Check that the functions that a results directory names may run.

    Args:
        roles: The result of `roles_of`.
        trust: Names of functions that the user trusts.

    Raises:
        RefusedError: Some are not trusted; the message says how to trust them.
    """
    unknown = {name: role for name, role in roles.items() if name not in trust}
    if not unknown:
        return
    named = " and ".join(f'{role} "{name}"' for name, role in unknown.items())
    options = " ".join(f"--trust {shlex.quote(name)}" for name in unknown)
    if len(unknown) == 1:
        that, it_is, it = "that function", "it is", "it"
    else:
        that, it_is, it = "those functions", "they are", "them"
    raise RefusedError(
        f"{directory}: {named}, and going on would run {that}; if {it_is} yours, add {options} "
        f"(or --sweep FILE, your sweep file that names {it}; in Python, trust={list(unknown)})"
    )
