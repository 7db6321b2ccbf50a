"""The seconds that `plan` says, against those that trainings take."""

import pytest
from here import run_here
from marks import slow

from hpsearch.engine.models import SweepModels
from hpsearch.space.execution import Training
from hpsearch.spec.sweep import sweep_from_text

_SWEEP = """\
data: {{dataset: digits, validation: 0.2, seed: 42}}
configs:
  - {{hidden_layers: 2, units: 64, epochs: 40, optimizer: {optimizer}}}
  - {{hidden_layers: 2, units: 256, epochs: 20, optimizer: {optimizer}, batch_size: 128}}
execution: {{workers: 1}}
"""


@pytest.mark.parametrize(("trainer", "optimizer"), [("native", "adam"), slow("graph", "adamax")])
def test_a_training_takes_what_is_said_within_a_factor(tmp_path, trainer, optimizer):
    """Three on an idle machine; a loaded one may take ten times as long as that."""
    text = _SWEEP.format(optimizer=optimizer)
    rows, _ = run_here(text, tmp_path / "out")
    assert set(rows["trainer"]) == {trainer}
    sweep = sweep_from_text(text, "sweep.yaml")
    costs = SweepModels.of(sweep).costs
    for config, seconds in zip(sweep.listed, rows["seconds"], strict=True):
        epochs = int(config.values["epochs"])
        training = Training(config.trained, 0, ((epochs, 1),))
        said = costs.seconds(training)
        assert said / 10 < seconds < 30 * said
