"""Write a trial as a directory that trains it again without hpsearch."""

from __future__ import annotations

import math
import shutil
import tempfile
from pathlib import Path

from hpsearch.errors import InputError, NotSupportedError, RefusedError
from hpsearch.runs.trial import Source, StoredRun, Which, open_run
from hpsearch.space.execution import Execution, ExecutionResult
from hpsearch.space.mlp import MLPConfig

#: Copied without changes, so that no text of a results directory becomes code.
SCRIPT = Path(__file__).with_name("train.py")

#: Tolerance for rounding in a score up to this many steps; it grows with more steps, up to a
#: maximum.
_TOLERANCE, _STEPS, _MOST_TOLERANCE = 1e-3, 1_500, 1e-2
#: Number of rows that rounding may turn right or wrong in an accuracy.
_EDGE_ROWS = 2


def write_standalone(source: Source, out: Path, which: Which) -> Execution:
    """Write a trial's untrained model, its rows, and the program that trains it.

    Args:
        out: A directory that does not exist yet, or is empty.

    Returns:
        Its execution.

    Raises:
        InputError: There is no such trial, it has no score, it cannot be written as a program, or
            `out` cannot be written.
        RefusedError: `out` has files, or as for `open_run`.
    """
    require_new(out)
    run = open_run(source)
    execution, result = run.scored(which)
    _require_plain(run)
    scratch = tempfile.TemporaryDirectory(prefix="hpsearch-")
    with scratch as folder, run.retrainer(execution) as retrainer:
        tolerance = _tolerance(run, execution, result)
        if failure := retrainer.write_start(Path(folder), execution, result, tolerance):
            raise InputError(f"{execution.label} cannot be written as a program: {failure}")
        try:
            out.mkdir(parents=True, exist_ok=True)
            # Copy the program last: a directory that has it is complete.
            for file in (*sorted(Path(folder).iterdir()), SCRIPT):
                shutil.copyfile(file, out / file.name)
        except OSError as error:
            raise InputError(f"{out}: cannot be written: {error.strerror}") from None
    return execution


def require_new(out: Path) -> None:
    """Check that a directory is missing or empty.

    Raises:
        RefusedError: There is something already.
    """
    try:
        free = not any(out.iterdir()) and not out.is_symlink()
    except FileNotFoundError:
        free = not out.is_symlink()
    except OSError:
        free = False
    if not free:
        raise RefusedError(f"{out}: must be a new or empty directory; nothing is overwritten")


def _require_plain(run: StoredRun) -> None:
    recipe = run.recipe
    if run.sweep.builder or recipe.keras_metric or not recipe.metric.startswith("val_"):
        raise NotSupportedError(
            "the program trains hpsearch's own MLPs and measures val_loss, val_accuracy and "
            "val_mae; `hpsearch reproduce` without --script trains other rows again"
        )


def _tolerance(run: StoredRun, execution: Execution, result: ExecutionResult) -> float:
    """Return the largest difference from the row's score that counts as reaching it."""
    data = run.dataset.of_fold(execution.fold)
    batches = math.ceil(len(data.train) / MLPConfig(execution.config.values).batch_size)
    steps = batches * (result.scored_epoch or 0)
    tolerance = min(_TOLERANCE * max(1.0, steps / _STEPS), _MOST_TOLERANCE)
    if run.recipe.metric == "val_accuracy":
        return tolerance + _EDGE_ROWS / len(data.validation)
    return tolerance * max(1.0, abs(result.score or 0.0))
