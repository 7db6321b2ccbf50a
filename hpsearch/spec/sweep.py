"""Read a file, a text or a mapping as a sweep, and report every problem with its line."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from hpsearch.errors import InputError, InputProblem, SweepFileError
from hpsearch.machine import odd_kind
from hpsearch.spec import words
from hpsearch.spec.checks import Broken, advice, cross_faults, is_regression
from hpsearch.spec.command import expanded, is_file, module_file, module_in, runs_itself, script_of
from hpsearch.spec.keys import CustomModelFields, ModelFields, ProgramFields, SweepFields
from hpsearch.spec.method import KEYS, OF_PROGRAMS, translate
from hpsearch.spec.parameters import is_known
from hpsearch.spec.rules import (
    MOST_FAULTS,
    MOST_NAME,
    Fault,
    InvalidValue,
    Spec,
    clean_name,
    require_mapping,
)
from hpsearch.spec.yaml import (
    MOST_BYTES,
    MOST_PROBLEMS,
    Document,
    Loc,
    key_path,
    read_yaml,
    yaml_scalar,
)
from hpsearch.wording import show


class _CheckedSweep(SweepFields):
    """A file whose keys also fit each other, with `warnings` of ignored and doubtful ones."""

    #: Keys that a file must have, so that the others are checked without them.
    least: ClassVar[Mapping[str, Any]] = {}
    #: True if its trainings may need TensorFlow.
    uses_tensorflow: ClassVar[bool]

    warnings: tuple[str, ...] = field(default=(), compare=False)

    def missing_files(self) -> Iterator[Fault]:
        """Yield a fault for each file that does not exist."""
        if self.known is not None and not os.path.exists(self.known):  # noqa: PTH110 - long names
            yield ("known",), f"no such file, {self.known}"

    def require_runnable(self, *, elsewhere: bool) -> None:
        """Raise InputError if it cannot run now, by its `execution.engine` or elsewhere."""
        del elsewhere
        if missing := [f"{key_path(loc)}: {message}" for loc, message in self.missing_files()]:
            raise InputError("\n".join(missing))

    @classmethod
    def parse(cls, data: Any) -> Self:
        if isinstance(data, cls):
            return data
        program = issubclass(cls, ProgramFields)
        raw, warnings, further = translate(
            require_mapping(data, "must be a mapping"), program=program
        )
        sweep, faults = cls._without_faults(raw)
        faults += further
        if sweep is not None:
            faults += islice(cross_faults(sweep, Broken.of(faults)), MOST_FAULTS)
        if sweep is None or faults:
            raise InvalidValue(faults)
        return replace(sweep, warnings=(*warnings, *advice(sweep)))

    @classmethod
    def _without_faults(cls, raw: dict[str, Any]) -> tuple[Self | None, list[Fault]]:
        """Return the sweep of the parts without faults, and the faults."""
        keys = CustomModelFields if isinstance(raw.get("model"), str) else cls
        values, faults = keys.read(raw, KEYS)
        if faults:
            faults = [_placed(cls, *fault) for fault in faults]
            values, further = keys.read({**cls.least, **Broken.of(faults).without(raw)})
            if further:
                return None, faults
        return cls(**values), faults


class Sweep(ModelFields, _CheckedSweep):
    """A validated sweep file of models; equal if the settings are, whatever the warnings.

    Build one with `load_sweep`, `sweep_from_text` or `sweep_from_mapping`, which raise
    SweepFileError, or with `Sweep.parse({"name": "s", "data": ...})`, which raises InvalidValue.
    """

    words = words.SWEEP
    least: ClassVar[Mapping[str, Any]] = {"name": "unknown", "data": {"dataset": "digits"}}
    uses_tensorflow = True

    @classmethod
    def parse(cls, data: Any) -> Self:
        sweep = super().parse(data)
        if not is_regression(sweep):
            return sweep
        return replace(sweep, data=replace(sweep.data, task="regression"))

    def resolved(self, base_dir: Path) -> Self:
        """Return a copy in which paths relative to `base_dir` are absolute."""
        known = _absolute(self.known, base_dir)
        return replace(self, data=self.data.resolved(base_dir), known=known)

    def missing_files(self) -> Iterator[Fault]:
        for loc, message in self.data.missing_files():
            yield ("data", *loc), message
        yield from super().missing_files()


class ProgramSweep(ProgramFields, _CheckedSweep):
    """A validated sweep file of a program, built as a `Sweep` is."""

    least: ClassVar[Mapping[str, Any]] = {"name": "unknown", "metric": "loss"}
    uses_tensorflow = False

    def resolved(self, base_dir: Path) -> Self:
        """Return a copy with the program's file as an absolute path.

        It is beside the sweep file, or in the working directory as for W&B, or in PATH if the
        command begins with it; without the key, it is the script that the command names.
        """
        bases = (base_dir.absolute(), Path.cwd())
        known = _absolute(self.known, base_dir)
        command, program = self.command, self.program
        if module := module_in(command or (), program or ""):
            command = tuple(module if item == "${program}" else item for item in command or ())
            # Python looks there only.
            path = module_file(module, Path.cwd())
        elif program is None:
            path = script_of(command or (), bases)
        else:
            paths = [(base / expanded(program)).absolute() for base in bases]
            in_path = shutil.which(program) if runs_itself(command or ()) else None
            path = next(filter(is_file, paths), None) or Path(in_path or paths[0])
        if path is None:
            warnings = (*self.warnings, _UNNOTICED)
            return replace(self, known=known, command=command, program=None, warnings=warnings)
        return replace(self, known=known, command=command, program=str(path))

    def missing_files(self) -> Iterator[Fault]:
        yield from super().missing_files()
        if self.program is not None and not is_file(Path(self.program)):
            yield (
                ("program",),
                f"no such file, {self.program}; it is looked for beside the sweep file, and then "
                f"from {Path.cwd()}",
            )

    def require_runnable(self, *, elsewhere: bool) -> None:
        super().require_runnable(elsewhere=elsewhere)
        if elsewhere:
            raise InputError("executor: programs run on this machine; models run on an executor")
        self.run_of("").require_variables()


def _absolute(path: str | None, base_dir: Path) -> str | None:
    return None if path is None else os.path.normpath(base_dir.absolute() / expanded(path))


AnySweep = Sweep | ProgramSweep

_UNNOTICED: Final = (
    "command: no file of yours is found in it, so edits of the program are not noticed; program: "
    "FILE names it"
)


def model_sweep(sweep: AnySweep) -> Sweep:
    """Return the sweep of a model; raise InputError for a program's."""
    if isinstance(sweep, ProgramSweep):
        raise InputError(
            f"{sweep.name}: this is the sweep of a program, and a model's is needed here: hpsearch "
            "run, plan, show, compare, report and reproduce take a program's"
        )
    return sweep


