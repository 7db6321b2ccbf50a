"""The tables of `show`."""

from __future__ import annotations

import io

import pytest
from made_tables import ACCURACY, LOSS, Made, Row, write
from rich.console import Console

from hpsearch.cli.show import print_results


@pytest.mark.parametrize(("metric", "best"), [(ACCURACY, "0.7000"), (LOSS, "0.5000")])
def test_the_best_score_of_each_value(tmp_path, metric, best):
    rows = [Row({"units": 8, "dropout": n / 10}, 0.5 + n / 10) for n in range(3)]
    rows.append(Row({"units": 16, "dropout": 0.0}, 0.6))
    write(tmp_path / "a", Made(rows, metric=metric))
    out = io.StringIO()
    print_results(tmp_path / "a", 10, Console(file=out, width=200))
    (eight,) = (line for line in out.getvalue().splitlines() if line.startswith("units"))
    assert eight.split() == ["units", "8", "0.6000", best, "3"]
