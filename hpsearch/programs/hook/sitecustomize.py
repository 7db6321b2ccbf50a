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
_STAND_IN = os.path.join(_HERE, "without_wandb", "wandb.py")
_LIBRARY = os.path.dirname(os.__file__) + os.sep
_MODULES = (
    *("wandb.sdk.wandb_run", "wandb.sdk.wandb_summary"),
    *("wandb.sdk.wandb_sweep", "wandb.wandb_agent"),
)
#: Modules on the stack between an import and its finder.
_IMPORTING = (
    *("_frozen_importlib", "_frozen_importlib_external", "importlib"),
    *("importlib._bootstrap", "importlib._bootstrap_external"),
)


class _Finder:
    """Finds W&B's modules that take metrics or run agents, and wraps their methods."""

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

            from hpsearch_report import agent, announce, define, followed, sweep, tell

            if name.endswith("sweep"):
                module.sweep = sweep
            elif name.endswith("agent"):
                module.agent = agent
            elif name.endswith("run"):
                followers = {"__init__": announce, "log": tell, "define_metric": define}
                for method in followers.keys() & vars(module.Run).keys():
                    call = followed(getattr(module.Run, method), followers[method])
                    setattr(module.Run, method, call)
            else:
                # Every assignment calls it; the base class' one also sets nested items.
                module.Summary.update = followed(module.Summary.update, partial(tell, by="summary"))

        spec.loader.exec_module = exec_module
        return spec


class _StandInFinder:
    """Finds the stand-in for `wandb` if it is not installed and the program itself imports it.

    A library that looks for `wandb` does not find it, unless it would find W&B's directory.
    """

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != "wandb":
            return None
        finders = (f for f in sys.meta_path if f is not cls and hasattr(f, "find_spec"))
        found = [spec for spec in (f.find_spec(name, path, target) for f in finders) if spec]
        # W&B's directory of runs beside the script looks like a package without a loader.
        is_installed = any(spec.loader is not None for spec in found)
        if is_installed or not (found or _by_the_program(sys._getframe(1))):  # noqa: SLF001
            return None
        from importlib.util import spec_from_file_location

        # As a package, so that importing a missing part raises ModuleNotFoundError.
        return spec_from_file_location(name, _STAND_IN, submodule_search_locations=[])


def _by_the_program(frame) -> bool:
    """Check if a frame, or the one that imports through it, is neither a library's nor Python's."""
    while frame is not None and frame.f_globals.get("__name__") in _IMPORTING:
        frame = frame.f_back
    if frame is None:
        return False
    if frame.f_globals.get("__name__") == "__main__":
        return True
    file = frame.f_code.co_filename
    packages = "site-packages" in file or "dist-packages" in file
    return not packages and not file.startswith((_LIBRARY, "<frozen "))


def _run_the_next() -> None:
    """Run the `sitecustomize` that this one hides."""
    others = [path for path in sys.path if os.path.abspath(path or ".") != _HERE]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        from importlib.util import module_from_spec

        spec.loader.exec_module(module_from_spec(spec))


if os.environ.get("HPSEARCH_REPORT"):
    sys.meta_path[:0] = [_Finder, _StandInFinder]
_run_the_next()
