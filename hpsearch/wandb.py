"""W&B's interface for a script that makes its own sweep: `import hpsearch.wandb as wandb`.

Run by hand, `agent` runs the sweep. Each trial is the script again, in which `agent` calls the
function once, with the trial's values in `wandb.config`, and ends. The rest of the interface is
W&B's own where it is installed, offline unless WANDB_MODE says otherwise; elsewhere a stand-in
knows what a sweep needs, and other calls do nothing.
"""

from __future__ import annotations

import json
import operator
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import chdir
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from hpsearch.errors import InputError

if TYPE_CHECKING:
    from hpsearch.results import Results

_HOOK = Path(__file__).parent / "programs" / "hook"
#: The working directory when this module was imported, in which each trial begins.
_DIRECTORY = Path.cwd()
#: The sweeps of this process, by the ids that `sweep` returned.
_SWEEPS: dict[str, Mapping[str, Any]] = {}
#: The exit status of a trial, once there was an agent; a script has one.
_STATUS: list[int] = []


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
    **options: Any,
) -> Results:
    """Run a sweep until `count` trials, its cap or its end.

    In a trial it calls the function and ends the process.

    Args:
        sweep_id: The id that `sweep` returned.
        function: Trains with `wandb.config`; by default the sweep's `program` does.
        entity, project: Not used.
        count: Most trials, besides the sweep's `run_cap`.
        options: As for `hpsearch.run`: `out`, `workers`, `fresh`, and `anyway_code` to continue
            after an edit of the script.

    Raises:
        InputError: There is no such sweep, no script to run, another one has run, or the sweep is
            wrong.
    """
    del entity, project
    if "HPSEARCH_REPORT" in os.environ:
        _end_trial(function)
    if sweep_id not in _SWEEPS:
        raise InputError(f"agent: there is no sweep {sweep_id!r}; wandb.sweep returns its id")
    if _STATUS:
        raise InputError(
            "agent: this script has run a sweep, and each of its trials ends there; another sweep "
            "needs a script of its own (for more trials, give a larger count)"
        )
    raw = _plain(_SWEEPS[sweep_id])
    if function is not None:
        raw = _script() | {key: raw[key] for key in raw if key not in ("program", "command")}
    if count:
        cap = raw.get("run_cap", count)
        raw["run_cap"] = min(count, cap) if isinstance(cap, int) else cap
    from hpsearch.api import run  # slow to import

    _STATUS.append(0)
    with chdir(_DIRECTORY):
        results = run(raw, **options)
    return replace(results, directory=_DIRECTORY / results.directory)


def _end_trial(function: Callable[[], Any] | None) -> NoReturn:
    """Call the function, and end the process, whatever the script catches."""
    if not _STATUS:
        _STATUS.append(0)
        try:
            if function is not None:
                function()
        except Exception:  # noqa: BLE001 - it is printed, and fails the trial
            traceback.print_exc()
            _STATUS[0] = 1
    sys.exit(_STATUS[0])


def _plain(sweep: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sweep with lists and numbers for tuples and NumPy's values."""
    try:
        plain: dict[str, Any] = json.loads(
            json.dumps(dict(sweep), default=operator.methodcaller("tolist"))
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"sweep: must be a mapping of a sweep file's keys: {error}") from None
    return plain


def _script() -> dict[str, Any]:
    """Return the keys of a sweep over the running script."""
    main = sys.modules["__main__"]
    file, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if file is None:
        raise InputError(
            "agent: each trial runs the script anew, and there is no script here; write it into a "
            "file, or use hpsearch.optimize"
        )
    path = _DIRECTORY / file
    name, program = path.stem, ["${program}"]
    if spec is not None:
        module = spec.name.removesuffix(".__main__")
        name, program = module.rpartition(".")[2], ["-m", module]
    active = os.environ.get("VIRTUAL_ENV") or os.environ.get("CONDA_PREFIX") or sys.prefix
    # The script's own Python, which an environment that is active elsewhere must not replace.
    python = "${interpreter}" if Path(active) == Path(sys.prefix) else sys.executable
    command = [python, *program, *sys.argv[1:]]
    return {"name": name, "program": str(path), "command": command}


def _library() -> ModuleType:
    """Return W&B's package if it is installed, or the module that stands in for it."""
    spec = find_spec("wandb")
    # W&B's directory of runs beside the script looks like a package without a loader.
    if "wandb" not in sys.modules and (spec is None or spec.loader is None):
        sys.path.append(str(_HOOK))
        file = _HOOK / "without_wandb" / "wandb.py"
        spec = spec_from_file_location("wandb", file, submodule_search_locations=[])
        assert spec is not None
        assert spec.loader is not None
        sys.modules["wandb"] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules["wandb"])
    os.environ.setdefault("WANDB_MODE", "offline")
    return import_module("wandb")


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(_library(), name)