_NEITHER = (
    "is missing, such as data: {dataset: digits}; or, to run a program of yours for each trial, "
    "program: train.py"
)


def _placed(kind: type[Spec], loc: Loc, message: str) -> Fault:
    """Improve the messages for missing data and for a top-level key that belongs elsewhere."""
    if loc == ("data",) and message == "is missing":
        return loc, _NEITHER
    if len(loc) != 1 or not message.startswith("unknown key"):
        return loc, message
    key = str(loc[0])
    inner = {name: declared.metadata["rule"].part for name, declared in kind.keys().items()}
    parts = [name for name, part in inner.items() if part is not None and key in {*part.keys()}]
    parts += ["parameters"] if is_known(key) else []
    places = " or ".join(f"{part}:" for part in parts)
    return loc, f"unknown key here; put it under {places}" if places else message


_PATH = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+)*\Z", re.ASCII)


def apply_overrides(document: Document, overrides: Sequence[str]) -> dict[Loc, str]:
    """Change a document's data as `--set` says; return each changed place with its setting."""
    sources: dict[Loc, str] = {}
    if not isinstance(document.data, dict):
        return sources
    for setting in overrides:
        path, equals, text = setting.partition("=")
        path = path.strip()
        if not equals or not _PATH.match(path):
            message = f"--set {setting}: must be KEY=VALUE, such as parameters.epochs=[5]"
            document.problems.append(InputProblem(1, "", message))
            continue
        loc = tuple(path.split("."))
        try:
            _set(document.data, loc, yaml_scalar(text) if text.strip() else None)
        except ValueError as error:
            document.problems.append(
                InputProblem(document.line(loc), path, f"--set {setting}: {error}")
            )
            continue
        sources[loc] = setting
        document.broken -= {other for other in document.broken if other[: len(loc)] == loc}
    return sources


def _set(data: Any, loc: Sequence[str], value: Any) -> None:
    for depth, key in enumerate(loc[:-1], 1):
        data = data.setdefault(key, {})
        if not isinstance(data, dict):
            raise ValueError(  # noqa: TRY004 - the user's value, not the caller's type
                f"{'.'.join(loc[:depth])} is no mapping, so nothing can be set in it"
            )
    data[loc[-1]] = value


def load_sweep(
    path: str | Path, overrides: Sequence[str] = (), *, with_data: bool = False
) -> AnySweep:
    """Read a sweep file, of models or of a program.

    Args:
        path: The file; paths of files in it are relative to its directory.
        overrides: Settings such as `parameters.epochs=[5]`, which replace the file's.
        with_data: Whether a missing data file or program is a problem.
    """
    base_dir = Path(path).absolute().parent
    return _sweep(_document(path), str(path), base_dir, overrides, with_data=with_data)


