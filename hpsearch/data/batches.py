"""A `tf.data.Dataset` as arrays; TensorFlow is not imported here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from hpsearch.data.files import available_bytes
from hpsearch.errors import DataError

__all__ = ["collected", "is_dataset"]

#: Arrays are copied for the workers, and what is trained on is a copy of what was read.
_SHARE_OF_MEMORY = 1 / 3
_INFINITE = -1


def is_dataset(value: Any) -> bool:
    """Whether `value` is a `tf.data.Dataset`."""
    return (
        type(value).__module__.partition(".")[0] == "tensorflow"
        and hasattr(value, "as_numpy_iterator")
        and hasattr(value, "element_spec")
    )


def collected(dataset: Any, name: str) -> tuple[Any, ...]:
    """All rows of a dataset of batches `(x, y)` or `(x, y, sample_weight)`, as `fit` takes it.

    A dataset whose targets are scalars is one of single rows.

    Args:
        dataset: A finite `tf.data.Dataset`.
        name: For messages.

    Returns:
        As many arrays as an element has; a mapping of arrays for an `x` that is a mapping.

    Raises:
        DataError: It is endless, holds no rows or other elements, or more than fits into memory.
    """
    spec = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) not in (2, 3):
        raise DataError(
            f"{name}: a tf.data.Dataset must give (x, y) or (x, y, sample_weight), as "
            f"keras.Model.fit takes it, not {_words(spec)}"
        )
    if int(dataset.cardinality()) == _INFINITE:
        raise DataError(f"{name}: the tf.data.Dataset is endless; take a part of it: .take(n)")
    elements = list(_within_memory(dataset.as_numpy_iterator(), name))
    if not elements:
        raise DataError(f"{name}: the tf.data.Dataset holds no rows")
    join = np.stack if getattr(spec[1], "shape", (0,)) == () else np.concatenate
    return tuple(_joined([element[i] for element in elements], join) for i in range(len(spec)))


def _joined(parts: list[Any], join: Any) -> Any:
    if isinstance(parts[0], Mapping):
        return {key: _joined([part[key] for part in parts], join) for key in parts[0]}
    array = join(parts)
    if array.dtype != object:
        return array
    # TensorFlow's texts are bytes.
    texts = [each.decode() if isinstance(each, bytes) else each for each in array.ravel()]
    return np.array(texts, object).reshape(array.shape)


def _within_memory(elements: Iterable[Any], name: str) -> Iterable[Any]:
    limit = available_bytes() * _SHARE_OF_MEMORY
    size = 0
    for element in elements:
        size += sum(map(_nbytes, element))
        if size > limit:
            raise DataError(
                f"{name}: the tf.data.Dataset is larger than a third of the free memory, "
                f"{limit / 2**20:,.0f} MB; trainings read their rows from memory: take a part of "
                "it, or smaller numbers, such as uint8 images"
            )
        yield element


def _nbytes(part: Any) -> int:
    if isinstance(part, Mapping):
        return sum(map(_nbytes, part.values()))
    return int(np.asarray(part).nbytes)


def _words(spec: Any) -> str:
    return f"{len(spec)} parts" if isinstance(spec, tuple) else type(spec).__name__
