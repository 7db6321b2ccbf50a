"""Decide whose functions may run: a results directory names functions, and anyone may make one."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from pathlib import Path

from hpsearch.errors import InputError, RefusedError
from hpsearch.spec.rules import REFERENCE


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
        roles: Names of functions, with the role of each in words.
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
