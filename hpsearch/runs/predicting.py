"""Load a trial's model, the user's layers, metrics and losses included, and predict new rows."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpsearch.data.arrays import as_frame, as_supported
from hpsearch.data.columns import parse_columns
from hpsearch.data.csvfile import read_rows
from hpsearch.data.dataset import Inputs, n_rows, packed, require_finite, unpacked
from hpsearch.errors import InputError, RefusedError
from hpsearch.models.model_file import ModelFile
from hpsearch.models.problem import Problem
from hpsearch.runs.trial import Source, Which, model_file, open_run
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.provenance import stored_sweep
from hpsearch.store.store import Store
from hpsearch.training.subjects import subject_of
from hpsearch.wording import error_text, in_words, quoted

if TYPE_CHECKING:
    import pandas as pd

_BATCH_ROWS = 1024
_UNREADABLE = (OSError, ValueError, TypeError, LookupError)
#: Packages whose classes Keras finds itself or saves as plain data.
_KNOWN = frozenset({"builtins", "keras", "numpy", "tensorflow"})


def load_model(path: Path, source: Source) -> Any:
    """Load a model's file, including classes that are not registered with Keras.

    These classes are found in a model that the run's function builds again.

    Args:
        path: A file that takes raw rows.

    Raises:
        RefusedError: The store is damaged; or as for `open_run`, if the user built the model.
    """
    import keras  # slow to import

    ModelFile.require_bounded(path)
    why = ""
    for objects in (dict, partial(_own_objects, source)):
        try:
            return keras.models.load_model(path, objects(), safe_mode=True)
        except _UNREADABLE as error:
            why = in_words(error)
    raise InputError(f"{path}: Keras cannot load it: {why}")


def _own_objects(source: Source) -> dict[str, Any]:
    """Return the classes and functions of a custom model by name, except Keras'."""
    import keras

    where = ResultsDirectory(source.directory)
    if not where.store.exists():
        return {}
    with Store(where.store, read_only=True) as store:
        if not stored_sweep(store.facts(), where).kind.is_model:
            return {}
    run = open_run(source)
    execution, _ = run.scored(Which())
    problem = Problem(run.recipe, run.dataset.input, run.dataset.target)
    model = subject_of(run.sweep.kind).build(problem, execution.config.trained, execution.seed)
    compiled = getattr(model, "_compile_config", None)
    parts = [*model._flatten_layers(), *keras.tree.flatten(compiled.config if compiled else {})]  # noqa: SLF001 - the public forms are JSON
    parts += [value for part in parts for value in getattr(part, "__dict__", {}).values()]
    objects: dict[str, Any] = {}
    for part in parts:
        kind = part if inspect.isclass(part) or inspect.isfunction(part) else type(part)
        if kind.__module__.partition(".")[0] not in _KNOWN:
            objects |= {kind.__name__: kind, keras.saving.get_registered_name(kind): kind}
    return objects


def predictor_of(source: Source, which: Which) -> Predictor:
    """Load a trial's model; the best one's is read from best.keras.

    Args:
        source: Its directory may also be the file of a model, which has one only.

    Raises:
        RefusedError: As for `export_model`.
    """
    given = source.directory
    is_file = given.suffix == ".keras" and not given.is_dir()
    if is_file and not given.exists():
        raise InputError(f"{given}: no such file")
    if is_file and which != Which():
        raise InputError(f"{given}: is one model, so leave out {which}")
    with nullcontext(given) if is_file else model_file(source, which) as path:
        model = load_model(path, source)
        file = ModelFile.read(path)
    if file is None:
        then = "predict with Keras" if is_file else "remove it, and run the sweep again"
        raise RefusedError(
            f"{path}: is not as a run writes it: it does not say what its rows and outputs are; "
            f"{then}"
        )
    return Predictor(model, file)


