"""Names that another Keras than the table's lacks are refused before a run begins."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from commands import hpsearch

from hpsearch.errors import InputError
from hpsearch.machine import version_of
from hpsearch.models import installed
from hpsearch.models.installed import require_names
from hpsearch.space import keras_names
from hpsearch.spec.sweep import sweep_from_mapping

#: What Keras 3.12 lacks, the oldest that may be installed.
_NEWER = "schedulefreeadamw"
_FOLDERS = (
    "activations",
    "initializers",
    "losses",
    "metrics",
    "optimizers",
    "optimizers/schedules",
)


def older_keras(place: Path) -> dict[str, str]:
    """An environment with a Keras that is not the table's: the installed one, or a made-up one."""
    if version_of("keras") != keras_names.KERAS_VERSION:
        return {}
    import keras

    for folder in _FOLDERS:
        listed = (Path(keras.__file__).parent / folder / "__init__.py").read_text()
        kept = [line for line in listed.splitlines() if "ScheduleFreeAdamW" not in line]
        (place / "keras" / folder).mkdir(parents=True)
        (place / "keras" / folder / "__init__.py").write_text("\n".join(kept) + "\n")
    (place / "keras" / "__init__.py").touch()
    about = place / "keras-3.12.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: keras\nVersion: 3.12.0\n")
    return {"PYTHONPATH": f"{place}:{Path(keras_names.__file__).parent.parent}"}


def test_a_name_that_the_installed_keras_lacks_is_refused_at_the_start(tmp_path):
    sweep = {
        "data": {"dataset": "iris"},
        "parameters": {"units": [4], "epochs": 1, "optimizer": ["adam", _NEWER]},
    }
    home = tmp_path / "home"
    home.mkdir()
    (home / "sweep.yaml").write_text(json.dumps(sweep))
    said = hpsearch(
        "run", "sweep.yaml", "--out", "out", cwd=home, code=2, env=older_keras(tmp_path)
    )
    assert f"parameters.optimizer: '{_NEWER}' is not in the installed Keras, 3." in said.stderr
    assert [path.name for path in home.iterdir()] == ["sweep.yaml"]


_EVERY_NAME = {
    "name": "s",
    "data": {"dataset": "digits"},
    "parameters": {
        "activation": list(keras_names.ACTIVATIONS),
        "kernel_initializer": [n for n in keras_names.INITIALIZERS if n != "constant"],
        "optimizer": [*keras_names.OPTIMIZERS, "momentum", {
            "name": "sgd", "learning_rate": {
                "name": "cosine_decay", "initial_learning_rate": 0.1, "decay_steps": 9}}],
    },
}  # fmt: skip
_SMALL = {"name": "s", "data": {"dataset": "digits"}, "parameters": {"units": [4]}}


@pytest.fixture
def another_version(monkeypatch):
    monkeypatch.setattr(installed, "version_of", lambda _: "3.99")


def test_no_name_is_refused_that_the_installed_keras_has(another_version):
    if version_of("keras") != keras_names.KERAS_VERSION:
        _EVERY_NAME["parameters"]["optimizer"].remove(_NEWER)
    require_names(sweep_from_mapping(_EVERY_NAME))
    for loss in keras_names.LOSSES:
        require_names(sweep_from_mapping({**_SMALL, "model": {"loss": loss}}))
    for metric in keras_names.METRICS:
        # A metric of values is refused for classes.
        data = "diabetes" if re.search("mae|mean|error|r2|mse|mape|msle", metric) else "digits"
        goal = {"name": metric, "goal": "minimize"}
        require_names(sweep_from_mapping({**_SMALL, "data": {"dataset": data}, "metric": goal}))


def test_each_kind_of_name_is_looked_up(another_version, monkeypatch):
    """In a Keras of which each folder exports something else."""
    monkeypatch.setattr(installed, "_exported", lambda _: frozenset({"another"}))
    sweep = sweep_from_mapping({
        "name": "s", "data": {"dataset": "digits"}, "metric": "val_auc",
        "model": {"loss": "mse", "output_activation": "softmax"},
        "parameters": {"optimizer": [_EVERY_NAME["parameters"]["optimizer"][-1]]},
        "configs": [{"activation": "relu", "kernel_initializer": "zeros"}],
    })  # fmt: skip
    with pytest.raises(InputError) as told:
        require_names(sweep)
    assert [line.split(" is not in ")[0] for line in str(told.value).splitlines()] == [
        "metric: 'auc'",
        "model.loss: 'mean_squared_error'",
        "model.output_activation: 'softmax'",
        "parameters.optimizer: 'sgd'",
        "parameters.optimizer.learning_rate: 'cosine_decay'",
        "configs[0].activation: 'relu'",
        "configs[0].kernel_initializer: 'zeros'",
    ]
