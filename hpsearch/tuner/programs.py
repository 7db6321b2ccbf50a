"""Prepare the search over a program."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from hpsearch.data.specs import Task
from hpsearch.errors import InputError
from hpsearch.machine import users_value
from hpsearch.programs.fingerprint import fingerprint_of, program_versions
from hpsearch.programs.trial import ProgramSubject
from hpsearch.spec.command import variables_in
from hpsearch.spec.dump import dump_raw
from hpsearch.spec.sweep import ProgramSweep
from hpsearch.store.provenance import program_identity, program_recipe, require_same_program
from hpsearch.tuner.estimate import UnknownCosts
from hpsearch.tuner.search import Search
from hpsearch.tuner.steps import Prepared, Run
from hpsearch.workers.servers import ENVIRONMENT
from hpsearch.workers.shared import NO_ROWS


def prepare_program(sweep: ProgramSweep, run: Run) -> Prepared:
    """Claim the store for a program's rows.

    Raises:
        InputError: The program cannot be read.
        RefusedError: The store has rows of another program.
    """
    where = run.where
    where.prepare_trials()
    around = {name: users_value(name) for name in (*ENVIRONMENT, *variables_in(sweep.command))}
    program = sweep.run_of(str(where.trials.absolute()), around)
    try:
        fingerprint = fingerprint_of(program)
    except OSError as error:
        raise InputError(f"program: {error.filename}: cannot be read: {error.strerror}") from None
    identity = program_identity(sweep, program, fingerprint)
    run.claim(identity, partial(require_same_program, anyway=run.settings.anyway_code))
    for warning in sweep.warnings:
        run.warn(warning)
    run.executor.provide(NO_ROWS)
    text = dump_raw(sweep.raw())
    return Prepared(
        search=Search.of(sweep),
        recipe=program_recipe(sweep),
        identity=identity,
        task=Task.OBJECTIVE,
        name=sweep.name,
        columns=sweep.space.names,
        costs=UnknownCosts(tensorflow=False),
        time_seconds=sweep.time_seconds,
        retries=sweep.execution.retries,
        sweep=sweep,
        text=text,
        subject=ProgramSubject(replace(program, fingerprint=fingerprint)),
        facts={"program": text, "name": sweep.name},
        versions=program_versions(program, fingerprint),
    )
