"""Programs as small scripts, run as trials in this process or by the command."""

import textwrap

import pytest

from hpsearch.models.problem import Recipe
from hpsearch.programs.trial import run_trial
from hpsearch.space.execution import Training
from hpsearch.space.space import ENDLESS
from hpsearch.spec.command import UserProgram


@pytest.fixture
def write(tmp_path):
    """Writes a file of the test's directory."""

    def written(name, text):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return written


@pytest.fixture
def trial(tmp_path, write):
    """Runs a script as a trial, and returns its result."""

    said = []

    def run(script, values=None, *, epochs=ENDLESS, seed=0, metric="loss", **fields):
        command = fields.pop("command", ("${interpreter}", "${program}", "${args}"))
        program = UserProgram(
            command=command,
            program=str(write("program.py", script)),
            metric=metric,
            directory=str(tmp_path),
            trials=str(tmp_path / "trials"),
            **fields,
        )
        training = Training(
            values or {}, seed, ((epochs, 1),), whole=ENDLESS if epochs < ENDLESS else None, trial=1
        )
        recipe = Recipe(0, "", "", metric, "minimize", alone=True)
        return run_trial(program, training, recipe, say=said.append)

    run.said = said
    return run
