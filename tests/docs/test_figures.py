"""The README's figures are those of the committed measurements, to the digit."""

from __future__ import annotations

import json
import re
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
#: Column of the README's table -> contender.
COLUMNS = {
    "KerasTuner": "keras_tuner",
    "KerasTuner, best": "keras_tuner_best",
    "Optuna": "optuna",
    "Optuna, best": "optuna_best",
    "scikit-learn, two processes": "sklearn_best",
}


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def speed_table():
    header, _, *rows = re.findall(
        r"^\|.*\|$", README.partition("## Speed")[2].partition("\n## ")[0], re.MULTILINE
    )
    for row in rows:
        yield dict(zip(cells(header), cells(row), strict=True))


def measured(sweep):
    (file,) = re.findall(r"experiments/(\w+)\.md", sweep)
    content = json.loads((ROOT / "experiments" / f"{file}.json").read_text(encoding="utf-8"))
    return {row["contender"]: row for row in content["rows"]}


def assert_rounds_to(value, text):
    (shown,) = re.findall(r"[\d.]+", text)
    assert Decimal(str(value)).quantize(Decimal(shown), ROUND_HALF_UP) == Decimal(shown)


@pytest.mark.parametrize("row", list(speed_table()), ids=lambda row: row["sweep"][:20])
def test_the_table_of_speed_is_the_measured_one(row):
    found = measured(row["sweep"])
    assert_rounds_to(found["hpsearch"]["seconds (median)"], row["hpsearch"])
    assert f" {found['hpsearch']['trials']} trials" in row["sweep"]
    for column, contender in COLUMNS.items():
        if contender in found:
            assert_rounds_to(found[contender]["ratio (median)"], row[column])
        else:
            assert row[column] == ""


def test_the_scores_agree_as_closely_as_it_says():
    (margin,) = re.findall(r"Mean scores agree with Keras' within ([\d.]+)\.", README)
    rows = [each for row in speed_table() for each in measured(row["sweep"]).values()]
    gaps = [abs(row["difference"]) for row in rows if row["contender"] in ("keras_tuner", "optuna")]
    assert len(gaps) >= 4
    assert max(gaps) <= float(margin)


@pytest.mark.parametrize(
    "file", sorted((ROOT / "experiments").glob("*.json")), ids=lambda f: f.stem
)
def test_each_table_says_when_it_was_measured(file):
    about = json.loads(file.read_text(encoding="utf-8"))["about"]
    assert re.fullmatch(r"measured (at|before) commit .+, \d{4}-\d\d-\d\d", about[1])
    assert f"- {about[1]}\n" in file.with_suffix(".md").read_text(encoding="utf-8")
