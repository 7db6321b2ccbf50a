"""Load a trial's model from its file, including the user's layers, metrics and losses."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from pathlib import Path
from typing import Any

from hpsearch.data.loading import Loader
from hpsearch.errors import InputError
from hpsearch.models.problem import Problem
from hpsearch.revisit.rows import StoredRun, Which, open_run
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.provenance import stored_sweep
from hpsearch.store.store import Store
from hpsearch.wording import in_words

_UNREADABLE = (OSError, ValueError, TypeError, LookupError)
#: Packages whose classes Keras finds itself or saves as plain data.
_KNOWN = frozenset({"builtins", "keras", "numpy", "tensorflow"})


def load_model(
    path: Path, directory: Path, load: Loader | None = None, trust: Collection[str] = ()
) -> Any:
    """Load a model's file, including classes that are not registered with Keras.

    These classes are found in a model that the run's function builds again.

    Args:
        path: A file that takes raw rows.
        directory: The run that made it.
        load, trust: As for `open_run`.

    Raises:
        InputError: Keras cannot load it.
        RefusedError: The store is damaged; or as for `open_run`, if the user built the model.
    """
    import keras  # slow to import

    try:
        return keras.models.load_model(path, safe_mode=True)
    except _UNREADABLE as error:
        why = in_words(error)
    if _has_own_model(directory):
        own = _own_objects(open_run(directory, load, trust))
        try:
            return keras.models.load_model(path, own, safe_mode=True)
        except _UNREADABLE as error:
            why = in_words(error)
    raise InputError(f"{path}: Keras cannot load it: {why}")


def _has_own_model(directory: Path) -> bool:
    where = ResultsDirectory(directory)
    if not where.store.exists():
        return False
    with Store(where.store, read_only=True) as store:
        return isinstance(stored_sweep(store.facts(), where).model, str)


def _own_objects(run: StoredRun) -> dict[str, Any]:
    """Return the classes and functions of the best trial's model by name, except Keras'."""
    import keras

    from hpsearch.models.mlp import build_model  # imports Keras

    execution, _ = run.scored(Which())
    problem = Problem(run.recipe, run.dataset.input, run.dataset.target)
    model = build_model(problem, execution.config.trained, execution.seed)
    compiled = getattr(model, "_compile_config", None)
    parts = [*model._flatten_layers(), *keras.tree.flatten(compiled.config if compiled else {})]  # noqa: SLF001 - the public forms are JSON
    parts += [value for part in parts for value in getattr(part, "__dict__", {}).values()]
    found: dict[str, Any] = {}
    for part in parts:
        kind = part if inspect.isclass(part) or inspect.isfunction(part) else type(part)
        if kind.__module__.partition(".")[0] not in _KNOWN:
            found |= {kind.__name__: kind, keras.saving.get_registered_name(kind): kind}
    return found
