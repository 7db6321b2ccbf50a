"""Write a sweep as YAML, the JSON Schema of sweep files, and the file of `hpsearch init`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import yaml

from hpsearch.space.space import Parameter, Range
from hpsearch.spec.parameters import raw_range
from hpsearch.spec.rules import Spec
from hpsearch.spec.sweep import Sweep
from hpsearch.spec.wandb import IGNORED, KEYS, OF_PROGRAMS
from hpsearch.spec.yaml import add_core_resolvers

SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or 1.2 would read as another type."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML names it
        """Write no anchors, because `read_yaml` refuses them."""
        return True


add_core_resolvers(_Dumper)


def dump_sweep(sweep: Sweep, found: Sequence[Parameter] = ()) -> str:
    """Return the resolved sweep as the text of a file; loading it gives an equal sweep.

    Args:
        sweep: The sweep.
        found: Hyperparameters of a custom model. They become comments, because the model may have
            changed: a run of the file requests them anew.
    """
    text = dump_raw(sweep.raw())
    others = [parameter for parameter in found if parameter.name not in sweep.parameters]
    if not others:
        return text
    text += f"# Further hyperparameters that {sweep.model} requests, as in `parameters`:\n"
    for parameter in others:
        # A comment has one line.
        line = _dumped({parameter.name: _raw(parameter)}, flow=True, width=float("inf"))
        text += f"#   {line.strip()[1:-1]}\n"
    return text


def dump_raw(raw: Any) -> str:
    """Return the data of a sweep file as its text."""
    return _dumped(raw, flow=None, width=100)


def _dumped(raw: Any, *, flow: bool | None, width: float) -> str:
    text: str = yaml.dump(
        raw,
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=flow,
        allow_unicode=True,
        width=width,
    )
    return text


def _raw(parameter: Parameter) -> Any:
    domain = parameter.model_domain
    if isinstance(domain, Range):
        raw = raw_range(domain)
    elif parameter.when:
        raw = {"values": list(domain.values)}
    else:
        return list(domain.values)
    if parameter.when:
        raw["when"] = {name: list(values) for name, values in parameter.when.items()}
    return raw


def sweep_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the sweep file of a model.

    `hpsearch.programs.schema` covers any sweep file.
    """
    return {
        "$schema": SCHEMA_DIALECT,
        **schema_of(Sweep, (key for key in IGNORED if key not in OF_PROGRAMS)),
        "title": "hpsearch sweep",
        "description": "A hyperparameter sweep over Keras MLPs.",
    }


def schema_of(model: type[Spec], ignored: Iterable[str]) -> dict[str, Any]:
    """Return the JSON Schema of a sweep file, from the model that validates it.

    Args:
        ignored: W&B's keys without meaning for such a sweep.
    """
    body = model.schema()
    # `name` is optional in a file: it defaults to the file's stem.
    body["required"].remove("name")
    body["properties"] |= KEYS
    body["properties"] |= {key: {"description": "W&B's key; ignored."} for key in ignored}
    return {**body, "$defs": {part.__name__: part.schema() for part in model.parts()}}


#: Name of the schema file that the first line of the starter file refers to.
SCHEMA_NAME: Final = "hpsearch.schema.json"

STARTER: Final = f"""\
# yaml-language-server: $schema=./{SCHEMA_NAME}
#
# A sweep for hpsearch. The line above gives completion and checks in VS Code (YAML extension),
# JetBrains IDEs and Neovim; `hpsearch schema` prints the same schema.
#   hpsearch plan THIS_FILE     how many trials, how long; trains nothing
#   hpsearch run THIS_FILE      results in experiments/NAME/results.csv

# name: my-sweep                  # default: this file's name
description: How deep and how wide an MLP should be for handwritten digits.
seed: 0                           # of weights, shuffles and dropout masks

data:
  dataset: digits                 # `hpsearch list datasets`; or a file of your own:
  # csv: my_table.csv             # relative to this file
  # target: price                 # the column to predict
  validation: 0.2                 # fraction that is held out to score trials
  seed: 42                        # of the split

method: grid                      # every combination; or random, with a budget:
# method: random
# budget: {{trials: 50, time: 10m}}

metric: val_accuracy              # or {{name: val_loss, goal: minimize, epoch: best}}

parameters:                       # a list means choices, a scalar means fixed
  hidden_layers: [0, 1, 2]        # 0: the output layer alone
  units: [32, 64]                 # neurons per hidden layer
  activation: relu                # `hpsearch list activations`
  layer_type: dense               # dense, dropout, batch_norm, layer_norm, residual
  batch_size: 32
  epochs: [5, 10]                 # one training answers both
  optimizer: [sgd, adam]          # `hpsearch list optimizers`
  # learning_rate: {{min: 1e-4, max: 1e-1, scale: log}}            # for random
  # dropout: {{values: [0.1, 0.3], when: {{layer_type: dropout}}}}

# constraints: ["hidden_layers * units <= 100"]
seeds: 1                          # 3: every config three times, for intervals
# early_stopping: {{patience: 3}}
# model: {{type: mlp, loss: huber}}  # what the task decides, otherwise
# execution: {{workers: auto, timeout: 10m}}
"""
