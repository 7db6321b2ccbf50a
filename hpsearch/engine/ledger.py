"""The executions and results that a run has stored, and the best of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hpsearch.engine.events import Listener, Stored
from hpsearch.models.problem import Recipe
from hpsearch.search.asking import OracleEvent
from hpsearch.space.execution import Curve, Execution, ExecutionResult
from hpsearch.store.columns import Record
from hpsearch.store.derived import Tables
from hpsearch.store.facts import installed
from hpsearch.store.store import Store
from hpsearch.store.trials import Leader
from hpsearch.workers.protocol import Said


@dataclass
class Ledger:
    """The executions and results of a run, on disk before anyone learns of them.

    Attributes:
        results: Every stored result, by execution; initially the results of earlier runs.
        versions: The package versions for new rows.
        stored: Every stored execution, including those outside this sweep.
        best_score: The best score of an execution.
        is_read: True if the stored executions have been read.
    """

    store: Store
    tables: Tables
    listener: Listener
    recipe: Recipe
    results: dict[int, ExecutionResult]
    versions: Mapping[str, str] = field(default_factory=installed)
    stored: list[Execution] = field(default_factory=list)
    best_score: float | None = None
    is_read: bool = False
    _executions: dict[int, Execution] = field(default_factory=dict)
    _late: set[str] = field(default_factory=set)
    _leader: Leader = field(init=False)

    def __post_init__(self) -> None:
        self._leader = Leader(self.recipe.goal)

    def read(self, current: Iterable[Execution], stored: Callable[[], Sequence[Execution]]) -> None:
        """Load what earlier runs left.

        Args:
            current: The stored executions that belong to this sweep.
            stored: Returns every stored execution.
        """
        self._executions = {execution.number: execution for execution in current}
        self.stored = [self._executions.get(execution.number, execution) for execution in stored()]
        self.is_read = True
        for execution in self.stored:
            if (result := self.results.get(execution.number)) is not None:
                self._note_score(execution, result)

    def __getitem__(self, number: int) -> Execution:
        return self._executions[number]

    @property
    def executions(self) -> Sequence[Execution]:
        """This sweep's executions so far, in the order of planning."""
        return [self._executions[number] for number in sorted(self._executions)]

    def trials_of(self, numbers: Collection[int]) -> list[int]:
        """Return the trials of some executions, in order."""
        return sorted({self._executions[number].trial for number in numbers})

    @property
    def records(self) -> list[Record]:
        """The rows so far, including those of earlier runs."""
        return self.tables.records(self.stored, self.results)

    def write_tables(self) -> None:
        """Write the tables of every stored execution.

        Raises:
            HpsearchError: They cannot be written.
        """
        self.tables.write(self.stored, self.results)

    def write_due_tables(self) -> None:
        """Write the tables if that fits into its share of the time; see `write_tables`."""
        if self.tables.due(len(self.results)):
            self.write_tables()

    def add(self, executions: Sequence[Execution], events: Sequence[OracleEvent]) -> None:
        """Store new executions, and what the user's oracle did for them."""
        if executions or events:
            self.store.add_executions(executions, events)
            self._executions.update((execution.number, execution) for execution in executions)
            self.stored += executions

    def add_results(self, results: Sequence[ExecutionResult]) -> None:
        """Store results, then report them."""
        # A result from the curve of another execution names the versions of that one.
        results = [replace(result, versions=result.versions or self.versions) for result in results]
        self.store.add_results(results)
        for result in results:
            # The weights are on disk; those of thousands of executions would fill memory.
            kept = replace(result, state=None, snapshot=None, curve=Curve(result.curve))
            self.results[result.number] = kept
            execution = self._executions[result.number]
            self._note_score(execution, result)
            self._report_late(execution, result)
            self.listener(Stored(execution, kept, self.best))

    @property
    def best(self) -> tuple[int, float] | None:
        """The best trial so far and its mean score."""
        return self._leader.best

    def _note_score(self, execution: Execution, result: ExecutionResult) -> None:
        score, best = result.score if result.status.scored else None, self.best_score
        self._leader.note(execution.trial, execution.number, score)
        if score is not None and (best is None or self.recipe.better(score, best)):
            self.best_score = score

    def _report_late(self, execution: Execution, result: ExecutionResult) -> None:
        """Report hyperparameters that no build before the run requested."""
        for name in result.late.keys() - self._late:
            self._late.add(name)
            how = "its default" if self.recipe.late == "default" else "drawn from its range"
            self.listener(
                Said(
                    f"{execution.label}: the model asks for {name!r}, which no build before the "
                    f"run did: its value is {how}, and a column of the table; to have it searched, "
                    "name it under parameters"
                )
            )
