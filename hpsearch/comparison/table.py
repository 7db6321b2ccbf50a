"""A results table as a comparison needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpsearch.comparison.estimate import Floats

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Metric", "Table", "training_units"]


@dataclass(frozen=True)
class Metric:
    """What a score is: its name, `maximize` or `minimize`, and the epoch, empty if not known."""

    name: str
    goal: str
    epoch: str = ""

    def __str__(self) -> str:
        return ":".join(filter(None, (self.name, self.goal, self.epoch)))


@dataclass(frozen=True, eq=False)
class Table:
    """One table, whoever wrote it.

    Attributes:
        label: Its name, unlike that of any other table of the comparison.
        directory: Where its sweep.yaml lies; None for a bare CSV.
        trials: One row a trial in their order: `config`, `seed` (None where unknown), `draw` (the
            seed, or the number of the repetition), `score` (NaN where none counts), `stopped` (the
            epoch at which the method halted it, else 0), `training` (equal where trials shared
            one), `epochs` and `seconds` (NaN where unknown).
        settings: The hyperparameters' cells, one row a trial, the index of `trials`.
        metric: What the scores are.
        provenance: Column -> the different values in it, for the columns that say what a score
            came from; empty for a table of another program.
    """

    label: str
    path: Path
    directory: Path | None
    trials: pd.DataFrame
    settings: pd.DataFrame
    metric: Metric
    provenance: Mapping[str, tuple[str, ...]]

    @property
    def foreign(self) -> bool:
        """Whether another program wrote it."""
        return not self.provenance

    @property
    def sign(self) -> int:
        """1 where larger scores are better, else -1."""
        return -1 if self.metric.goal == "minimize" else 1

    @cached_property
    def scored(self) -> pd.DataFrame:
        """`config`, `draw`, `seed`, `score`, `stopped`: what has a score, each draw once."""
        rows = self.trials[self.trials["score"].notna()]
        groups = rows.groupby(["config", "draw"], sort=False)
        return groups.agg(
            seed=("seed", "first"), score=("score", "mean"), stopped=("stopped", "max")
        ).reset_index()

    @cached_property
    def means(self) -> pd.DataFrame:
        """Each config with a score: `mean`, `sd`, `seeds`, `stopped`, in order of appearance."""
        import pandas as pd

        configs = self.scored.groupby("config", sort=False)
        scores = configs["score"]
        named = {"mean": scores.mean(), "sd": scores.std(), "seeds": scores.size()}
        named["stopped"] = configs["stopped"].max()
        return pd.DataFrame(named)

    @cached_property
    def eligible(self) -> pd.DataFrame:
        """`means` of the configs with as many seeds as the one with the most.

        A mean of fewer draws is lucky more easily: only these can be the best.
        """
        means = self.means
        full: pd.DataFrame = means[means["seeds"] == means["seeds"].max()]
        return full

    @cached_property
    def best(self) -> str | None:
        """The config with the best mean; of equal ones the first; None where none has a score."""
        means = self.sign * self.eligible["mean"]
        return None if means.empty else str(means.idxmax())

    def draws(self, configs: pd.Index[Any], most: int, first: frozenset[str]) -> Floats:
        """The scores of `configs`, `most` a config: those of the draws in `first` first.

        Returns:
            `(n_configs, most)`, in the order of `configs`.
        """
        rows = self.scored[self.scored["config"].isin(configs)]
        rows = rows.assign(later=~rows["draw"].isin(first))
        rows = rows.sort_values(["later", "draw"], kind="stable")
        rank = rows.groupby("config").cumcount()
        kept = rows.assign(rank=rank)[rank < most]
        wide = kept.pivot_table(index="config", columns="rank", values="score")
        return wide.loc[configs].to_numpy(dtype=np.float64)

    def values(self, config: str) -> dict[str, Any]:
        """The hyperparameters' cells of a config."""
        return {str(name): cells[config] for name, cells in self.firsts.items()}

    @cached_property
    def firsts(self) -> pd.DataFrame:
        """The hyperparameters' cells of each config, by config."""
        first = self.trials.loc[~self.trials["config"].duplicated(), "config"]
        return self.settings.loc[first.index].set_axis(first)


def training_units(tables: Mapping[str, Table], configs: pd.Index[Any]) -> npt.NDArray[np.intp]:
    """A number for each config, equal for those that shared a training in any table.

    Trials that differ only in epochs are one training with several stops, so their noise is one.
    """
    import pandas as pd
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    parts = []
    for label, table in tables.items():
        rows = table.trials[table.trials["config"].isin(configs)]
        parts.append(pd.DataFrame({"config": rows["config"], "training": rows["training"]}))
        parts[-1]["training"] = label + ":" + parts[-1]["training"].astype(str)
    edges = pd.concat(parts)
    codes = configs.get_indexer(pd.Index(edges["config"]))
    trainings = pd.factorize(edges["training"])[0]
    size = len(configs) + (trainings.max() + 1 if len(trainings) else 0)
    graph = coo_array(
        (np.ones(len(codes), dtype=np.int8), (codes, trainings + len(configs))), shape=(size, size)
    )
    return np.asarray(connected_components(graph, directed=False)[1][: len(configs)])
