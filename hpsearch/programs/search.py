"""Prepare the search over a program."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from hpsearch.data.loading import Loader
from hpsearch.data.specs import Task
from hpsearch.engine.run import Prepared, Run
from hpsearch.engine.search import SearchSpec
from hpsearch.engine.trainings import Costs
from hpsearch.errors import ChangedSweepError, InputError
from hpsearch.machine import DEVICE_VARIABLES, users_value
from hpsearch.models.problem import Recipe
from hpsearch.programs.trial import ProgramSubject, fingerprint_of, program_versions
from hpsearch.space.space import Kind
from hpsearch.spec.command import DEFAULT_COMMAND, UserProgram, variables_in
from hpsearch.spec.dump import dump_sweep
from hpsearch.spec.sweep import ProgramSweep
from hpsearch.store.facts import Identity
from hpsearch.store.provenance import require_unchanged
from hpsearch.workers.servers import ENVIRONMENT
from hpsearch.workers.shared import NO_ROWS


def prepare_program(sweep: ProgramSweep, load: Loader | None, run: Run) -> Prepared:
    """Claim the store for the rows of a program, which reads its data itself."""
    del load
    where = run.where
    where.prepare_trials()
    # Each worker names its own GPU in the latter.
    changed = {*ENVIRONMENT, *variables_in(sweep.command)} - {*DEVICE_VARIABLES}
    around = {name: users_value(name) for name in sorted(changed)}
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
    text, recipe = dump_sweep(sweep), program_recipe(sweep)
    subject = ProgramSubject(replace(program, fingerprint=fingerprint))
    return Prepared(
        search=SearchSpec.of(sweep),
        recipe=recipe,
        identity=identity,
        task=Task.OBJECTIVE,
        name=sweep.name,
        columns=sweep.space.names,
        costs=Costs(),
        sweep=sweep,
        text=text,
        subject=subject,
        reported=partial(subject.reported, recipe),
        facts={"program": text},
        versions=program_versions(program, fingerprint),
    )


def program_recipe(sweep: ProgramSweep) -> Recipe:
    """Return the recipe of a program, which consists of its score."""
    metric = sweep.metric
    return Recipe(sweep.seed, "", "", metric.name, metric.goal, epoch=metric.epoch, alone=True)


def program_identity(sweep: ProgramSweep, program: UserProgram, fingerprint: str) -> Identity:
    """Return the identity of the rows of a program."""
    metric = sweep.metric
    return Identity(
        data=fingerprint,
        split={"program": Path(program.program).name if program.program else ""},
        metric=f"{metric.name}:{metric.goal}:{metric.epoch}",
        recipe={
            "seed": sweep.seed,
            "kind": str(Kind.PROGRAM),
            # As written in the file, so that it is the same from any working directory.
            "command": list(sweep.command or DEFAULT_COMMAND),
            # A former setting: without it, the recipe's id would differ.
            "metrics_file": "",
        },
    )


def require_same_program(
    stored: Identity | None, identity: Identity, directory: Path, *, anyway: bool
) -> None:
    """Check that a program may add rows to any stored ones; an edited one only if `anyway`."""
    if stored is None:
        return
    edited = replace(identity, data=stored.data)
    if stored == edited != identity and not anyway:
        raise ChangedSweepError(
            f"{directory}: the program has been edited since its rows were made: the fingerprint "
            f"of its files was {stored.data} and is {identity.data} now. Undo the edit, have the "
            "edited program add rows with --anyway-code (the column data tells them apart), or "
            "begin anew with --fresh"
        )
    require_unchanged(stored, edited if anyway else identity, str(directory))
