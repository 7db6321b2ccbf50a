"""A program as plain data, and its command line for a config, with W&B's macros replaced."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from hpsearch.errors import InputError
from hpsearch.spec.rules import InvalidValue, Rule, sequence
from hpsearch.wording import is_number, printable, show

#: W&B's default for a file with `program` but no `command`.
DEFAULT_COMMAND: Final = ("${env}", "${interpreter}", "${program}", "${args}")
#: Macros that may be parts of an item; W&B lacks them.
_PARTS: Final = ("seed", "trial_dir")
_MACRO: Final = re.compile(r"\$\{([^{}]*)\}")
_VARIABLE: Final = re.compile(r"envvar:([A-Za-z0-9_]+)\Z", re.ASCII)
#: Options of a Python that take no values.
_FLAGS: Final = re.compile(r"-[bBdEiIOPqsSuvx]+\Z")
_MODULE: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*\Z")
#: Endings of scripts, in lower case.
_SUFFIXES: Final = (
    *(".py", ".pyc", ".pyz", ".ipynb", ".sh", ".bash", ".zsh", ".r", ".jl", ".rb", ".pl"),
    *(".lua", ".js", ".mjs", ".ts", ".m", ".php", ".jar", ".groovy", ".tcl", ".awk"),
)


def _argument(value: Any) -> str:
    # W&B passes `true` as True, too.
    if not (isinstance(value, str | bool) or is_number(value)):
        raise InvalidValue.at(f"must be text, not {show(value)}")
    return str(value)


COMMAND: Final = sequence(
    Rule(_argument, {"type": "string"}),
    'a program and its arguments, such as [python, train.py, "${args}"]',
)


@dataclass(frozen=True)
class UserProgram:
    """A program of the user, and the place where it runs.

    Attributes:
        command: Its command line with macros.
        program: The absolute path of the file that `${program}` stands for, or empty.
        paths: Parameter -> its path in nested `parameters`, if it is nested.
        directory: Its working directory; absolute.
        trials: The directory with one directory for each trial; absolute.
        environment: Variables that workers change: name -> the driver's value for the program, or
            None to unset it.
        fingerprint: Fingerprint of its file at the start of the run; empty to skip the comparison.
    """

    command: tuple[str, ...]
    program: str
    metric: str
    paths: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    directory: str = "."
    trials: str = ""
    environment: Mapping[str, str | None] = field(default_factory=dict)
    timeout_seconds: float | None = None
    fingerprint: str = ""

    def values(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return a config as the program receives it: nested as in the file."""
        nested: dict[str, Any] = {}
        for name, value in config.items():
            *above, last = self.paths.get(name, (name,))
            level = nested
            for step in above:
                level = level.setdefault(step, {})
            level[last] = value
        return nested

    def require_variables(self) -> None:
        """Check that the environment has each variable that the command names."""
        for item in self.command:
            _MACRO.sub(self._variable, item)

    def arguments(
        self, config: Mapping[str, Any], seed: int, trial_dir: Path, *, look_up: bool = True
    ) -> list[str]:
        """Return the command line of a config.

        Args:
            trial_dir: The directory of `${args_json_file}`.
            look_up: Whether to replace `${envvar:NAME}`. Not for display, since it may be a secret.
        """
        macros = _macros(self.program, self.values(config), trial_dir)
        parts = {"seed": str(seed), "trial_dir": str(trial_dir)}
        if not any("hydra.run.dir" in text for text in (*self.command, *config)):
            # By default, apps that begin in the same second share a directory.
            quoted = str(trial_dir).replace("'", r"\'")
            macros["args_override_hydra"].append(f"hydra.run.dir='{quoted}'")

        def part(match: re.Match[str]) -> str:
            # Text that is not a macro belongs to the program.
            unknown = self._variable(match) if look_up else match[0]
            return parts.get(match[1], unknown)

        arguments: list[str] = []
        for item in self.command:
            whole = item[2:-1] if item.startswith("${") and item.endswith("}") else ""
            if whole in macros:
                arguments += macros[whole]
            else:
                arguments.append(_MACRO.sub(part, item))
        for argument in arguments:
            _require_passable(argument)
        return arguments

    def shell_line(self, config: Mapping[str, Any], seed: int, trial: int) -> str:
        """Return the command line as a shell would take it, for the trial's first process."""
        directory = Path(self.trials) / str(trial) / "run-1"
        line = shlex.join(self.arguments(config, seed, directory, look_up=False))
        return printable(line, "?")

    def _variable(self, match: re.Match[str]) -> str:
        """Return the variable's value if the macro names one; else the macro's text."""
        variable = _VARIABLE.match(match[1])
        if variable is None:
            return match[0]
        name = variable[1]
        value = self.environment[name] if name in self.environment else os.environ.get(name)
        if value is None:
            raise InputError(f"command: the environment has no variable {name}")
        return value


