"""A tuner's search as a sweep: the same loop, store and workers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch import driver, sweepfile
from hpsearch.data import Dataset, DataSpec
from hpsearch.data.memory import Rows
from hpsearch.driver.modelspace import AtHand
from hpsearch.errors import ChangedSweepError, InputError, RefusedError
from hpsearch.plan import Trial
from hpsearch.store import Store
from hpsearch.sweep import Sweep
from hpsearch.trial import TrialResult
from hpsearch.tuners import processes
from hpsearch.tuners.arguments import NotOnEngine, Request
from hpsearch.usermodel.found import Found, OwnModel
from hpsearch.usermodel.shipping import shipped
from hpsearch.usermodel.tailoring import Tailored

if TYPE_CHECKING:
    from hpsearch.tuners.engine import OnEngine

__all__ = ["row_shape_in", "search"]

#: Keras' own, where `search` is told none.
_EPOCHS, _BATCH_SIZE = 1, 32


def search(tuner: OnEngine, request: Request) -> None:
    """Runs a tuner's search to its end.

    Raises:
        HpsearchError: The directory holds another search's results, or cannot be written.
        KeyboardInterrupt: It came.
        RuntimeError: No trial completed.
    """
    found = tuner.found(request)
    sweep = sweep_of(tuner, request, found)
    model = OwnModel(_code(tuner, request, found), found, "drawn" if _tunes(tuner) else "default")
    where = Path(tuner.project_dir)
    settings = driver.Settings(out=where, workers=tuner.workers, report=False, model=False)
    dataset = request.dataset

    def rows(_: DataSpec) -> Dataset:
        return dataset

    try:
        outcome = driver.run(
            sweep, settings, _Telling(tuner), AtHand(rows, model), processes.servers()
        )
    except ChangedSweepError as error:
        raise RefusedError(
            f"{error}\nFor a tuner: overwrite=True begins anew, another project_name keeps both"
        ) from None
    except driver.Interrupted as error:
        if error.by_keyboard:
            raise KeyboardInterrupt from error
        raise
    finally:
        processes.copy_log(where / "run.log")
    if not outcome.completed:
        raise RuntimeError(_failure(tuner))


class _Telling(driver.Silent):
    """Tells a tuner of its results."""

    def __init__(self, tuner: OnEngine) -> None:
        self._tuner = tuner

    def result(self, trial: Trial, result: TrialResult) -> None:
        """It makes a trial of KerasTuner's of it."""
        self._tuner.took(trial, result)

    def note(self, message: str) -> None:
        """A line on the screen."""
        if self._tuner.oracle.verbose:
            print(f"hpsearch: {message}")  # noqa: T201


def sweep_of(tuner: OnEngine, request: Request, found: Found) -> Sweep:
    """What a sweep file would say."""
    objective, executions = tuner.oracle.objective, int(tuner.executions_per_trial)
    most = tuner.oracle.max_trials
    raw: dict[str, Any] = {
        "name": _name(tuner.project_name),
        "seed": int(tuner.oracle.seed),
        "data": {"memory": _described(request)},
        "model": tuner.model_name,
        "metric": {
            "name": objective.name,
            "goal": "maximize" if objective.direction == "max" else "minimize",
            "epoch": "best",
        },
        "method": dict(tuner.method),
        "parameters": _told(tuner, request, found),
        "seeds": executions,
        "keep": "all",
    }
    if most:
        raw["budget"] = {"trials": int(most) * executions}
    elif tuner.method["name"] == "hyperband":
        # Its brackets end it.
        raw["budget"] = {"trials": 10**9}
    return sweepfile.parse(raw)


def _told(tuner: OnEngine, request: Request, found: Found) -> dict[str, int]:
    """The epochs and the batch size of every trial, but for those that the model asks for."""
    epochs = tuner.most_epochs or request.epochs
    told: dict[str, int | None] = {"epochs": epochs, "batch_size": request.batch_size}
    if not found.own_fit:
        told = {"epochs": epochs or _EPOCHS, "batch_size": request.batch_size or _BATCH_SIZE}
    return {n: v for n, v in told.items() if v is not None and n not in found.defaults}


def _code(tuner: OnEngine, request: Request, found: Found) -> bytes:
    """The hypermodel as workers get it.

    Raises:
        NotOnEngine: It cannot be sent.
    """
    tailored = Tailored(
        tuner.hypermodel,
        own_fit=found.own_fit,
        optimizer=tuner.optimizer,
        loss=tuner.loss,
        metrics=tuner.metrics,
        most_weights=tuner.max_model_size,
        callbacks=request.callbacks,
        arguments=request.arguments,
    )
    try:
        return shipped(tailored, tuner.model_name, of=tuner.user_objects(request))
    except InputError as error:
        raise NotOnEngine(str(error)) from None


def _tunes(tuner: OnEngine) -> bool:
    return bool(tuner.oracle.tune_new_entries)


def _name(project: str) -> str:
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", str(project))[:64]
    return cleaned if cleaned.strip(".") else "tuner"


def _described(request: Request) -> dict[str, str]:
    arrays = request.arrays
    return Rows(arrays.x_train, arrays.y_train, validation=(arrays.x_val, arrays.y_val)).described


def row_shape_in(store: Store) -> tuple[int, ...]:
    """The shape of a row of the data that a store's trials were trained on."""
    sweep = sweepfile.loads(store.meta()["sweep"])
    memory = sweep.data.memory
    described = memory.x if memory is not None else ""
    shape = re.match(r"\(([\d, ]*)\)", described)
    return tuple(int(n) for n in re.findall(r"\d+", shape.group(1) if shape else ""))[1:]


def _failure(tuner: OnEngine) -> str:
    failed = [trial for trial in tuner.oracle.trials.values() if trial.message]
    why = failed[-1].message if failed else "none was tried"
    return f"no trial completed; the last one: {why}"
