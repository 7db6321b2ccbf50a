"""A search on behalf of an estimator: from arrays to a network and a table."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch import driver, results, sweepfile
from hpsearch.data import from_arrays
from hpsearch.data.memory import Rows
from hpsearch.driver.recipe import make_recipe
from hpsearch.errors import InputError, SweepFileError
from hpsearch.sklearn.network import Network
from hpsearch.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from hpsearch.data import Dataset
    from hpsearch.sweep import Sweep

__all__ = ["Found", "search"]


@dataclass(frozen=True, eq=False)
class Found:
    """What came of a search.

    Attributes:
        network: The best trial's.
        params: Of the best config: the values of the sweep's parameters that are alive in it.
        score: The best config's mean score.
        table: One row a trial, as `hpsearch.Results.table`.
    """

    network: Network
    params: dict[str, Any]
    score: float
    table: pd.DataFrame


def search(
    raw: Mapping[str, Any],
    train: tuple[Any, ...],
    validation: tuple[Any, ...] | None,
    *,
    cv: int | None,
    task: Any,
    scale: Any,
    workers: int | None,
    out: Path | None,
) -> Found:
    """Run the sweep that `raw` describes on arrays.

    Args:
        raw: What a sweep file would hold, without `name` and `data`.
        train, validation: x, y and maybe the rows' weights; no validation with `cv`.
        cv: Into how many folds `train` is cut, or None.
        workers: How many processes train; 1 for this one.
        out: The results directory; None keeps nothing on disk.

    Raises:
        ValueError: The settings or the data cannot be used, or no trial completed.
        HpsearchError: As `hpsearch.run`.
    """
    x, y, weights = (*train, None)[:3]
    about = Rows(x, y, weights, validation=validation).described
    data: dict[str, Any] = {"scale": scale, "task": task, "seed": raw["seed"]}
    if validation is None:
        data["cv"] = cv
    try:
        sweep = sweepfile.parse({**raw, "name": "estimator", "data": {**data, "memory": about}})
        loaded = from_arrays(
            x,
            y,
            sample_weight=weights,
            validation_data=validation,
            seed=sweep.data.seed,
            scale=sweep.data.scale,
            task=task,
            cv=sweep.data.cv,
            name="fit",
        )
        if out is not None:
            return _run(sweep, loaded, workers, out)
        with tempfile.TemporaryDirectory(prefix="hpsearch-") as scratch:
            return _run(sweep, loaded, workers, Path(scratch))
    except SweepFileError as error:
        lines = [f"{each.path}: {each.message}".removeprefix(": ") for each in error.problems]
        raise ValueError("\n".join(lines)) from None
    except InputError as error:
        raise ValueError(str(error)) from error


def _run(sweep: Sweep, loaded: Dataset, workers: int | None, out: Path) -> Found:
    settings = driver.Settings(
        out=out, workers=workers, report=False, model=False, weights=True, in_process=workers == 1
    )
    outcome = driver.run(sweep, settings, driver.AsWarnings(), lambda _: loaded)
    table = results.read(outcome.directory / "results.csv")
    if outcome.best is None:
        first = next((error for error in table["error"] if isinstance(error, str)), "none ran")
        raise ValueError(f"no trial completed: {outcome.stopped or first}")
    trial, score = outcome.best
    with Store(outcome.directory / "sweep.db", read_only=True) as store:
        weights = store.weights(trial.number)
    if weights is None:
        raise ValueError(f"trial {trial.number} is the best one, and its weights are lost")
    recipe, rows = make_recipe(sweep, loaded.target.task), loaded.of_fold(trial.fold)
    network = Network(
        trial.config.without_epochs, trial.seed, weights, recipe, rows.input, rows.target
    )
    live = dict(trial.config.values)
    params = {name: live[name] for name in sweep.parameters if name in live}
    return Found(network, params, score, table)