def _macros(program: str, values: Mapping[str, Any], trial_dir: Path) -> dict[str, list[str]]:
    """Return the items that stand for macros, which must be whole items of a command, as in W&B.

    Source: `create_sweep_command_args` of W&B's wandb/sdk/launch/sweeps/utils.py, 0.31.
    """
    pairs = [f"{name}={value}" for name, value in values.items()]
    return {
        "env": ["/usr/bin/env"],
        "interpreter": [_interpreter()],
        "program": [program],
        "args": [f"--{pair}" for pair in pairs],
        # A true value is a flag, a false one nothing.
        "args_no_boolean_flags": [
            f"--{n}" if v is True else f"--{n}={v}" for n, v in values.items() if v is not False
        ],
        "args_no_hyphens": pairs,
        "args_no_equals": [t for n, v in values.items() for t in (f"--{n}", str(v))],
        "args_append_hydra": [f"+{pair}" for pair in pairs],
        "args_override_hydra": [f"++{pair}" for pair in pairs],
        "args_json": [json.dumps(values)],
        "args_json_file": [str(trial_dir / "values.json")],
    }


def _interpreter() -> str:
    """Return the Python of the active environment, as in W&B, or else hpsearch's own."""
    active = os.environ.get("VIRTUAL_ENV")
    # Shells activate Conda's environment `base` by themselves.
    if not active and os.environ.get("CONDA_DEFAULT_ENV") != "base":
        active = os.environ.get("CONDA_PREFIX")
    python = f"{active}/bin/python"
    is_other = active and active != sys.prefix and os.access(python, os.X_OK)
    return python if is_other else sys.executable


def variables_in(command: Sequence[str] | None) -> list[str]:
    """Return the environment variables that a command names."""
    macros = (match[1] for item in command or () for match in _MACRO.finditer(item))
    return [variable[1] for macro in macros if (variable := _VARIABLE.match(macro))]


def _require_passable(argument: str) -> None:
    try:
        is_passable = b"\0" not in os.fsencode(argument)
    except UnicodeEncodeError:
        is_passable = False
    if not is_passable:
        raise InputError(
            f"an argument has characters that no command line can hold: {argument[:40]!a}"
        )


def script_of(command: Sequence[str], bases: Sequence[Path]) -> Path | None:
    """Return the path of the first script that a command names: an executable, or by its ending.

    An option's value does not count, since it may be a file that the program writes. Nor does the
    beginning of the command, which may be an interpreter, unless it lies below the first base.

    Args:
        bases: Directories in which a relative path is looked for, in order; absolute.
    """
    is_value = False
    for index, item in enumerate(command):
        is_option = item.startswith("-")
        skipped = is_value or is_option or "${" in item
        is_value = is_option and "=" not in item and not _FLAGS.match(item)
        for base in () if skipped else bases if index else bases[:1]:
            path = Path(os.path.normpath(base / item))
            if not is_file(path):
                continue
            is_own = path.resolve().is_relative_to(base.resolve())
            is_script = path.suffix.lower() in _SUFFIXES or (is_own and os.access(path, os.X_OK))
            # A first item without a separator is looked up in PATH.
            if is_script and (index or (is_own and os.sep in item)):
                return path
    return None


def module_in(command: Sequence[str], program: str) -> str:
    """Return the module that `-m ${program}` runs; empty if the command has no such items."""
    runs = ("-m", "${program}") in pairwise(command)
    return program if runs and _MODULE.match(program) else ""


def module_file(module: str, base: Path) -> Path | None:
    """Return the file that `python -m` runs of a module in a directory."""
    name = module.replace(".", os.sep)
    files = (base / f"{name}{end}" for end in (f"{os.sep}__main__.py", ".py"))
    return next(filter(is_file, files), None)


def runs_itself(command: Sequence[str]) -> bool:
    """Check if a command begins with its program, which PATH may then have."""
    return [item for item in command if item != "${env}"][:1] == ["${program}"]


def expanded(path: str) -> Path:
    """Return a path with the home directory for `~`; the name of an unknown user stays."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path's refuses it


def is_file(path: Path) -> bool:
    """Check if a path is a file; unlike `Path.is_file`, also of a name that is too long."""
    return os.path.isfile(path)  # noqa: PTH113


def command_in(directory: Path, command: Sequence[str], program: str) -> tuple[str, ...]:
    """Return a command that names the same script (an absolute path, or empty) from a directory."""
    items = list(command)
    for index, item in enumerate(command):
        if _names(item, program):
            if not is_file(directory / item):
                items[index] = program
            break
    return tuple(items)


def _names(item: str, program: str) -> bool:
    """Check if an item is the end of a path."""
    if not program or "\0" in item or item.startswith("-"):
        return False
    parts = [part for part in Path(os.path.normpath(item)).parts if part != os.pardir]
    return bool(parts) and list(Path(program).parts[-len(parts) :]) == parts


def command_faults(command: Sequence[str], *, program: bool) -> Iterator[tuple[int, str]]:
    """Yield the index of each item of a command that cannot be filled in, and the reason."""
    items = tuple(_macros("", {}, Path()))
    for index, item in enumerate(command):
        whole = item[2:-1] if item.startswith("${") and item.endswith("}") else ""
        for name in _MACRO.findall(item):
            if name in _PARTS or _VARIABLE.match(name):
                continue
            if name == "program" and not program:
                yield index, "${program} needs the key program, such as program: train.py"
            elif (name in items) != (name == whole):
                macros = ", ".join(f"${{{macro}}}" for macro in items)
                yield index, f"{item}: there are the macros {macros}, each an item of its own"
