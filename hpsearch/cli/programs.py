"""`hpsearch plan` for the sweep of a program."""

from __future__ import annotations

import itertools
from pathlib import Path

from rich.console import Console

from hpsearch.programs.fingerprint import code_lines
from hpsearch.programs.sweep import ProgramSweep
from hpsearch.progress.display import line_printer
from hpsearch.search.draws import FIXED_METHODS, draws
from hpsearch.space.distributions import Drawn
from hpsearch.space.execution import Execution
from hpsearch.space.space import Choices, Parameter, Range
from hpsearch.store.directory import ResultsDirectory
from hpsearch.tuner.planning import Trials
from hpsearch.tuner.search import program_search
from hpsearch.wording import counted

_MOST_VALUES = 6
#: Most trials to count one by one.
_MOST_COUNTED = 100_000


def print_program_plan(sweep: ProgramSweep, out: Path | None, console: Console) -> None:
    """Print the plan of a run of a program's sweep; nothing runs."""
    say = line_printer(console)
    metric = sweep.metric
    where = ResultsDirectory(out or Path("experiments") / sweep.name)
    program = sweep.run_of(str(where.trials.absolute()))
    say(f"sweep {sweep.name}: a program, {metric.direction} {metric.name}")
    for warning in sweep.warnings:
        say(f"warning: {warning}")
    for line in code_lines(program):
        say(line)
    for parameter in sweep.space.parameters:
        say(parameter_line(parameter))
    executions, whole = _planned(sweep)
    if sweep.method.name in FIXED_METHODS and whole:
        trials = len({each.trial for each in executions})
        runs = "" if len(executions) == trials else f", {counted(len(executions), 'run')}"
        say(f"trials     {trials:,}{runs}")
    elif sweep.limit is not None:
        say(f"trials     {sweep.limit:,} at most; {sweep.method.name} chooses them")
    else:
        say(f"trials     as many as there is time for; {sweep.method.name} chooses them")
    if executions:
        first = executions[0]
        line = program.shell_line(first.config.values, first.seed, first.trial)
        say(f"trial 1    {line}")


def _planned(sweep: ProgramSweep) -> tuple[list[Execution], bool]:
    """Return the first executions of a method that ignores scores, and whether they are all.

    For any other method, return the executions of one random draw.
    """
    search = program_search(sweep)
    fixed = search.method.name in FIXED_METHODS
    method = search.method.name if fixed else "random"
    limit = search.limit if fixed else 1
    drawn = itertools.chain(search.listed, draws(method, search.space, search.listed, search.seed))
    bound = _MOST_COUNTED if limit is None and sweep.method.exhausts else 1
    trials = Trials(search.space, (), sweep.repetitions, limit=bound if limit is None else limit)
    executions: list[Execution] = []
    for config in drawn:
        if trials.spent:
            break
        executions += trials.new([config], sweep.repetitions)
    return executions, limit is not None or not trials.spent


def parameter_line(parameter: Parameter) -> str:
    """Return a parameter's name, values and conditions."""
    conditions = [
        f"{parent} is {' or '.join(map(str, accepted))}"
        for parent, accepted in parameter.when.items()
    ]
    when = f" (where {' and '.join(conditions)})" if conditions else ""
    return f"  {parameter.name}: {_domain(parameter)}{when}"


def _domain(parameter: Parameter) -> str:
    domain, choices = parameter.domain, parameter.choices or ()
    if isinstance(domain, Drawn):
        given = ", ".join(f"{name} {value:g}" for name, value in domain.arguments)
        return f"{domain.distribution}, {given}"
    if isinstance(domain, Range) and not 0 < len(choices) <= _MOST_VALUES:
        step = f", step {domain.step:g}" if domain.step is not None else ""
        return f"{domain.min:g} to {domain.max:g}{step}{', log' if domain.log else ''}"
    more = len(choices) - _MOST_VALUES
    shown = ", ".join(str(value)[:40] for value in choices[:_MOST_VALUES])
    weighted = ", weighted" if isinstance(domain, Choices) and domain.weights else ""
    return shown + (f" and {more} more" * (more > 0)) + weighted
