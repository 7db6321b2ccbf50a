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
_MODULES = ("wandb.sdk.wandb_run", "wandb.sdk.wandb_summary")
#: Modules on the stack between an import and its finder.
_IMPORTING = (
    *("_frozen_importlib", "_frozen_importlib_external", "importlib"),
    *("importlib._bootstrap", "importlib._bootstrap_external"),
)


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


class _StandInFinder:
    """Finds the stand-in for `wandb` if it is not installed and the program itself imports it.

    A library that looks for `wandb` does not find it.
    """

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "wandb" or not _by_the_program(sys._getframe(1)):  # noqa: SLF001
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
    sys.meta_path.insert(0, _Finder)
    # Last, so that an installed wandb takes precedence.
    sys.meta_path.append(_StandInFinder)
_run_the_next()
