"""Repeat trials of a program: print their command lines, or check their scores."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpsearch.engine.best_model import open_workers, train_alone
from hpsearch.errors import ChangedSweepError, InputError
from hpsearch.machine import users_value
from hpsearch.programs.search import program_recipe
from hpsearch.programs.trial import ProgramSubject, fingerprint_of
from hpsearch.runs.trial import Reproduction, Which
from hpsearch.space.execution import Execution, ExecutionResult, Status, Training
from hpsearch.space.space import ENDLESS, Kind
from hpsearch.spec.command import UserProgram
from hpsearch.spec.sweep import ProgramSweep, load_sweep
from hpsearch.store.directory import ResultsDirectory
from hpsearch.store.provenance import read_sweep
from hpsearch.store.store import Store
from hpsearch.store.trials import best_execution
from hpsearch.training.subjects import Job, Needs
from hpsearch.workers.servers import ENVIRONMENT
from hpsearch.workers.shared import NO_ROWS


@dataclass(frozen=True)
class StoredProgram:
    """An earlier run of a program, from its store; reading it does not run any code."""

    where: ResultsDirectory
    sweep: ProgramSweep
    executions: Sequence[Execution]
    results: Mapping[int, ExecutionResult]

    def find(self, which: Which) -> Execution:
        """Return the best of the executions that `which` names."""
        which = which.with_trial(self.executions, self.results, self.sweep.metric.goal)
        named = [execution for execution in self.executions if which.names(execution)]
        best = best_execution(named, self.results, self.sweep.metric.goal)
        if best is not None:
            return best[0]
        if not named:
            raise InputError(f"{self.where.path}: there is no {which}")
        return named[0]

    def command_line(self, which: Which) -> str:
        """Return the command line of an execution, for a shell."""
        execution, program = self.find(which), _program_of(self.sweep, self.where.trials)
        return program.shell_line(execution.config.values, execution.seed, execution.trial)

    def reproduce(self, which: Which, trusted: Path) -> Reproduction:
        """Run a trial again, in a temporary directory.

        Args:
            trusted: The user's sweep file, which must name the same program. The directory also
                names a command, but anyone may have made the directory.
        """
        execution, directory = self.find(which), self.where.path
        row = self.results.get(execution.number)
        if row is None or not row.status.scored:
            raise InputError(f"{directory}: {execution.label} has no score")
        sweep = load_sweep(trusted, with_data=True)
        if not isinstance(sweep, ProgramSweep):
            raise InputError(f"{trusted}: is not the sweep file of a program")
        with tempfile.TemporaryDirectory(prefix="hpsearch-") as scratch:
            program = _program_of(sweep, Path(scratch))
            _require_same(directory, self.sweep, sweep, program, row)
            program.require_variables()
            epochs = len(row.curve) if row.status is Status.STOPPED else ENDLESS
            training = Training(
                execution.config.trained,
                execution.seed,
                ((epochs, execution.number),),
                whole=ENDLESS if epochs < ENDLESS else None,
                trial=execution.trial,
            )
            subject = ProgramSubject(program)
            job = Job(training, program_recipe(sweep), subject, needs=Needs(tensorflow=False))
            # It ends everything that the job starts, whatever happens.
            with open_workers(sweep.execution, tensorflow=False) as (executor, check):
                executor.provide(NO_ROWS)
                again = next(train_alone(executor, [job], check))
        return Reproduction(execution, sweep.metric.name, row, again)


def _program_of(sweep: ProgramSweep, trials: Path) -> UserProgram:
    around = {name: users_value(name) for name in ENVIRONMENT}
    return sweep.run_of(str(trials.absolute()), around)


def stored_program(directory: Path) -> StoredProgram | None:
    """Return the results of a program; None if the directory has none."""
    where = ResultsDirectory(directory)
    if not where.store.exists():
        return None
    with Store(where.store, read_only=True) as store:
        facts = store.facts()
        if facts.kind is not Kind.PROGRAM:
            return None
        executions, results = store.executions(), store.results()
    sweep = read_sweep(facts.program, where)
    if not isinstance(sweep, ProgramSweep):
        return None
    return StoredProgram(where, sweep, executions, results)


def _require_same(
    directory: Path,
    stored: ProgramSweep,
    sweep: ProgramSweep,
    program: UserProgram,
    row: ExecutionResult,
) -> None:
    data = row.versions.get("data")
    same = {
        "program": Path(stored.file).name == Path(sweep.file).name,
        "command": stored.command == sweep.command,
        "metric": stored.metric == sweep.metric,
        "program, which has been edited since": data in (None, fingerprint_of(program)),
    }
    for name, equal in same.items():
        if not equal:
            raise ChangedSweepError(f"{directory}: the row was made with another {name}")
