"""Describe a tuner's search for the engine: its arguments as a request, all else as a sweep."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import keras
import keras_tuner
import numpy as np
import tensorflow as tf
from keras_tuner.src.engine import objective as kt_objective

from hpsearch.custom.fit_arguments import POSITIONS, NotOnEngine, Request, request_of
from hpsearch.custom.shipping import ModelHyperparameters, model_reference
from hpsearch.data.assembly import fingerprint
from hpsearch.data.dataset import Dataset, Split, is_dataset
from hpsearch.data.loading import InMemoryRows
from hpsearch.data.specs import Arrays
from hpsearch.errors import InputError
from hpsearch.kerastuner.arguments import sent
from hpsearch.kerastuner.overrides import UserFit
from hpsearch.spec.rules import clean_name
from hpsearch.spec.sweep import Sweep, model_sweep, sweep_from_mapping, sweep_from_text
from hpsearch.store.store import Store

#: Budget of a search that only its oracle ends.
_ENDLESS = 10**9
#: The rows among the positional arguments of `fit`.
_ROWS = ("x", "y")
Part = bytes | memoryview
#: Keyword arguments that the digest leaves out.
_NO_DATA: Final = frozenset({"epochs", "verbose"})
_SCALARS = bool | int | float | str | bytes | date | np.generic | None


def request_for(
    tuner: keras_tuner.Tuner, args: Sequence[Any], kwargs: Mapping[str, Any], *, own: bool
) -> tuple[Request, keras_tuner.HyperModel | None]:
    """Return the request, and a hypermodel that passes the arguments on if they are no arrays.

    The request holds rows that are arrays. Anything else is pickled for the workers.

    Args:
        own: Whether user code gets the arguments.

    Raises:
        NotOnEngine: The arguments cannot be sent to workers.
    """
    try:
        if own:
            # User code reads the datasets itself, in the workers.
            _require_arrays(args, kwargs)
        return request_of(args, kwargs, own_fit=own), None
    except NotOnEngine as reason:
        return _whole_request(tuner, args, kwargs, own=own, reason=str(reason))


def _require_arrays(args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Check that user code gets the same arguments in a worker as here.

    Raises:
        NotOnEngine: An argument would change.
    """
    if len(args) > len(_ROWS):
        raise NotOnEngine("arguments beyond x and y are given by position")
    for name, value in {**dict(zip(_ROWS, args, strict=False)), **kwargs}.items():
        if name in _ROWS and not isinstance(value, np.ndarray):
            raise NotOnEngine(f"{name} is no NumPy array, and code of the program's own gets it")


def _whole_request(
    tuner: Any, args: Sequence[Any], kwargs: Mapping[str, Any], *, own: bool, reason: str
) -> tuple[Request, keras_tuner.HyperModel]:
    """Return a request without rows, and a hypermodel that holds the arguments.

    Args:
        own: Whether user code gets the arguments.
        reason: Why the engine cannot take the arguments as rows.

    Raises:
        NotOnEngine: The arguments cannot be sent to workers.
    """
    given = dict(kwargs)
    if not own:
        if len(args) > len(POSITIONS):
            raise NotOnEngine(reason)
        given = {**dict(zip(POSITIONS, args, strict=False)), **given, "verbose": 0}
        args = ()
    callbacks = given.pop("callbacks", None) or ()
    callbacks = tuple(callbacks) if isinstance(callbacks, list | tuple) else (callbacks,)
    if not all(isinstance(callback, keras.callbacks.Callback) for callback in callbacks):
        raise NotOnEngine(reason)
    try:
        # Before the file is written: an error here would leave it behind.
        digest = digest_of(args, given)
        project = Path(tuner.project_dir).absolute()
        arguments = sent((tuple(args), given), "the arguments of search", project)
    except NotOnEngine as error:
        raise NotOnEngine(f"{reason}, and {error}") from None
    except InputError as error:
        # The engine's reason comes first, as the user can change it more easily.
        raise NotOnEngine(f"{reason}, and {_in_short(error)}") from None
    hypermodel = UserFit(tuner, len(args), kwargs, own=own, arguments=arguments)
    # User code may turn them into other rows.
    shape = () if own else _row_shape(arguments.load()[1].get("x"))
    row = np.zeros((1, *shape), np.float32)
    arrays = Arrays(row, np.zeros((1, 1), np.float32), row[:0], np.zeros((0, 1), np.float32))
    epochs = given.get("epochs")
    whole = epochs if isinstance(epochs, int) else None
    return Request(arrays, whole, None, callbacks, {}, of=digest), hypermodel


