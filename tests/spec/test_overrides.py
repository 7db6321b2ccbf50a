"""`--set` replaces parts of a file by YAML's own rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpsearch.errors import SweepFileError
from hpsearch.spec.sweep import load_sweep, sweep_from_text

TEXT = """\
data: {dataset: digits}
parameters:
  epochs: [5, 10]
  units: 3
configs:
  - {units: 4}
method: grid
"""


def test_values_are_yaml(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(TEXT)
    sweep = load_sweep(
        file,
        overrides=[
            "parameters.epochs=[7]",
            "parameters.learning_rate=1e-3",
            "name=other",
            "budget.time=30m",
            "parameters.optimizer={name: sgd, momentum: 0.5}",
            "description=a=b",
        ],
    )
    assert sweep.parameters["epochs"].choices == (7,)
    assert sweep.parameters["learning_rate"].choices == (0.001,)
    assert sweep.name == "other"
    assert sweep.budget is not None
    assert sweep.budget.time_seconds == 1800
    assert sweep.parameters["optimizer"].choices == ({"name": "sgd", "momentum": 0.5},)
    assert sweep.description == "a=b"


def test_a_setting_mends_what_was_broken() -> None:
    text = TEXT.replace("units: 3", "units: x")
    assert sweep_from_text(text, overrides=["parameters.units=3"]) == sweep_from_text(TEXT)


@pytest.mark.parametrize(
    ("setting", "path", "piece"),
    [
        ("parameters.epochs", "", "KEY=VALUE"),
        ("=3", "", "KEY=VALUE"),
        ("a b=3", "", "KEY=VALUE"),
        ("parameters.epochs=[5", "parameters.epochs", "not closed"),
        ("parameters.epochs=[0]", "parameters.epochs[0]", "(from --set parameters.epochs=[0])"),
        ("parameters.epochs=", "parameters.epochs", "no value"),
        ("parameters.epoch=3", "parameters.epoch", "did you mean 'epochs'?"),
        ("method.factor=3", "method.factor", "method is no mapping"),
        ("configs.x=3", "configs.x", "configs is no mapping"),
        ("configs[0].units=3", "", "KEY=VALUE"),
        ("seed=*a", "seed", "no value before it"),
    ],
)
def test_bad_settings(setting: str, path: str, piece: str) -> None:
    with pytest.raises(SweepFileError) as caught:
        sweep_from_text(TEXT, overrides=[setting])
    (problem,) = caught.value.problems
    assert problem.path == path
    assert piece in problem.message
