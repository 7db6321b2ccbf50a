"""What .ci/ generates is current, and the examples of a sweep file's keys are valid."""

import runpy
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from hpsearch.spec.dump import file_schema
from hpsearch.spec.method import IGNORED
from hpsearch.spec.parameters import HYPERPARAMETERS, UNITS_OF_LAYER, parse_parameter

GENERATORS = Path(__file__).parents[2] / ".ci"
SCRIPT = runpy.run_path(str(GENERATORS / "generate_sweep_reference.py"))
PATH, PAGE = SCRIPT["PATH"], SCRIPT["page"]()
mappings = SCRIPT["mappings"]
SCHEMA = file_schema()["else"]


def keys(part, path=()):
    """Every key of a sweep file that the schema names, with its place."""
    for inner in mappings(part):
        for key, each in inner["properties"].items():
            named = path[:1] == ("method",) and key == "name"
            ignored = not path and key in IGNORED
            # Only hpsearch.tune writes `memory`.
            if not named and not ignored and path != ("data", "memory"):
                yield (*path, key), each
                yield from keys(each, (*path, key))


KEYS = dict(keys(SCHEMA))


def test_the_reference_is_current():
    assert PATH.read_text(encoding="utf-8") == PAGE, "run python .ci/generate_sweep_reference.py"


@pytest.mark.slow
def test_the_table_of_names_is_the_installed_keras():
    command = [sys.executable, GENERATORS / "generate_keras_names.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr[-2000:]
    assert done.returncode == 0, f"run python .ci/generate_keras_names.py\n{told}"


@pytest.mark.parametrize("path", KEYS, ids=".".join)
def test_each_key_is_described_with_an_example_that_holds(path):
    part = KEYS[path]
    assert part["description"].endswith(".")
    if path[0] != "parameters" or len(path) <= 2:
        assert part["description"] in PAGE
    assert part["examples"]
    validator = jsonschema.Draft202012Validator(part)
    if path[0] != "parameters" or len(path) != 3 or path[2] not in ("values", "value"):
        for example in part["examples"]:
            validator.validate(example)
    if part.get("default") not in (None, []):
        validator.validate(part["default"])


@pytest.mark.parametrize("name", [*HYPERPARAMETERS, "units_2"])
def test_examples_of_hyperparameters_are_sweeps(name):
    rule = HYPERPARAMETERS.get(name, UNITS_OF_LAYER)
    (example,) = rule.examples
    assert parse_parameter(rule, name, example).varies