def _document(path: str | Path) -> Document:
    file = Path(path)
    content, reason = b"", odd_kind(file)
    if not reason:
        try:
            with file.open("rb") as stream:
                content = stream.read(MOST_BYTES + 1)
        except OSError as error:
            reason = error.strerror or str(error)
    if reason:
        raise SweepFileError(str(path), [InputProblem(1, "", f"cannot be read: {reason}")])
    return read_yaml(content)


def sweep_from_text(
    text: str,
    filename: str = "sweep.yaml",
    base_dir: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> AnySweep:
    """Read the text of a sweep file.

    Args:
        filename: File name for messages; its stem is the sweep's default name.
        base_dir: Directory that paths of files are relative to; None leaves them unchanged.
        overrides: As for `load_sweep`.
    """
    content = text.encode("utf-8", "surrogatepass")
    return _sweep(read_yaml(content), filename, base_dir, overrides)


#: Keys that say which configs a sweep tries.
_OF_SEVERAL = ("parameters", "configs", "constraints", "budget", "known", "method")


def sweep_from_mapping(raw: Mapping[str, Any], base_dir: str | Path | None = None) -> AnySweep:
    """Read a mapping with a sweep file's keys; `base_dir` is as for `sweep_from_text`."""
    return _sweep(Document(data={"name": "sweep", **raw}), "<python>", base_dir)


def sweep_of_configs(
    sweep: Sweep,
    configs: Iterable[Mapping[str, Any]],
    seeds: Iterable[int],
    ending: str,
    *,
    whole: bool = False,
) -> Sweep:
    """Return the sweep of exactly these configs and seeds, with the data and settings of `sweep`.

    Args:
        ending: Text to append to the name.
        whole: Train on all rows except the test rows. No validation rows are left to end a training
            early or to choose an epoch.
    """
    asked = sweep.raw()
    raw = {key: value for key, value in asked.items() if key not in (*_OF_SEVERAL, "keep")}
    if sweep.kind.is_model and "parameters" in asked:
        # They bound the hyperparameters that the model itself requests.
        raw["parameters"] = asked["parameters"]
    if whole:
        raw.pop("early_stopping", None)
        data = {name: value for name, value in raw["data"].items() if name != "cv"}
        raw["data"] = data | {"train_on": "train+validation"}
        if sweep.metric is not None:
            raw["metric"] = replace(sweep.metric, epoch="last").raw()
    name = f"{sweep.name[: MOST_NAME - len(ending)]}{ending}"
    raw |= {"name": name, "configs": [dict(config) for config in configs], "seeds": list(seeds)}
    return model_sweep(sweep_from_mapping(raw))


def _sweep(
    document: Document,
    filename: str,
    base_dir: str | Path | None,
    overrides: Sequence[str] = (),
    *,
    with_data: bool = False,
) -> AnySweep:
    sweep: AnySweep | None = None
    problems = document.problems
    if not document.fatal:
        sources = apply_overrides(document, overrides)
        sweep, faults = _validated(document, Path(filename).stem)
        if sweep is not None and base_dir is not None:
            sweep = sweep.resolved(Path(base_dir))
        if sweep is not None and with_data:
            faults += sweep.missing_files()
        problems += [_problem(document, loc, message, sources) for loc, message in faults]
    if problems or sweep is None:
        in_order = sorted(dict.fromkeys(problems), key=lambda problem: problem.line)
        raise SweepFileError(filename, in_order[:MOST_PROBLEMS])
    return sweep


def _validated(document: Document, stem: str) -> tuple[AnySweep | None, list[Fault]]:
    data = document.data
    if not isinstance(data, dict):
        message = f"must be a mapping with the keys data, parameters, ..., not {show(data)}"
        return None, [] if document.broken else [((), message)]
    kind: type[AnySweep] = Sweep if OF_PROGRAMS.isdisjoint(data) else ProgramSweep
    try:
        return kind.parse({"name": clean_name(stem), **data}), []
    except InvalidValue as error:
        faults = error.faults
    hidden = document.broken
    return None, [
        fault for fault in faults if not any(fault[0][: len(prefix)] == prefix for prefix in hidden)
    ]


def _problem(
    document: Document, loc: Loc, message: str, sources: Mapping[Loc, str]
) -> InputProblem:
    line = document.line(loc)
    for prefix, source in sources.items():
        if loc[: len(prefix)] == prefix:
            message = f"{message} (from --set {source})"
            line = document.line(prefix[:-1])
    return InputProblem(line, key_path(loc), message)