@dataclass(frozen=True)
class Predictor:
    """Predicts rows that look like the sweep's before preprocessing."""

    model: Any
    known: ModelFile

    def labels(self, rows: Any) -> npt.NDArray[Any]:
        """Return the label of each row; for regression, the predicted values.

        Args:
            rows: As in `Results.predict`.
        """
        return self._labels_of(self._outputs(rows))

    def _labels_of(self, outputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
        classes = self.known.classes
        if not classes:
            return outputs.squeeze(axis=1) if outputs.shape[1:] == (1,) else outputs
        if outputs.shape[1] == 1:
            logits = getattr(self.model.loss, "from_logits", False)
            places = (outputs[:, 0] > (0.0 if logits else self.known.threshold)).astype(int)
        else:
            places = outputs.argmax(axis=1)
        labels: npt.NDArray[Any] = self._labels()[places]
        return labels

    def _labels(self) -> npt.NDArray[Any]:
        """The classes as labels: numbers and booleans by type, everything else as text."""
        classes = self.known.classes
        if classes == ("False", "True"):
            return np.array([False, True])
        if not self.known.numbers:
            return np.array(classes, object)
        try:
            return np.array(list(map(int, classes)))
        except ValueError:
            return np.array(list(map(float, classes)))

    def probabilities(self, rows: Any) -> npt.NDArray[np.float32]:
        """Return the probability of each class, `(n_samples, n_classes)`."""
        self._require_classes()
        return self._probabilities_of(self._outputs(rows))

    def _require_classes(self) -> None:
        if not self.known.classes:
            raise InputError(f"there are no classes: the task is {self.known.task}; use predict")

    @staticmethod
    def _probabilities_of(outputs: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        if ((outputs < 0) | (outputs > 1)).any():
            raise InputError("the model's outputs are no probabilities: some are not in 0..1")
        if outputs.shape[1] == 1:
            outputs = np.concatenate([1 - outputs, outputs], axis=1)
        return np.asarray(outputs, np.float32)

    def table(
        self, path: Path, *, probabilities: bool = False, key: str | None = None
    ) -> pd.DataFrame:
        """Return the predictions for the rows of a CSV file, one line for each row.

        Args:
            probabilities: Whether to add a column for each class.
            key: A column of the file that the predictions begin with, as text.
        """
        import pandas as pd  # slow to import

        if not self.known.table.names:
            raise InputError(f"{path}: the model takes arrays and no table; predict in Python")
        if probabilities:
            self._require_classes()
        rows, keys = read_rows(str(path), self.known.table, key)
        outputs = self._predicted(rows)
        labels = self._labels_of(outputs)
        several = range(1, labels.shape[1] + 1) if labels.ndim > 1 else ()
        names = [f"prediction_{n}" for n in several] or ["prediction"]
        made = pd.DataFrame(labels, columns=names)
        if probabilities:
            chances = self._probabilities_of(outputs)
            for index, name in enumerate(self.known.classes):
                made[f"probability {name}"] = chances[:, index]
        if key in made:
            raise InputError(f"key: a column of the predictions is called {key!r}, too; rename it")
        if key is not None:
            made = made.set_axis(pd.Index(keys, name=key)).reset_index()
        # Before pandas 3, text is of type object, in which `write_csv` escapes numbers, too.
        return made.astype({name: "string" for name in made if made[name].dtype == object})

    def _outputs(self, rows: Any) -> npt.NDArray[Any]:
        if not self.known.inputs:
            return self._predicted(self._inputs(rows))
        return self._predict(*self._several(rows))

    def _predicted(self, rows: Inputs) -> npt.NDArray[Any]:
        self._require_filled(rows)
        return self._predict(rows, n_rows(rows))

    def _predict(self, taken: Any, count: int) -> npt.NDArray[Any]:
        from tensorflow.errors import InvalidArgumentError  # slow; the model needs it anyway

        if not count:
            return np.empty((0, *self.model.output_shape[1:]), np.float32)
        try:
            return np.asarray(self.model.predict(taken, batch_size=_BATCH_ROWS, verbose=0))
        except InvalidArgumentError as error:
            # The rows may have a number beyond the vocabulary of an Embedding layer.
            raise InputError(f"the model cannot take such rows: {error_text(error)}") from None

    def _several(self, rows: Any) -> tuple[Any, int]:
        """Return several inputs as the model takes them, and the number of rows."""
        parts = self.known.inputs
        kind = "mapping" if parts[0].name else "list"
        if not isinstance(rows, Mapping if parts[0].name else list | tuple):
            raise InputError(f"rows must be a {kind} of the model's {len(parts)} inputs")
        arrays = dict(rows) if isinstance(rows, Mapping) else dict(enumerate(rows))
        shapes = {part.name or index: part.shape for index, part in enumerate(parts)}
        # In the model's order; `packed` refuses other names.
        arrays = {name: arrays[name] for name in [*shapes, *arrays] if name in arrays}
        for name, array in arrays.items():
            if shapes.get(name) == (1,) and np.ndim(array) == 1:
                arrays[name] = np.asarray(array)[:, np.newaxis]
        given = arrays if parts[0].name else list(arrays.values())
        columns, _ = packed(given, "rows", parts, "inputs")
        require_finite(columns, parts, _place)
        return unpacked(columns.astype(np.float32), parts), len(columns)

    def _require_filled(self, rows: Inputs) -> None:
        """Refuse missing numbers that the model cannot fill in."""
        columns = rows if isinstance(rows, Mapping) else {"": rows}
        for name, values in () if self.known.fills else columns.items():
            if values.dtype.kind == "f" and np.isnan(values).any():
                row, *position = np.argwhere(np.isnan(values))[0].tolist()
                called = name or (self.known.table.names or range(values[0].size))[position[0]]
                raise InputError(
                    f"row {row} (from 0): column {called!r}: missing value; the model cannot fill "
                    "it in, since no number was missing in the rows that it was trained on"
                )

    def _inputs(self, rows: Any) -> Inputs:
        """Return the rows as the model takes them."""
        rows = as_supported(rows)
        if _has_names(rows) or self.known.table.text or self.known.table.missing:
            return self._table(rows)
        array = np.asarray(rows)
        if array.ndim == 1 and self.model.input_shape[1:] == (1,):
            array = array[:, np.newaxis]
        if array.dtype.kind not in "biuf" or array.shape[1:] != self.model.input_shape[1:]:
            raise InputError(
                f"rows are {array.dtype} of shape {array.shape}; the model takes numbers of shape "
                f"{self.model.input_shape}"
            )
        pixels = self.model.inputs[0].dtype == "uint8"
        with np.errstate(invalid="ignore", over="ignore"):
            near = array.astype(np.uint8 if pixels else np.float32)
        wrong = near != array if pixels else np.isinf(near)
        if wrong.any():
            row = int(np.argmax(wrong.reshape(len(array), -1).any(axis=1)))
            value, rule = array[wrong][0], "finite 32-bit floats"
            rule = "pixels, whole numbers from 0 to 255, undivided" if pixels else rule
            raise InputError(f"row {row} (from 0): {value} is there, and the model takes {rule}")
        return array

    def _table(self, rows: Any) -> Inputs:
        columns = self.known.table.read
        if not columns:
            raise InputError("rows are a table, and the model takes arrays without column names")
        frame = as_frame(rows if _has_names(rows) else np.asarray(rows, object), "rows")
        if not _has_names(rows):
            if frame.shape[1] != len(columns):
                raise InputError(
                    f"rows have {frame.shape[1]} columns; the model takes {quoted(columns, 5)}"
                )
            frame = frame.set_axis(list(columns), axis=1)
        missing = [name for name in columns if name not in frame.columns]
        if missing:
            raise InputError(f"rows have no column {missing[0]!r}, which the model takes")
        if frame.empty:
            return np.empty((0, len(columns)), np.float32)
        return parse_columns(frame, "rows", _place, like=self.known.table).inputs


def _has_names(rows: Any) -> bool:
    return isinstance(rows, Mapping) or hasattr(rows, "columns")


def _place(row: int) -> str:
    return f"row {row} (from 0)"


class PredictorMixin:
    """Predictions of a model, which is loaded for the first of them."""

    @property
    def _files(self) -> Source:
        """Where the model is, as `predictor_of` takes it."""
        raise NotImplementedError

    @cached_property
    def _predictor(self) -> Predictor:
        return predictor_of(self._files, Which())

    def predict(self, rows: Any) -> npt.NDArray[Any]:
        """Predict rows with the best trial's model, or with the ensemble.

        Args:
            rows: Rows like the sweep's, without the target: a frame or a mapping of columns
                (further columns are ignored), or an array.

        Returns:
            The label of each row, a number where labels are numbers; for regression, the values in
            the target's own units, `(n_samples,)` or `(n_samples, outputs)`.

        Raises:
            InputError: The model does not take such rows; or as for `Results.model`.
        """
        return self._predictor.labels(rows)

    def predict_proba(self, rows: Any) -> npt.NDArray[np.float32]:
        """Predict the probability of each class, `(n_samples, n_classes)`, as in `Results.classes`.

        Args:
            rows: As for `predict`.

        Raises:
            InputError: The target has no classes; or as for `predict`.
        """
        return self._predictor.probabilities(rows)
