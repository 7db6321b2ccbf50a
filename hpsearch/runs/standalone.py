"""Write a trial as a directory that trains it again without hpsearch."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.data.specs import TrainingData
from hpsearch.data.targets import in_own_units
from hpsearch.errors import InputError, NotSupportedError
from hpsearch.files import require_new
from hpsearch.models.problem import Problem
from hpsearch.runs.trial import Source, Which, open_run
from hpsearch.space.execution import Execution, ExecutionResult
from hpsearch.space.mlp import MLPConfig
from hpsearch.space.seeds import epoch_order
from hpsearch.workers.protocol import Call

#: Copied without changes, so that no text of a results directory becomes code.
SCRIPT = Path(__file__).with_name("train.py")


def write_standalone(source: Source, out: Path, which: Which) -> tuple[Execution, Path]:
    """Write a trial's untrained model, rows and program; return its execution and the program.

    Args:
        out: A directory that does not exist yet, or is empty.

    Raises:
        NotSupportedError: The program does not train such models, or measure such metrics.
        RefusedError: `out` has files, or as for `open_run`.
    """
    require_new(out)
    run, program = open_run(source), out / SCRIPT.name
    execution, result = run.scored(which)
    recipe = run.recipe
    if run.sweep.builder or recipe.more_metrics or not recipe.metric.startswith("val_"):
        raise NotSupportedError(
            "the program trains hpsearch's own MLPs and measures val_loss, val_accuracy and "
            "val_mae; `hpsearch reproduce` without --script trains other rows again"
        )
    with run.retrainer(execution) as retrainer:
        try:
            out.mkdir(parents=True, exist_ok=True)
            arguments = out.absolute(), retrainer.problem(execution), execution, result
            failure = retrainer.ask(Call(write_start, arguments, with_data=True)).error
            if not failure:
                shutil.copyfile(SCRIPT, program)
        except OSError as error:
            failure = error.strerror or str(error)
    if failure:
        raise InputError(f"{out}: {execution.label} cannot be written as a program: {failure}")
    return execution, program


def write_start(
    out: Path, problem: Problem, execution: Execution, result: ExecutionResult, data: TrainingData
) -> None:
    """Write, in a worker, the untrained model and its rows, named as Keras' arguments are."""
    from hpsearch.models.mlp import build_model  # imports Keras
    from hpsearch.training.measures import prepared

    recipe, target = problem.recipe, problem.target
    model = build_model(problem, execution.config.trained, execution.seed)
    for layer in model._flatten_layers():  # noqa: SLF001 - those inside of others, too
        if getattr(layer, "seed", 0) is None and hasattr(layer, "seed_generator"):
            # Keras saves seeds, but no state of random generators.
            layer.seed = int(layer.seed_generator.state[0])
    # Create the optimizer's variables, too, without which loading the model warns.
    compiled = {**model.get_compile_config(), "jit_compile": result.trainer == "xla"}
    model.compile_from_config(compiled)
    model.save(out / "model.keras")
    arrays = data.of_fold(execution.fold).arrays
    epochs, count = range(1, (result.scored_epoch or 0) + 1), len(arrays.x_train)
    rows: dict[str, Any] = {
        "x": arrays.x_train,
        "y": prepared(arrays.y_train, recipe, target),
        "sample_weight": arrays.w_train,
        "val_x": arrays.x_val,
        "val_y": prepared(in_own_units(arrays.y_val, target), recipe, target),
        "val_sample_weight": arrays.w_val,
        "order": [epoch_order(recipe.sweep_seed, execution.seed, n, count) for n in epochs],
        "batch_size": MLPConfig(execution.config.values).batch_size,
        "scale": np.array(target.std, np.float32),
        "offset": np.array(target.mean, np.float32),
        "metric": recipe.metric,
        "score": result.score,
    }
    rows = {name: np.asarray(values) for name, values in rows.items() if values is not None}
    # No allow_pickle: savez of older NumPy would store it as an array of that name.
    np.savez(out / "rows.npz", **rows)
