"""FAULTS 30: a table that cannot be compared with its store stops the run."""

import shutil

import pytest
from commands import sweep
from outcomes import OF_A_RUN, contents

_SWEEP = "data: {dataset: digits}\nparameters: {units: [4, 8], epochs: 1}\n"


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of two trials with the store of its first."""
    home = tmp_path_factory.mktemp("guard")
    sweep(home, _SWEEP, "--set", "parameters.units=[4]")
    shutil.copy(home / "out" / "sweep.db", home / "older.db")
    sweep(home)
    shutil.move(home / "older.db", home / "out" / "sweep.db")
    return home


def spreadsheet(text):
    rows = [line.split(",") for line in text.splitlines()]
    return "\n".join(";".join(row) for row in rows)


def decimal(text):
    return "\n".join(
        line.replace(line.split(",")[0], f"{number}.0", 1) if number else line
        for number, line in enumerate(text.splitlines())
    )


@pytest.mark.parametrize(
    "saved",
    [
        lambda text: text,
        lambda text: "\ufeff" + text,
        spreadsheet,
        decimal,
        lambda text: text + "checked by me\n",
        lambda text: "notes\n" + text,
        lambda text: text.encode("utf-16").decode("latin-1"),
    ],
    ids=["as it was", "byte-order mark", "semicolons", "1.0", "a note", "a heading", "utf-16"],
)
def test_an_older_store_is_refused_whatever_saved_the_table(swept, tmp_path, saved):
    home = shutil.copytree(swept, tmp_path / "home")
    table = home / "out" / "results.csv"
    table.write_text(saved(table.read_text()))
    before = contents(home / "out", OF_A_RUN)
    (line,) = sweep(home, code=3).stderr.strip().splitlines()
    assert "results.csv" in line
    assert contents(home / "out", OF_A_RUN) == before
