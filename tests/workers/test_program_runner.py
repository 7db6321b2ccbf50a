"""Programs one after the other in a process of somebody else's, as pools and Ray run them."""

from __future__ import annotations

import io
import subprocess
import sys
import textwrap
import threading
from contextlib import closing

import pytest

from hpsearch.models.problem import Recipe
from hpsearch.programs.command import ProgramCall, UserProgram
from hpsearch.space.execution import ENDLESS, Training
from hpsearch.workers import program_runner
from hpsearch.workers.program_runner import ProgramRunner
from hpsearch.workers.protocol import Answered, Finished, Job, Lost

#: Runs until a file is there.
WAITS = """\
import os, time
while not os.path.exists("go on"):
    time.sleep(0.01)
print("loss: 1")
"""
RECIPE = Recipe(0, "", "", "loss", "minimize", alone=True)


@pytest.fixture
def runner(monkeypatch):
    # Real servers, which end with the thread that starts them; the tests' own do not.
    monkeypatch.setattr("hpsearch.workers.servers.subprocess", subprocess)
    with closing(ProgramRunner()) as made:
        yield made


@pytest.fixture
def program(tmp_path):
    """Makes the job of a script."""

    def make(script, trial=1, **fields):
        file = tmp_path / f"train_{trial}.py"
        file.write_text(textwrap.dedent(script))
        made = UserProgram(
            command=(sys.executable, str(file)),
            program=str(file),
            metric="loss",
            directory=str(tmp_path),
            trials=str(tmp_path / "trials"),
            **fields,
        )
        return Job(
            Training({}, 0, ((ENDLESS, trial),)),
            RECIPE,
            tensorflow=False,
            program=ProgramCall(made, trial, 0),
        )

    return make


def scores(events):
    return [event.result.score for event in events if isinstance(event, Answered)]


def test_each_program_has_the_timeout_of_its_own_sweep(runner, program):
    first = list(runner.run(program("print('loss: 1')", timeout_seconds=60.0), 1))
    assert isinstance(first[-1], Finished)
    hangs = program("import time; time.sleep(20); print('loss: 2')", 2, timeout_seconds=1.0)
    (*_, lost) = runner.run(hangs, 1)
    assert isinstance(lost, Lost)
    assert lost.reason == "took longer than execution.timeout, 1 s"
    assert scores(runner.run(program("print('loss: 3')", 3), 1)) == [3]


def test_a_program_outlives_the_thread_that_began_it(runner, program, tmp_path):
    running = runner.run(program(WAITS), 1)
    events = []
    thread = threading.Thread(target=lambda: events.append(next(running)))
    thread.start()
    thread.join()
    (tmp_path / "go on").touch()
    events += running
    assert scores(events) == [1]


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), RuntimeError("no thread")])
def test_servers_that_cannot_be_started_cost_the_training(error, runner, program, monkeypatch):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(program_runner, "Servers", refuse)
    (lost,) = runner.run(program(""), 7)
    assert isinstance(lost, Lost)
    assert (lost.worker, lost.training.number, lost.reason) == (7, 1, str(error))


def test_what_servers_print_goes_where_this_process_prints(tmp_path, monkeypatch, runner, program):
    with (tmp_path / "err").open("w") as file:
        monkeypatch.setattr(sys, "stderr", file)
        # No Python starts so.
        monkeypatch.setenv("PYTHONHOME", "/nowhere")
        (lost,) = runner.run(program("print('loss: 1')"), 1)
    assert "the last lines of the worker's standard error say why" in lost.reason
    assert "/nowhere" in (tmp_path / "err").read_text()
    monkeypatch.delenv("PYTHONHOME")
    # One without a descriptor, such as a notebook's, is no place for them.
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert scores(runner.run(program("print('loss: 1')"), 1)) == [1]
