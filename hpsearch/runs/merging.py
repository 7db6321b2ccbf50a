"""Join several results directories of one sweep in a new one."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from hpsearch.errors import ChangedSweepError, HpsearchError, InputError
from hpsearch.files import require_new
from hpsearch.space.execution import Execution, ExecutionKey, ExecutionResult, Status
from hpsearch.store.derived import tables_of
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.facts import Evaluation, Facts, Identity
from hpsearch.store.provenance import differences
from hpsearch.store.store import Store
from hpsearch.wording import counted

#: Encoded facts that the rows of all sources share; taken from the first source.
_SHARED_FACTS = frozenset(
    ("identity", "sweep", "task", "classes", "kind", "code", "asked", "guesses", "program", "name")
)


@dataclass(frozen=True)
class _Source:
    """A results directory to join; its store is open for reading."""

    path: Path
    store: Store
    facts: Facts
    identity: Identity
    executions: Sequence[Execution]
    results: Mapping[int, ExecutionResult]

    @classmethod
    def opened(cls, path: Path, stack: ExitStack) -> _Source:
        """Open a directory, and read everything except the arrays."""
        where = ResultsDirectory(path)
        where.require_store()
        store = stack.enter_context(Store(where.store, read_only=True))
        # Read results before executions, because a run adds executions first.
        facts, results, executions = store.facts(), store.results(), store.executions()
        if facts.identity is None or not results:
            raise InputError(f"{path}: has no results yet; run its sweep first")
        tables_of(where, facts).require_known({e.key for e in executions if e.number in results})
        executions.sort(key=lambda execution: (execution.trial, execution.number))
        return cls(path, store, facts, facts.identity, executions, results)

    @property
    def configs(self) -> set[str]:
        """The ids of the configs that have a row."""
        return {
            execution.config.id for execution in self.executions if execution.number in self.results
        }

    def worth(self, execution: Execution) -> int:
        """Return 0 without a row, 1 without a score, 2 if stopped, 3 if completed."""
        result = self.results.get(execution.number)
        if result is None:
            return 0
        return 1 + result.status.scored + (result.status is Status.COMPLETED)


@dataclass
class _Union:
    """The executions of all sources, each once, in the order of their new numbers.

    Attributes:
        kept: Execution -> the source of its row.
        trials: Config -> new number of its trial.
        unequal: The completed executions with several scores, of which the first is kept.
    """

    sources: list[_Source] = field(default_factory=list)
    kept: dict[ExecutionKey, tuple[_Source, Execution]] = field(default_factory=dict)
    trials: dict[str, int] = field(default_factory=dict)
    unequal: set[ExecutionKey] = field(default_factory=set)

    def add(self, source: _Source) -> None:
        """Add the executions of a source; rows that are worth more replace others."""
        self.sources.append(source)
        for execution in source.executions:
            self.trials.setdefault(execution.config.id, len(self.trials) + 1)
            first, previous = self.kept.setdefault(execution.key, (source, execution))
            worth = source.worth(execution)
            if worth > first.worth(previous):
                self.kept[execution.key] = (source, execution)
            elif worth == 3:
                score = first.results[previous.number].score
                if source.results[execution.number].score != score:
                    self.unequal.add(execution.key)

    def executions(self) -> list[Execution]:
        """Return the executions with their new numbers."""
        return [
            replace(execution, number=number, trial=self.trials[execution.config.id])
            for number, (_, execution) in enumerate(self.kept.values(), 1)
        ]

    def results(self) -> Iterator[ExecutionResult]:
        """Yield the results with their new numbers, and the arrays that are stored with them."""
        numbers = {key: number for number, key in enumerate(self.kept, 1)}
        keys = {
            (source.path, execution.number): execution.key
            for source in self.sources
            for execution in source.executions
        }
        for key, (source, execution) in self.kept.items():
            result = source.results.get(execution.number)
            if result is None:
                continue
            trained = keys.get((source.path, result.shared_with or 0), key)
            # The row of the training that answered this one may come from another source.
            shares = trained != key and self.kept[trained][0] is source
            yield replace(
                result,
                number=numbers[key],
                shared_with=numbers[trained] if shares else None,
                state=source.store.weights(execution.number),
                snapshot=source.store.snapshot(execution.number),
            )

    def evaluations(self) -> tuple[Evaluation, ...]:
        """Return the recorded evaluations in order of time, without duplicates."""
        evaluations: list[Evaluation] = []
        for source in self.sources:
            for evaluation in source.facts.evaluations:
                if not evaluation.trial or evaluation.config in self.trials:
                    # An ensemble is no trial.
                    moved = replace(evaluation, trial=self.trials.get(evaluation.config, 0))
                    evaluations += [moved] * (moved not in evaluations)
        return tuple(sorted(evaluations, key=lambda evaluation: evaluation.time))


def merge_directories(paths: Sequence[Path], out: Path) -> list[str]:
    """Join results directories of one sweep in a new one; the given ones do not change.

    A config becomes one trial with the executions of all directories. If an execution has several
    rows, the first completed one is kept, else the first stopped one, else the first. The returned
    lines say what was joined.

    Args:
        paths: Two or more directories; the first one's trials come first, and its sweep.yaml is
            kept.
        out: Must be missing or empty.

    Raises:
        RefusedError: Their rows cannot share a table, or `out` has files.
    """
    if len(paths) < 2:
        raise InputError(f"merge: takes two results directories or more, not {len(paths)}")
    union = _Union()
    with ExitStack() as stack:
        for path in paths:
            source = _Source.opened(path, stack)
            if union.sources:
                _require_same(union.sources[0], source)
            union.add(source)
        require_new(out)
        try:
            parent = out.absolute().resolve().parent
            parent.mkdir(parents=True, exist_ok=True)
            # Renamed when it is whole, which never replaces a directory with files.
            with tempfile.TemporaryDirectory(prefix=".hpsearch-", dir=parent) as scratch:
                whole = Path(scratch) / out.absolute().resolve().name
                whole.mkdir()
                _write(ResultsDirectory(whole), union)
                whole.rename(out.absolute().resolve())
        except OSError as error:
            raise HpsearchError(f"{out}: cannot be made: {error.strerror or error}") from None
        return list(_summary(union, out))


def _require_same(first: _Source, other: _Source) -> None:
    """Check that the rows of two directories may share a table."""
    mismatches = differences(first.identity, other.identity)
    if first.facts.kind != other.facts.kind:
        mismatches.append(("kind", first.facts.kind, other.facts.kind))
    if not mismatches:
        return
    lines = [
        f"  {name}: {json.dumps(ours)} in {first.path}, {json.dumps(theirs)} in {other.path}"
        for name, ours, theirs in mismatches
    ]
    raise ChangedSweepError(
        f"{other.path}: cannot be merged with {first.path}:\n"
        + "\n".join(lines)
        + "\nRows of one directory share data, split, metric and recipe, which has the sweep's "
        "`seed`; people who share a sweep train different `seeds`"
    )


def _write(where: ResultsDirectory, union: _Union) -> None:
    """Fill a new directory with the store, and with the tables and the sweep derived from it."""
    meta = union.sources[0].facts.meta
    with Store(where.store) as store:
        store.set_meta({key: meta[key] for key in sorted(_SHARED_FACTS & meta.keys())})
        store.set_facts(evaluations=union.evaluations())
        store.add_executions(union.executions())
        for result in union.results():
            # One at a time, because all arrays together may not fit into memory.
            store.add_results([result])
        facts = store.facts()
        tables = tables_of(where, facts)
        tables.write(store.executions(), store.results())
        if text := facts.sweep or facts.program:
            tables.write_sweep(text)


def _summary(union: _Union, out: Path) -> Iterator[str]:
    parts = (f"{len(source.configs):,} of {source.path}" for source in union.sources)
    total = counted(len(set[str]().union(*(source.configs for source in union.sources))), "trial")
    yield f"{total} in {out}: {', '.join(parts)}"
    if len({source.facts.code for source in union.sources}) > 1:
        yield (
            "warning: the function or model was edited between these runs, so that their rows may "
            "not be comparable"
        )
    if union.unequal:
        yield (
            f"warning: {counted(len(union.unequal), 'execution')} scored otherwise in another "
            "directory, by other versions or on another processor; the first score is kept"
        )
