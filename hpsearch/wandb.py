"""W&B's interface for a script that makes its own sweep: `import hpsearch.wandb as wandb`.

Run by hand, `sweep` and `agent` run the sweep. Each trial is the script again, in which `agent`
calls the function once, with the trial's values in `wandb.config`; the rest of W&B's interface is
W&B's own there, or does nothing where it is not installed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hpsearch.errors import InputError

if TYPE_CHECKING:
    from hpsearch.results import Results

_HOOK = Path(__file__).parent / "programs" / "hook"
#: The sweeps of this process, by the ids that `sweep` returned.
_SWEEPS: dict[str, Mapping[str, Any]] = {}


def sweep(sweep: Mapping[str, Any] | Callable[[], Mapping[str, Any]], *_: Any, **__: Any) -> str:
    """Return the id of a sweep, for `agent`.

    Args:
        sweep: The keys of W&B's sweep file, or a function that returns them.
    """
    identity = f"sweep-{len(_SWEEPS) + 1}"
    _SWEEPS[identity] = sweep() if callable(sweep) else sweep
    return identity


def agent(
    sweep_id: str,
    function: Callable[[], Any] | None = None,
    entity: str | None = None,
    project: str | None = None,
    count: int | None = None,
) -> Results:
    """Run a sweep until `count` trials, its cap or its end; running the script again continues it.

    Args:
        sweep_id: What `sweep` returned.
        function: Trains with `wandb.config`; by default the sweep's `program` does.
        entity, project: Not used.
        count: Most trials, besides the sweep's `run_cap`.

    Raises:
        InputError: There is no such sweep, no script to run, or the sweep is wrong.
    """
    del entity, project
    if sweep_id not in _SWEEPS:
        raise InputError(f"agent: there is no sweep {sweep_id!r}; wandb.sweep returns its id")
    raw = dict(_SWEEPS[sweep_id])
    if function is not None:
        raw |= _script()
    caps = [cap for cap in (count, raw.pop("run_cap", None)) if cap is not None]
    if caps:
        raw["run_cap"] = min(caps)
    from hpsearch.api import run  # slow to import

    return run(raw)


def _script() -> dict[str, Any]:
    """Return the keys of a sweep over the running script."""
    main = sys.modules["__main__"]
    file, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if file is None:
        raise InputError(
            "agent: each trial runs the script anew, and there is no script here; write it into a "
            "file, or use hpsearch.optimize"
        )
    program = ["-m", spec.name.removesuffix(".__main__")] if spec is not None else ["${program}"]
    arguments = ["${interpreter}", *program, *sys.argv[1:]]
    return {"name": Path(file).stem, "program": str(Path(file).absolute()), "command": arguments}


def _library() -> ModuleType:
    """Return W&B's package if it is installed, or the module that stands in for it."""
    if find_spec("wandb") is None:
        sys.path.append(str(_HOOK))
        file = _HOOK / "without_wandb" / "wandb.py"
        spec = spec_from_file_location("wandb", file, submodule_search_locations=[])
        assert spec is not None
        assert spec.loader is not None
        sys.modules["wandb"] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules["wandb"])
    return import_module("wandb")


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(_library(), name)


if "HPSEARCH_REPORT" in os.environ:
    sys.modules[__name__] = _library()
