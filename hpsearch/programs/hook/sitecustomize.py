"""Makes `wandb.log` and `run.summary` report a program's metrics to hpsearch, too.

Python imports this file at its start, since a trial's PYTHONPATH begins with its directory. The
program's Python may differ from hpsearch's, so the file imports only the standard library and is
written for Python 3.8.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder

_HERE = os.path.dirname(os.path.abspath(__file__))
_MODULES = ("wandb.sdk.wandb_run", "wandb.sdk.wandb_summary")


class _Finder:
    """Finds W&B's modules that take metrics, and wraps their methods."""

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
            from functools import partial

            from hpsearch_report import announce, followed, tell

            if name.endswith("run"):
                module.Run.__init__ = followed(module.Run.__init__, announce)
                module.Run.log = followed(module.Run.log, tell)
            else:
                # Every assignment calls it; the base class' one also sets nested items.
                module.Summary.update = followed(module.Summary.update, partial(tell, by="summary"))

        spec.loader.exec_module = exec_module
        return spec


def _run_the_next() -> None:
    """Run the `sitecustomize` that this one hides."""
    others = [path for path in sys.path if os.path.abspath(path or ".") != _HERE]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        from importlib.util import module_from_spec

        spec.loader.exec_module(module_from_spec(spec))


if os.environ.get("HPSEARCH_REPORT"):
    sys.meta_path.insert(0, _Finder)
_run_the_next()
