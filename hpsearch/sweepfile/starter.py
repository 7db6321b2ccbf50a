"""The commented file that `hpsearch init` writes."""

from __future__ import annotations

from typing import Final

__all__ = ["SCHEMA_NAME", "STARTER"]

#: The file beside the starter that its first line points editors at; `hpsearch init` writes
#: `json.dumps(schema(), indent=2)` there.
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
