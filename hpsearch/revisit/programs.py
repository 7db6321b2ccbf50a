"""Repeat trials of a program: print their command lines, or check their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from hpsearch.errors import InputError, StoreError
from hpsearch.machine import users_value
from hpsearch.programs.command import UserProgram
from hpsearch.programs.loading import program_sweep
from hpsearch.programs.sweep import ProgramSweep
from hpsearch.revisit.rows import Which
from hpsearch.space.execution import Execution, ExecutionResult
from hpsearch.space.space import Kind
from hpsearch.spec.yaml import read_yaml
from hpsearch.store.derived import best_execution
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.facts import Facts
from hpsearch.store.store import Store
from hpsearch.workers.servers import ENVIRONMENT


@dataclass(frozen=True)
class StoredProgram:
    """An earlier run of a program; reading it does not run any code.

    Attributes:
        sweep: The sweep in the store.
        results: By execution.
    """

    where: ResultsDirectory
    sweep: ProgramSweep
    executions: Sequence[Execution]
    results: Mapping[int, ExecutionResult]

    def find(self, which: Which) -> Execution:
        """Return the best of the executions that `which` names.

        Raises:
            InputError: No execution matches.
        """
        named = [each for each in self.executions if which.names(each)]
        best = best_execution(named, self.results, self.sweep.metric.direction)
        if best is not None:
            return best[0]
        if not named:
            raise InputError(f"{self.where.path}: there is no {which}")
        return named[0]

    def program(self, trials: Path) -> UserProgram:
        """Return the program, set up for trials in a directory."""
        around = {name: users_value(name) for name in ENVIRONMENT}
        return self.sweep.run_of(str(trials.absolute()), around)


def holds_program(directory: Path) -> bool:
    """Check if the results of a directory are those of a program."""
    return _facts(ResultsDirectory(directory)).kind is Kind.PROGRAM


def _facts(where: ResultsDirectory) -> Facts:
    if not where.store.exists():
        return Facts({})
    with Store(where.store, read_only=True) as store:
        return store.facts()


def open_program(directory: Path) -> StoredProgram:
    """Open the results of a program.

    Raises:
        InputError: They are not a program's.
        StoreError: The stored sweep cannot be read.
    """
    where = ResultsDirectory(directory)
    with Store(where.store, read_only=True) as store:
        facts, executions, results = store.facts(), store.executions(), store.results()
    if facts.kind is not Kind.PROGRAM:
        raise InputError(f"{directory}: its rows are not those of a program")
    try:
        document = read_yaml(facts.program.encode())
        sweep = program_sweep(document.data or {}, str(where.sweep))
    except (InputError, TypeError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise StoreError(f"{where.store}: the sweep in it cannot be read: {said}") from None
    return StoredProgram(where, sweep, executions, results)
