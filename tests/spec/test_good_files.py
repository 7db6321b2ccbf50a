"""Every key of a sweep file is accepted, with hpsearch's names and W&B's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from readme import blocks
from wandb_files import wandb_file

from hpsearch.space.space import Choices, Range
from hpsearch.spec.dump import SCHEMA_NAME, STARTER, dump_sweep, file_schema
from hpsearch.spec.keys import SeedRace
from hpsearch.spec.sweep import load_sweep, sweep_from_text
from hpsearch.spec.yaml import read_yaml

DATA = "data: {dataset: digits}\n"
P = DATA + "parameters:\n"
#: The file that the documents begin with.
DOCUMENTED = blocks("sweeps/README.md", "yaml")[0]
WANDB = """\
project: mine
method: bayes
metric: {name: val_loss, goal: minimize}
run_cap: 40
early_terminate: {type: hyperband, min_iter: 3, eta: 2}
data: {dataset: digits}
parameters:
  epochs: {value: 10}
  units: {distribution: int_uniform, min: 10, max: 200}
  batch_size: {distribution: q_uniform, min: 16, max: 100, q: 16}
  learning_rate: {distribution: log_uniform_values, min: 1e-4, max: 1e-1}
  dropout: {distribution: uniform, min: 0, max: 0.5}
  units_1: {distribution: uniform, min: 1, max: 9}
  units_2: {distribution: log_uniform_values, min: 8, max: 512}
  layer_type: {distribution: categorical, values: [dense, dropout]}
  hidden_layers: {distribution: constant, value: 2}
  activation: {values: [relu, tanh]}
"""
GOOD = {
    "documented": DOCUMENTED,
    "wandb": WANDB,
    "starter": STARTER.read_text(encoding="utf-8"),
    "least": DATA,
    "csv": "data: {csv: a.csv, target: y, drop: [id], task: regression, validation: v.csv, "
    "test: 0.1, scale: none}\n",
    "npz": "data: {npz: a.npz, task: classification, test: t.npz, scale: unit}\n",
    "python": 'data: {python: "my.data:load", scale: standard, seed: 0}\n',
    "folds": "data: {dataset: wine, cv: 3}\n",
    "folder": "data: {dataset: mnist, folder: /data/mnist}\n",
    "lists of units": P + "  units: [[200, 100], [50], 30]\n",
    "fixed list of units": P + "  units: [[200, 100]]\n",
    "steps": P
    + "  units: {min: 10, max: 50, step: 10}\n  dropout: {min: 0.1, max: 0.5, step: 0.1}\n",
    "log steps": P + "  learning_rate: {min: 1e-4, max: 1e-1, step: 10, scale: log}\n",
    "typed range": P + "  epochs: {min: 5, max: 20, step: 5, scale: linear, type: int}\n",
    "own layer": P
    + '  layer_type: [dense, "my.layers:block"]\n  gamma: [1, 2.5]\n  mode: {min: 1, '
    "max: 3, step: 1}\n  flag: [true, false]\n",
    "own MLP": DATA + "model: {type: mlp, loss: hinge}\n",
    "own model": DATA + 'model: "my.models:build"\nparameters: {depth: [1, 2], units: [8]}\n',
    "model": DATA + "model: {output_activation: softmax, loss: categorical_crossentropy}\n",
    "fixed optimizer": P + "  optimizer: {name: sgd, learning_rate: 0.1, nesterov: true, "
    "momentum: 0.9, clipnorm: null}\n",
    "schedule": P + "  optimizer:\n    name: adam\n    learning_rate: {name: cosine_decay, "
    "initial_learning_rate: 0.1, decay_steps: 100}\n",
    "boundaries": P + "  optimizer: {name: sgd, learning_rate: {name: piecewise_constant_decay, "
    "boundaries: [10, 20], values: [0.1, 0.01, 0.001]}}\n",
    "initializer": P + "  kernel_initializer: [he_normal, {name: random_normal, stddev: 0.1}]\n",
    "every name": P + "  momentum: [0, 0.9]\n  weight_decay: [0, 1e-4]\n  l2: [0, 1e-3]\n"
    "  units_1: 3\n",
    "when optimizer": P + "  optimizer: [sgd, adam, {name: lamb, beta_1: 0.8}]\n"
    "  momentum: {values: [0.5, 0.9], when: {optimizer: sgd}}\n"
    "  learning_rate: {value: 0.1, when: {optimizer: [lamb, adam]}}\n",
    "when lists": P + "  units: [[2, 3], 5]\n  dropout: {value: 0.1, when: {hidden_layers: 2, "
    "layer_type: dropout}}\n  hidden_layers: 1\n  layer_type: dropout\n",
    "chain of when": P + "  hidden_layers: [0, 1]\n  layer_type: {values: [dense, dropout], when: "
    "{hidden_layers: 1}}\n  dropout: {values: [0.1, 0.2], when: {layer_type: dropout}}\n",
    "configs only": DATA + "configs: [{units: 3}, {units: [3, 4], optimizer: {name: sgd}}]\n",
    "configs and grid": P + "  units: [3, 4]\nconfigs: [{units: 3}]\nmethod: grid\n",
    "seeds list": DATA + "seeds: [7, 3]\n",
    "seeds race": DATA + "seeds: {min: 2, max: 5, race: true}\n",
    "hyperband": DATA + "method: {name: hyperband, factor: 3}\nbudget: {time: 1h30m}\n",
    "asha": DATA + "method: {name: asha, factor: 4, min_epochs: 2}\nbudget: {trials: 10}\n",
    "bayesian": DATA + "method: {name: bayesian, beta: 2.6}\nbudget: {time: 90}\n",
    **{name: f"{DATA}method: {name}\nbudget: {{time: 90s}}\n" for name in ("tpe", "sobol", "auto")},
    "ray": DATA + "execution: {engine: ray, address: auto, resources: {CPU: 1, GPU: 0.5}, "
    "memory: 2GB, workers: 4, timeout: 30}\n",
    "own metric": DATA + "metric: {name: my_score, goal: minimize, epoch: best}\n",
    "metric name": DATA + "metric: val_loss\n",
    "wandb grid": P
    + "  units: {values: [3, 4]}\nmethod: grid\nearly_terminate: {type: hyperband}\n",
    "keep": DATA + "keep: all\n",
    "big grid": P
    + "".join(f"  units_{k}: {list(range(1, 11))}\n" for k in range(1, 10))
    + "  hidden_layers: 9\nbudget: {trials: 5}\n",
    "program": "program: a.py\nmetric: loss\nparameters: {x: {values: [1, null, '2']}}\n",
    "program by W&B": """\
