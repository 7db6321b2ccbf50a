"""Every bad file is explained: line, key path, rule, suggestion; all problems at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from bad_sweeps import BAD, DATA, P

from hpsearch.errors import InputProblem, SweepFileError
from hpsearch.spec.sweep import load_sweep, sweep_from_text
from hpsearch.spec.yaml import read_yaml


def problems_of(text: str) -> tuple[InputProblem, ...]:
    with pytest.raises(SweepFileError) as caught:
        sweep_from_text(text)
    return caught.value.problems


def test_pure_python_parser_says_the_same() -> None:
    texts = [case.text.encode() for case in BAD.values()]
    broken = [text for text in texts if read_yaml(text).problems]
    assert len(broken) > 15
    for text in broken:
        fast, slow = read_yaml(text), read_yaml(text, yaml.SafeLoader)
        assert {(p.path, p.message) for p in slow.problems} == {
            (p.path, p.message) for p in fast.problems
        }
        assert fast.fatal == slow.fatal


def test_all_problems_at_once_by_line() -> None:
    text = (
        "name: ../x\n"
        "data: {dataset: digit, vlidation: 0.2}\n"
        "parameters:\n"
        "  unit: [1, 1]\n"
        '  units: ["32", 64]\n'
        "  learning_rate: {min: 1e-1, max: 1e-3}\n"
        "  units: 3\n"
        "  optimizer: *x\n"
        "  dropout: {values: [0.1], when: {layer_typ: dropout}}\n"
        "constraints: [epoch < 3, 'f(1)']\n"
        "budget:\n"
    )
    problems = problems_of(text)
    assert [problem.line for problem in problems] == [1, 2, 2, 4, 4, 5, 6, 7, 8, 9, 10, 11]
    with pytest.raises(SweepFileError, match=r"(?m)^s\.yaml:5: parameters\.units\[0\]: must be"):
        sweep_from_text(text, "s.yaml")


def test_a_broken_part_is_not_missed_elsewhere() -> None:
    text = P + "  layer_type: [dens]\n  dropout: {value: 1, when: {layer_type: dropout}}\n"
    paths = [p.path for p in problems_of(text + "method: randm\nbudget: {time: x}\n")]
    assert paths == [
        "parameters.layer_type[0]",
        "parameters.dropout.value",
        "method",
        "budget.time",
    ]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SweepFileError, match="cannot be read: No such file"):
        load_sweep(tmp_path / "none.yaml")
    with pytest.raises(SweepFileError, match="cannot be read: Is a directory"):
        load_sweep(tmp_path)


def test_surrogates() -> None:
    assert "UTF-8" in problems_of("name: \ud800")[0].message


@pytest.mark.parametrize(
    "text",
    [
        "{" * 400_000,
        "[" * 400_000,
        "a: &a [1]\nb: [" + "*a," * 200_000 + "]",
        "- " * 300_000,
        DATA + "constraints: [" + ",".join(["'" + "(" * 900 + "'"] * 90) + "]",
        DATA + "constraints: [" + ",".join(f"'units > {900 + k}'" for k in range(100)) + "]",
        P + "  units: [" + "x," * 59_000 + "]",
        P + "  units: [" + "[1,2]," * 19_900 + "]",
        P + "  units: [" + ",".join(map(str, range(1, 150_000))) + ", 1]",
        P + "".join(f"  a{k}: 1\n" for k in range(70_000)),
        DATA + "configs:\n" + "- {a: 1, b: 2}\n" * 60_000,
        DATA + "configs:\n" + "- {a: 1, b: 2}\n" * 9_999,
        P + "".join(f"  a{k}: {{value: 1, when: {{a{k + 1}: 1}}}}\n" for k in range(20_000)),
        P + "  units: 3\nconstraints: [" + "'units > 4'," * 90 + "units]",
        P + "".join(f"  units_{k}: {{min: 1, max: 99999, step: 1}}\n" for k in range(1, 50)),
    ],
)
def test_bombs_are_refused_fast(text: str) -> None:
    start = time.process_time()
    problems_of(text)
    assert time.process_time() - start < 2
