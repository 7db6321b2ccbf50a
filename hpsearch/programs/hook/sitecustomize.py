"""Has the Python of a trial's program tell hpsearch what it logs with `wandb.log`.

Python imports this file at its start, since a trial's PYTHONPATH begins with its directory. The
program's Python may be another one than hpsearch's, so it imports only the standard library and is
written for Python 3.8.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder

_HERE = os.path.dirname(os.path.abspath(__file__))
_MODULE = "wandb.sdk.wandb_run"


class _Finder:
    """Finds the module of W&B whose class `Run` logs, and wraps its `log`."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != _MODULE:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            from wandb_log import announced, wrapped

            module.Run.__init__ = announced(module.Run.__init__)
            module.Run.log = wrapped(module.Run.log)

        spec.loader.exec_module = exec_module
        return spec


def _run_the_next() -> None:
    """Run the `sitecustomize` that Python would have found without this one."""
    others = [path for path in sys.path if os.path.abspath(path or ".") != _HERE]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        from importlib.util import module_from_spec

        spec.loader.exec_module(module_from_spec(spec))


if os.environ.get("HPSEARCH_REPORT"):
    sys.meta_path.insert(0, _Finder)
    # Last, so that an installed wandb comes first.
    sys.path.append(os.path.join(_HERE, "without_wandb"))
_run_the_next()
