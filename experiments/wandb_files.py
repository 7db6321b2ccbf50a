"""Count the W&B sweep files of public repositories that hpsearch reads.

    python experiments/wandb_files.py FOLDER

wandb_files.csv lists 100 sweep files of 100 repositories on GitHub, with their commits. FOLDER has
each as FILE.yaml, of the table's column; their texts are not copied into this repository. They were
taken in alphabetical order of their owners, from the repositories that have a file at one of eight
paths such as `wandb_sweep.yaml` or `configs/sweep.yaml`, whatever they hold, as long as it is a W&B
sweep at the top level. A file without `program`, which W&B takes for an agent with a function, is
read with a `program` added. Reading is all that `hpsearch plan` does before it looks for the
program; no program runs.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections import Counter
from pathlib import Path

from report import HERE, machine, report_parts, versions

from hpsearch.errors import SweepFileError
from hpsearch.spec.sweep import sweep_from_text

_PROGRAM = re.compile(r"^(program|command):", re.MULTILINE)


def names_program(text: str) -> bool:
    """Check if a sweep file names a program or a command."""
    return _PROGRAM.search(text) is not None


def fault_of(text: str) -> str:
    """Return the first fault of a sweep file, without its place and hint; empty if it is read."""
    whole = text if names_program(text) else f"program: train.py\n{text}"
    try:
        sweep_from_text(whole)
    except SweepFileError as error:
        return re.split(r"; |, not |, such as |: there are", error.problems[0].message)[0]
    return ""


def main() -> None:
    """Read the files, and write wandb_files.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    with (HERE / "wandb_files.csv").open(encoding="utf-8", newline="") as file:
        names = [row["file"] for row in csv.DictReader(file)]
    paths = [given.folder / f"{name}.yaml" for name in names]
    texts = [path.read_bytes().decode("utf-8") for path in paths if path.exists()]
    found = [(names_program(text), fault_of(text)) for text in texts]
    faults = Counter(fault for _, fault in found if fault)
    about = [machine(), versions("hpsearch")]
    parts = {
        "Files": [
            {
                "that": kind,
                "files": sum(names is named for names, _ in found),
                "read": found.count((named, "")),
            }
            for named, kind in (
                (True, "name a program or a command"),
                (False, "name neither, read with a program added"),
            )
        ],
        "Why a file is refused": [
            {"first fault": fault, "files": count} for fault, count in faults.most_common()
        ],
    }
    report_parts("wandb_files", about, parts, given.out)


if __name__ == "__main__":
    main()