def _in_short(error: InputError) -> str:
    cause = error.__cause__
    said = f"{type(cause).__name__}: {cause}" if cause is not None else str(error)
    return (
        f"the arguments of search cannot be sent to other processes ({said}): a "
        "keras.utils.PyDataset or arrays can"
    )


def _row_shape(x: Any) -> tuple[int, ...]:
    """Return the shape of a row of `x`, for models without an `Input`; empty if unknown."""
    if isinstance(x, keras.utils.PyDataset):
        # Trainings report its errors.
        with contextlib.suppress(Exception):
            x = x[0][0]
    elif is_dataset(x):
        spec = x.element_spec
        x = spec[0] if isinstance(spec, tuple) else spec
    shape = getattr(x, "shape", ())
    shape = () if shape is None else tuple(shape)[1:]
    return shape if all(isinstance(length, int) for length in shape) else ()


def digest_of(args: Sequence[Any], given: Mapping[str, Any]) -> str:
    """Return a digest of the numbers and texts in arguments, except for epochs and the like.

    The digest has only the form of a dataset, because its rows may change.

    Raises:
        NotOnEngine: An argument is of a kind that cannot be compared, or a dataset is endless.
    """
    data = {name: value for name, value in given.items() if name not in _NO_DATA}
    digest = hashlib.sha256()
    for part in _parts([list(args), data]):
        # After its length, so that different divisions give different digests.
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.hexdigest()[:16]


def _parts(value: Any) -> Iterator[Part]:
    value = _plain(value)
    if type(value) in (np.ndarray, np.memmap):
        yield f"{value.dtype}{value.shape}".encode()
        if value.dtype.kind == "O":
            yield from _parts(value.tolist())
        elif value.size and value.itemsize:
            yield np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
    elif isinstance(value, Mapping):
        yield b"mapping %d" % len(value)
        for name, part in sorted(value.items(), key=lambda item: str(item[0])):
            yield str(name).encode()
            yield from _parts(part)
    elif isinstance(value, list | tuple):
        yield b"sequence %d" % len(value)
        for part in value:
            yield from _parts(part)
    elif isinstance(value, _SCALARS):
        yield repr(value).encode()
    else:
        raise NotOnEngine(
            f"a {type(value).__name__} is among the arguments: other processes get arrays, frames, "
            "numbers, texts, tf.data.Dataset and keras.utils.PyDataset, in lists or mappings"
        )


def _plain(value: Any) -> Any:
    """Return an object's values as arrays and lists, if its type is known."""
    if hasattr(value, "to_numpy"):
        names = [str(name) for name in getattr(value, "columns", ())]
        return [names, value.to_numpy()] if names else value.to_numpy()
    if isinstance(value, tf.Tensor | tf.Variable) and hasattr(value, "numpy"):
        return value.numpy()
    if isinstance(value, keras.utils.PyDataset):
        return [type(value).__qualname__, _finite(value.num_batches)]
    if is_dataset(value):
        count = int(value.cardinality())
        endless = count == tf.data.INFINITE_CARDINALITY
        return [repr(value.element_spec), _finite(None if endless else count)]
    return value


def _finite(count: int | None) -> int:
    if count is None:
        raise NotOnEngine("a dataset among the arguments is endless")
    return count


def method_of(tuner: keras_tuner.Tuner) -> Mapping[str, Any]:
    """Return the `method` of a sweep file; the tuner's oracle has a name with a colon."""
    oracle = tuner.oracle
    if isinstance(tuner, keras_tuner.GridSearch):
        return {"name": "grid"}
    if isinstance(tuner, keras_tuner.BayesianOptimization):
        return {"name": "bayesian", **_bayesian(oracle)}
    for name in ("HyperbandOracle", "RandomSearchOracle"):
        if isinstance(oracle, getattr(keras_tuner.oracles, name)):
            return {"name": f"keras_tuner.oracles:{name}"}
    return {"name": model_reference(type(oracle))}


