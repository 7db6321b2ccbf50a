"""The JSON Schema of sweep files takes what runs, of programs and of models."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
from wandb_files import wandb_file

from hpsearch.spec.dump import file_schema
from hpsearch.spec.sweep import sweep_from_mapping
from hpsearch.spec.yaml import read_yaml

SWEEPS = Path(__file__).parents[2] / "sweeps"
LEAST = {"program": "a.py", "metric": "loss"}


@pytest.fixture(scope="module")
def validator():
    schema = file_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def errors(validator, data):
    return [error.message for error in validator.iter_errors(data)]


@pytest.mark.parametrize("file", sorted(SWEEPS.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_examples_are_valid(validator, file):
    assert errors(validator, read_yaml(file.read_bytes()).data) == []


def test_wandb_files_are_valid_and_so_is_what_is_stored_of_them(validator):
    for seed in range(60):
        raw = wandb_file(seed)
        assert errors(validator, raw) == [], seed
        assert errors(validator, sweep_from_mapping(raw).raw()) == [], seed


@pytest.mark.parametrize(
    "wrong",
    [
        {"program": "a.py"},
        {**LEAST, "data": {"dataset": "digits"}},
        {**LEAST, "command": []},
        {**LEAST, "unknown": 1},
        {**LEAST, "parameters": [1]},
        {**LEAST, "parameters": {"x": {}}},
        {**LEAST, "parameters": {"x": {"min": 1}}},
        {
            **LEAST,
            "parameters": {"x": {"distribution": "uniform", "min": 1, "max": 2, "scale": "log"}},
        },
        {**LEAST, "parameters": {"x": {"distribution": "normall"}}},
        {**LEAST, "parameters": {"x": {"distribution": "q_uniform", "min": 1}}},
        {**LEAST, "parameters": {"x": {"distribution": "normal", "mu": "a"}}},
        {**LEAST, "parameters": {"x": {"parameters": {"y": {"vales": [1]}}}}},
        {"data": {"dataset": "digits"}, "parameters": {"units": ["wide"]}},
    ],
    ids=str,
)
def test_mistakes_are_not(validator, wrong):
    assert not validator.is_valid(wrong)


def test_every_key_is_described():
    schema = file_schema()
    for kind in ("then", "else"):
        assert all("description" in part for part in schema[kind]["properties"].values())
