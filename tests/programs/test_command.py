"""The command line of a config: W&B's macros, values whole or refused, and no shell."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpsearch.engine.session import Settings
from hpsearch.engine.sweep import run_sweep
from hpsearch.errors import InputError, SweepFileError
from hpsearch.spec.command import UserProgram, command_faults, script_of
from hpsearch.spec.sweep import sweep_from_mapping

VALUES = {"lr": 0.1, "flag": True, "off": False, "text": "a b", "none": None}
PLACE = Path("/trial")


def arguments(*command, values=VALUES, **fields):
    program = UserProgram(command=command, program="/p/train.py", metric="m", **fields)
    return program.arguments(values, 7, PLACE)


@pytest.mark.parametrize(
    ("macro", "expected"),
    [
        # As in W&B's documentation of `command`.
        ("${env}", ["/usr/bin/env"]),
        ("${interpreter}", [sys.executable]),
        ("${program}", ["/p/train.py"]),
        ("${args}", ["--lr=0.1", "--flag=True", "--off=False", "--text=a b", "--none=None"]),
        ("${args_no_boolean_flags}", ["--lr=0.1", "--flag", "--text=a b", "--none=None"]),
        ("${args_no_hyphens}", ["lr=0.1", "flag=True", "off=False", "text=a b", "none=None"]),
        ("${args_json}", [json.dumps(VALUES)]),
        ("${args_json_file}", ["/trial/values.json"]),
        ("${envvar:HERE}", ["there"]),
        ("--x=${envvar:HERE}/${seed}", ["--x=there/7"]),
        ("--out=${trial_dir}/m.csv", ["--out=/trial/m.csv"]),
        ("$HOME `id` ; \"'", ["$HOME `id` ; \"'"]),
    ],
)
def test_macros(macro, expected, monkeypatch):
    monkeypatch.setenv("HERE", "there")
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    assert arguments(macro) == expected


HYDRA = ("app.py", "${args_override_hydra}")


@pytest.mark.parametrize(
    ("command", "values", "place", "expected"),
    [
        (HYDRA, {"x": 1}, "/trial/1", ["app.py", "++x=1", "hydra.run.dir='/trial/1'"]),
        (HYDRA, {"x": 1}, "/it's 1", ["app.py", "++x=1", r"hydra.run.dir='/it\'s 1'"]),
        ((*HYDRA, "hydra.run.dir=o"), {"x": 1}, "/t", ["app.py", "++x=1", "hydra.run.dir=o"]),
        (HYDRA, {"hydra.run.dir": "o"}, "/t", ["app.py", "++hydra.run.dir=o"]),
        (("${args_append_hydra}",), {"x": 1}, "/t", ["+x=1"]),
    ],
)
def test_apps_of_hydra_have_directories_of_their_own(command, values, place, expected):
    program = UserProgram(command=command, program="", metric="m")
    assert program.arguments(values, 0, Path(place)) == expected


@pytest.mark.parametrize(
    ("name", "others", "active"),
    [
        ("VIRTUAL_ENV", {}, True),
        ("CONDA_PREFIX", {"CONDA_DEFAULT_ENV": "mine"}, True),
        ("CONDA_PREFIX", {"CONDA_DEFAULT_ENV": "base"}, False),
        ("PREFIX", {}, False),
    ],
)
def test_the_interpreter_is_that_of_the_active_environment(
    name, others, active, tmp_path, monkeypatch
):
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in {name: str(tmp_path), **others}.items():
        monkeypatch.setenv(variable, value)
    assert arguments("${interpreter}") == [sys.executable]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    expected = str(tmp_path / "bin/python") if active else sys.executable
    assert arguments("${interpreter}") == [expected]


def test_nested_values_are_nested_again_as_wandb_passes_them():
    paths = {"opt.name": ("opt", "name"), "opt.lr": ("opt", "lr")}
    values = {"opt.name": "adam", "opt.lr": 0.1, "n": 3}
    found = arguments("${args}", values=values, paths=paths)
    assert found == ["--opt={'name': 'adam', 'lr': 0.1}", "--n=3"]


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (["${nothing}"], "${nothing}: there are the macros ${env}, "),
        (["--all=${args}"], "each an item of its own"),
        (["${program}"], "needs the key program"),
    ],
)
def test_commands_that_cannot_be_filled_in(items, said):
    ((index, message),) = command_faults(items, program=False)
    assert index == 0
    assert said in message


def test_zero_bytes_are_refused():
    with pytest.raises(SweepFileError, match="zero byte"):
        sweep_from_mapping({"command": ["true"], "metric": "m", "parameters": {"p": "a\0b"}})
    with pytest.raises(InputError, match="no command line can hold"):
        arguments("a\0")


def test_a_variable_is_looked_up_where_a_program_runs_and_shown_to_nobody(monkeypatch, tmp_path):
    monkeypatch.delenv("SECRET", raising=False)
    raw = {"command": ["true", "--key=${envvar:SECRET}"], "metric": "m", "parameters": {"x": [1]}}
    sweep = sweep_from_mapping(raw)
    program = sweep.run_of("")
    assert "${envvar:SECRET}" in program.shell_line({}, 0, 1)
    with pytest.raises(InputError, match="no variable SECRET"):
        program.arguments({}, 0, PLACE)
    with pytest.raises(InputError, match="no variable SECRET"):
        run_sweep(sweep, Settings(out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    monkeypatch.setenv("SECRET", "word")
    assert "word" not in program.shell_line({}, 0, 1)
    assert program.arguments({}, 0, PLACE) == ["true", "--key=word"]


def test_bytes_that_are_no_utf_8_are_passed_on(monkeypatch):
    monkeypatch.setenv("NAME", os.fsdecode(b"a\xff\n"))
    assert os.fsencode(arguments("${envvar:NAME}")[0]) == b"a\xff\n"
    with pytest.raises(InputError, match="no command line can hold"):
        arguments("\ud800")


def test_the_line_for_a_shell_is_printable_and_read_back_by_one():
    values = {"text": "'\\é", "plain": "it's $HOME"}
    program = UserProgram(command=("printf", "%s\\0", "${args}"), program="", metric="m")
    line = program.shell_line(values, 0, 1)
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == [f"--{n}={v}" for n, v in values.items()]
    assert program.shell_line({"text": "a\n\x1b[31m"}, 0, 1).isprintable()


@pytest.mark.parametrize(
    ("command", "found"),
    [
        (["${interpreter}", "train.py", "data.csv"], "train.py"),
        (["/usr/bin/env", "python", "-u", "sub/../train.py", "${args}"], "train.py"),
        (["${env}", "${interpreter}", "-u", "train.py"], "train.py"),
        # Beside the sweep file first, then from the working directory.
        (["python", "both.py"], "both.py"),
        (["python", "there.py"], "elsewhere/there.py"),
        (["bash", "{here}/elsewhere/there.py"], "elsewhere/there.py"),
        (["./train.py"], "train.py"),
        # What the program may write, what PATH has, and data.
        (["python", "-m", "train", "--out", "train.py"], None),
        (["python", "--out", "train.py"], None),
        (["train.py"], None),
        ([sys.executable, "data.csv"], None),
        (["env", sys.executable, "data.csv"], None),
        (["python", "${args}", "x" * 5_000, "a\0"], None),
    ],
    ids=str,
)
def test_the_script_that_a_command_names(command, found, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for name in ("train.py", "both.py", "elsewhere/both.py", "elsewhere/there.py", "data.csv"):
        (tmp_path / name).write_text("")
    command = [item.replace("{here}", str(tmp_path)) for item in command]
    bases = (tmp_path, tmp_path / "elsewhere")
    assert script_of(command, bases) == (None if found is None else tmp_path / found)