def _bayesian(oracle: Any) -> dict[str, Any]:
    options = {"beta": float(oracle.beta)}
    default = inspect.signature(type(oracle).__init__).parameters["alpha"].default
    if oracle.alpha != default:
        # If omitted, the noise is fitted.
        options["alpha"] = float(oracle.alpha)
    if oracle.num_initial_points is not None:
        options["num_initial_points"] = int(oracle.num_initial_points)
    return options


def sweep_of(tuner: Any, request: Request, found: ModelHyperparameters, model: str) -> Sweep:
    """Return the sweep of a tuner's search.

    Args:
        found: The hyperparameters.
        model: `module:name` of the hypermodel.
    """
    oracle, objective, method = tuner.oracle, tuner.oracle.objective, method_of(tuner)
    raw: dict[str, Any] = {
        "name": clean_name(str(tuner.project_name)),
        "seed": int(oracle.seed),
        "data": {"memory": _described(request.arrays)},
        "model": model,
        "metric": {
            "name": objective.name,
            "goal": "maximize" if objective.direction == "max" else "minimize",
            "epoch": "best",
        },
        "method": dict(method),
        "parameters": _fixed(oracle, request, found),
        "seeds": int(tuner.executions_per_trial),
        "keep": "all",
    }
    if oracle.max_trials and not tuner._hpsearch.asks_the_oracle:
        raw["budget"] = {"trials": int(oracle.max_trials)}
    elif method["name"] != "grid":
        # The oracle ends the search.
        raw["budget"] = {"trials": _ENDLESS}
    return model_sweep(sweep_from_mapping(raw))


def _fixed(oracle: Any, request: Request, declared: ModelHyperparameters) -> dict[str, int]:
    """Return the epochs and batch size of all trials, unless the model declares them."""
    # Hyperband decides the epochs, not `search`.
    epochs = getattr(oracle, "max_epochs", None) or request.epochs
    fixed = {"epochs": epochs, "batch_size": request.batch_size}
    if not declared.custom_fit:
        defaults_of_fit = {"epochs": 1, "batch_size": 32}
        fixed = {name: value or defaults_of_fit[name] for name, value in fixed.items()}
    return {n: int(v) for n, v in fixed.items() if v is not None and n not in declared.defaults}


def summed(objective: Any) -> tuple[tuple[str, int], ...]:
    """Return the metrics in the minimized sum, with their signs; empty for a single metric."""
    if not isinstance(objective, kt_objective.MultiObjective):
        return ()
    directions = objective.name_to_direction
    return tuple((name, 1 if way == "min" else -1) for name, way in directions.items())


def _described(arrays: Arrays) -> dict[str, str]:
    """Return descriptions of the arrays for sweep.yaml."""
    validation = arrays.x_val, arrays.y_val
    return InMemoryRows(arrays.x_train, arrays.y_train, arrays.w_train, validation).described


def dataset_of(request: Request) -> Dataset:
    """Return the arrays as a dataset, without scaling, encoding or standardising them."""
    arrays = request.arrays
    train = Split(arrays.x_train, arrays.y_train, arrays.w_train)
    validation = Split(arrays.x_val, arrays.y_val, arrays.w_val)
    splits = {"train": train, "validation": validation}
    parts = [part.in_fingerprint for part in (*request.parts, *request.inputs)]
    parts += [request.of] if request.of else []
    return Dataset(
        name="memory",
        input=request.input,
        target=request.target,
        train=train,
        validation=validation,
        test=None,
        fingerprint=fingerprint(splits, parts),
    )


def row_shape_in(store: Store) -> tuple[int, ...]:
    """Return the shape of a row of the data that a store's trials used."""
    memory = model_sweep(sweep_from_text(store.facts().sweep)).data.memory
    shape = re.match(r"\(([\d, ]*)\)", (memory or {}).get("x", ""))
    return tuple(int(n) for n in re.findall(r"\d+", shape.group(1) if shape else ""))[1:]
