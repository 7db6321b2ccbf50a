"""Read sweep files: of a program, or of either kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpsearch.errors import SweepFileError
from hpsearch.programs.command import script_of
from hpsearch.programs.sweep import ProgramSweep, clean_name
from hpsearch.spec.rules import Fault, InvalidValue
from hpsearch.spec.sweep import Sweep, apply_overrides, load_sweep, problems_of, read_document
from hpsearch.spec.wandb import OF_PROGRAMS
from hpsearch.spec.yaml import Document

_UNNOTICED = (
    "command: no file of yours is found in it, so edits of the program are not noticed; program: "
    "FILE names it"
)


def names_program(data: Any) -> bool:
    """Check if the data of a sweep file is that of a program."""
    return isinstance(data, Mapping) and any(key in data for key in OF_PROGRAMS)


def load_any(
    path: str | Path, overrides: Sequence[str] = (), *, with_data: bool = False
) -> Sweep | ProgramSweep:
    """Read a sweep file, of MLPs or of a program.

    Args:
        path: The file.
        overrides: Settings such as `parameters.epochs=[5]`, which replace the file's.
        with_data: Whether a missing data file or program is a problem.

    Raises:
        SweepFileError: With all problems, sorted by line.
    """
    document = read_document(path)
    if document.fatal or not names_program(document.data):
        return load_sweep(path, overrides, with_data=with_data)
    file = Path(path)
    sources = apply_overrides(document, overrides)
    sweep, faults = _validated(document, file.stem, file.absolute().parent, check=with_data)
    if sweep is None or faults or document.problems:
        raise SweepFileError(str(path), problems_of(document, faults, sources))
    return sweep


def program_sweep(
    raw: Mapping[str, Any], filename: str = "<python>", base_dir: Path | None = None
) -> ProgramSweep:
    """Read a mapping with the keys of a program's sweep file.

    Raises:
        SweepFileError: With all problems, each on line 1.
    """
    document = Document(data=dict(raw))
    sweep, faults = _validated(document, "sweep", base_dir, check=base_dir is not None)
    if sweep is None or faults:
        raise SweepFileError(filename, problems_of(document, faults, {}))
    return sweep


def _validated(
    document: Document, stem: str, base_dir: Path | None, *, check: bool
) -> tuple[ProgramSweep | None, list[Fault]]:
    data = {"name": clean_name(stem), **document.data}
    try:
        sweep = ProgramSweep.parse(data)
    except InvalidValue as error:
        return None, list(error.faults)
    faults: list[Fault] = []
    if base_dir is None:
        return sweep, faults
    if sweep.program is None:
        found = script_of(sweep.command or (), (base_dir, Path.cwd()))
    else:
        found = _found(sweep.program, base_dir)
        if check and not found.is_file():
            where = f"{base_dir / sweep.program} nor {Path.cwd() / sweep.program}"
            faults.append((("program",), f"no such file: neither {where}"))
    if found is None:
        return replace(sweep, warnings=(*sweep.warnings, _UNNOTICED)), faults
    return replace(sweep, program=str(found)), faults


def _found(program: str, base_dir: Path) -> Path:
    """Return the program's file: beside the sweep file, or in the working directory as for W&B."""
    path = Path(program).expanduser()
    for base in (base_dir, Path.cwd()):
        if (base / path).is_file():
            return (base / path).absolute()
    return (base_dir / path).absolute()