command: [python, a.py, "${args}"]
metric: loss
method: bayes
run_cap: 9
early_terminate: {type: hyperband, min_iter: 3}
parameters:
  x: {distribution: q_normal, mu: 1, sigma: 2, q: 1}
  n: {parameters: {lr: {values: [1, 2], probabilities: [0.25, 0.75]}}}
configs: [{x: 3}]
seeds: [1, 5]
execution: {workers: 2, timeout: 10s}
""",
    "text that is no bool": DATA + "description: no\nname: on\n",
}


SWEEPS = {path.name: path.read_text() for path in Path(__file__).parents[2].glob("sweeps/*.yaml")}
WANDB_FILES = {f"wandb {seed}": yaml.safe_dump(wandb_file(seed)) for seed in range(30)}
FILES = {**GOOD, **SWEEPS, **WANDB_FILES}


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(file_schema())
    return jsonschema.Draft202012Validator(file_schema())


@pytest.mark.parametrize("text", FILES.values(), ids=FILES.keys())
def test_is_accepted_and_survives_a_round_trip(
    text: str, validator: jsonschema.Draft202012Validator
) -> None:
    sweep = sweep_from_text(text)
    written = dump_sweep(sweep)
    again = sweep_from_text(written)
    assert again == sweep
    assert dump_sweep(again) == written
    assert again.space == sweep.space
    for form in (text, written):
        assert [error.message for error in validator.iter_errors(_data(form))] == []


def _data(text: str) -> Any:
    return read_yaml(text.encode()).data


_PROGRAM = "program: a.py\nmetric: loss\n"
_X = _PROGRAM + "parameters: {x: "
MISTAKES = [
    "{}",
    DATA + "paramters: {}\n",
    P + "  activation: rellu\n",
    P + "  batch_size: [0]\n",
    P + "  units: [wide]\n",
    DATA + "method: {name: grid, factor: 3}\n",
    DATA + "budget: {time: 30min}\n",
    "program: a.py\n",
    _PROGRAM + DATA,
    _PROGRAM + "command: []\n",
    _PROGRAM + "unknown: 1\n",
    _PROGRAM + "parameters: [1]\n",
    *(_X + body + "}" for body in ("{}", "{min: 1}", "{distribution: normall}")),
    _X + "{distribution: q_uniform, min: 1}}",
    _X + "{distribution: normal, mu: a}}",
    _X + "{parameters: {y: {vales: [1]}}}}",
]


@pytest.mark.parametrize("text", MISTAKES)
def test_schema_refuses_mistakes(text: str, validator: jsonschema.Draft202012Validator) -> None:
    assert not validator.is_valid(_data(text))


@pytest.mark.parametrize("kind", ["then", "else"])
def test_schema_describes_every_key(kind: str) -> None:
    assert all("description" in part for part in file_schema()[kind]["properties"].values())


def test_the_documented_file() -> None:
    sweep = sweep_from_text(DOCUMENTED)
    assert sweep.trial_seeds == (0, 1, 2)
    assert (sweep.limit, sweep.budget.time_seconds) == (200, 1800)
    assert sweep.execution.timeout_seconds == 600
    assert sweep.parameters["learning_rate"].domain == Range(1e-4, 1e-1, log=True)
    assert sweep.parameters["dropout"].when == {"layer_type": ("dropout",)}
    assert (sweep.points[0]["hidden_layers"], sweep.points[0]["batch_size"]) == (0, 32)
    assert sweep.warnings == ()


def test_wandb_file() -> None:
    sweep = sweep_from_text(WANDB)
    assert sweep.method.name == "hyperband"
    assert sweep.method.options == {
        "proposals": "bayesian",
        "early_terminate": {"type": "hyperband", "min_iter": 3, "eta": 2.0},
    }
    assert sweep.limit == 40
    domains = {
        "units": Range(10, 200, integer=True),
        "batch_size": Range(16, 96, 16, integer=True),
        "learning_rate": Range(1e-4, 1e-1, log=True),
        "hidden_layers": Choices((2,)),
        "units_1": Range(1, 9, integer=True),
        "units_2": Range(8, 512, log=True, integer=True),
    }
    assert domains.items() <= {n: p.domain for n, p in sweep.parameters.items()}.items()
    assert [line.split()[0] for line in sweep.warnings] == ["project"]


def test_names_and_paths(tmp_path: Path) -> None:
    assert sweep_from_text(DATA, "my sweep (1).yaml").name == "my-sweep-1"
    file = tmp_path / "table.v1.yaml"
    file.write_text("data: {csv: sub/a.csv, target: y, validation: ../v.csv, test: /t.csv}\n")
    sweep = load_sweep(file)
    assert sweep.name == "table.v1"
    assert sweep.data.csv == str(tmp_path / "sub" / "a.csv")
    assert sweep.data.validation == str(tmp_path.parent / "v.csv")
    assert sweep.data.test == "/t.csv"
    assert sweep_from_text("data: {csv: a.csv, target: y}").data.csv == "a.csv"


def test_seeds() -> None:
    assert sweep_from_text(DATA + "seeds: [7, 3]\n").trial_seeds == (7, 3)
    race = sweep_from_text(DATA + "seeds: {min: 2, max: 5}\n")
    assert race.seeds == SeedRace(min=2, max=5)
    assert race.trial_seeds == (0, 1)


def test_values_keep_their_types() -> None:
    sweep = sweep_from_text(GOOD["own layer"])
    assert sweep.parameters["gamma"].choices == (1, 2.5)
    assert sweep.parameters["flag"].choices == (True, False)
    assert sweep.space.parameters[2].choices == (1, 2, 3)
    assert sweep_from_text(P + "  l2: [0, 1]\n").parameters["l2"].choices == (0.0, 1.0)
    assert sweep_from_text(GOOD["fixed list of units"]).parameters["units"].choices == ([200, 100],)
    rates = sweep_from_text(GOOD["log steps"]).parameters["learning_rate"]
    assert rates.choices == (1e-4, 1e-3, 1e-2, 1e-1)


def test_configs_without_a_method() -> None:
    sweep = sweep_from_text(P + "  epochs: 3\n  units: [4, 5]\nconfigs: [{units: 7}]\n")
    assert sweep.method.name == "configs"
    assert sweep.points == ({"epochs": 3, "units": 7},)
    assert "units not varied" in sweep.warnings[0]
    assert "method" not in dump_sweep(sweep)


def test_inactive_parameters_are_warned_of() -> None:
    sweep = sweep_from_text(P + "  layer_type: [dense]\n  dropout: 0.5\n")
    assert [line.split()[0] for line in sweep.warnings] == ["parameters.dropout"]


def test_starter_points_editors_at_the_schema() -> None:
    assert GOOD["starter"].startswith(f"# yaml-language-server: $schema=./{SCHEMA_NAME}\n")
