"""What the rows of a program's sweep have in common, and what stands in each of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hpsearch.errors import ChangedSweepError
from hpsearch.machine import version_of
from hpsearch.models.problem import Recipe
from hpsearch.programs.command import Program
from hpsearch.programs.fingerprint import commit_of
from hpsearch.programs.sweep import ProgramSweep
from hpsearch.space.space import Kind
from hpsearch.store.facts import Identity
from hpsearch.store.provenance import require_unchanged


def program_recipe(sweep: ProgramSweep) -> Recipe:
    """Return the recipe of a program: its score."""
    metric = sweep.metric
    return Recipe(sweep.seed, "", "", metric.name, metric.direction, epoch=metric.epoch, alone=True)


def program_identity(sweep: ProgramSweep, program: Program, fingerprint: str) -> Identity:
    """Return the identity of the rows of a program.

    Args:
        fingerprint: Of its files.
    """
    metric = sweep.metric
    return Identity(
        data=fingerprint,
        split={"program": Path(program.program).name if program.program else ""},
        metric=f"{metric.name}:{metric.direction}:{metric.epoch}",
        recipe={
            "seed": sweep.seed,
            "kind": str(Kind.PROGRAM),
            "command": list(program.command),
            "metrics_file": program.metrics_file,
        },
    )


def program_versions(program: Program, fingerprint: str) -> dict[str, str]:
    """Return the cells of a new row that name what made it."""
    return {
        "version": version_of("hpsearch"),
        "data": fingerprint,
        "program_commit": commit_of(program),
    }


def require_same_program(
    stored: Identity | None, identity: Identity, directory: Path, *, anyway: bool
) -> None:
    """Check that a program may add rows to the stored ones.

    Args:
        stored: None if nothing is stored yet.
        anyway: Whether an edited program may.

    Raises:
        ChangedSweepError: It may not.
    """
    if stored is None:
        return
    if stored.data != identity.data and stored.recipe.get("kind") == Kind.PROGRAM and not anyway:
        raise ChangedSweepError(
            f"{directory}: the program has been edited since its rows were made: the fingerprint "
            f"of its files was {stored.data} and is {identity.data} now. Undo the edit, have the "
            "edited program add rows with --anyway-code (the column data tells them apart), or "
            "begin anew with --fresh"
        )
    now = replace(identity, data=stored.data) if anyway else identity
    require_unchanged(stored, now, str(directory))
