"""Has a program tell hpsearch what it logs with `wandb.log` and sets in `run.summary`.

Python imports this file at its start, since a trial's PYTHONPATH begins with its directory. The
program's Python may be another one than hpsearch's, so it imports only the standard library and is
written for Python 3.8.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder

_HERE = os.path.dirname(os.path.abspath(__file__))
_MODULES = ("wandb.sdk.wandb_run", "wandb.sdk.wandb_summary")


class _Finder:
    """Finds the modules of W&B that take metrics, and wraps what takes them."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in _MODULES:
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            from wandb_log import log_wrapped, summary_wrapped

            if name.endswith("run"):
                module.Run.log = log_wrapped(module.Run.log)
            else:
                # Not that of the base class, by which nested items are set, too.
                module.Summary.update = summary_wrapped(module.Summary.update)

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
