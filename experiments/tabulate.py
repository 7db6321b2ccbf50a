"""Train every config of a grid and write the tables in which search_quality.py looks up scores.

    python experiments/tabulate.py [digits] [diabetes]

Runs tabulated_NAME.yaml with hpsearch and writes tabulated_NAME.csv.gz, with one row for each
config: its hyperparameters and the validation loss after each epoch to four digits, empty after a
training has diverged. The diabetes data are scikit-learn's table in the units of the study (442
patients, ten features, the disease's progression a year later), which this script writes to the
sweep file's directory. A table takes a few minutes.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
from pathlib import Path

import pandas as pd
from report import HERE

import hpsearch

TABLES = ("digits", "diabetes")
_METRIC = "val_loss"


def write_diabetes(path: Path) -> None:
    """Write scikit-learn's diabetes table as a CSV with the target `progression`."""
    from sklearn.datasets import load_diabetes

    table = load_diabetes(scaled=False, as_frame=True).frame
    table.rename(columns={"target": "progression"}).to_csv(path, index=False, lineterminator="\n")


def tabulate(sweep: Path, directory: Path) -> pd.DataFrame:
    """Run a sweep with one seed and return the id, values and curve of each config.

    Raises:
        SystemExit: A trial has failed, which would leave a gap in the table.
    """
    results = hpsearch.run(sweep, out=directory)
    table = results.table
    if not table["status"].isin(["completed", "diverged"]).all():
        raise SystemExit(f"{sweep.name}: not every trial is completed or diverged")
    curves = results.curves.pivot_table(index="trial", columns="epoch", values=_METRIC)
    curves = curves.map(lambda loss: float(f"{loss:.4g}")).reindex(table["trial"])
    names = [name for name in results.sweep.parameters if name != "epochs"]
    return pd.concat([table[["config", *names]], curves.reset_index(drop=True)], axis=1)


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a table as a gzipped CSV; the same table gives the same bytes."""
    text = table.to_csv(index=False, lineterminator="\n")
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def main() -> None:
    """Write the tables named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("tables", nargs="*", default=list(TABLES), metavar="|".join(TABLES))
    parser.add_argument("--sweeps", type=Path, default=HERE, help="where the sweep files are")
    parser.add_argument("--out", type=Path, default=HERE, help="where the tables go")
    arguments = parser.parse_args()
    for name in arguments.tables:
        sweep = arguments.sweeps / f"tabulated_{name}.yaml"
        if name == "diabetes":
            write_diabetes(sweep.with_name("tabulated_diabetes_data.csv"))
        with tempfile.TemporaryDirectory() as scratch:
            table = tabulate(sweep, Path(scratch) / "results")
        write(table, arguments.out / f"tabulated_{name}.csv.gz")
        print(f"{name}: {len(table)} configs", flush=True)


if __name__ == "__main__":
    main()
