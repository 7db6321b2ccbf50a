"""KerasTuner's private names that hpsearch needs: a new KerasTuner without one fails here."""

import re
from pathlib import Path

import keras_tuner
import pytest

from hpsearch.custom import kerastuner_names as kt

ROOMS = [Path(__file__).parents[2] / "hpsearch" / room for room in ("custom", "kerastuner")]
#: Class or object -> its private members that hpsearch overrides, calls or reads.
MEMBERS = [
    (
        keras_tuner.oracles.RandomSearchOracle("val_loss"),
        {
            "_check_consecutive_failures",
            "_display",
            "_record_values",
            "_save_trial",
            "_set_project_dir",
        },
    ),
    (
        keras_tuner.Tuner,
        {"_build_hypermodel", "_configure_tensorboard_dir", "_populate_initial_space"},
    ),
    (
        keras_tuner.HyperParameters(),
        {"_conditions", "_conditions_are_active", "_get_name", "_register", "_space"},
    ),
    (kt.Trial, set()),
]


def mentioned():
    """The private names in the rooms that have KerasTuner's classes."""
    texts = [path.read_text() for room in ROOMS for path in room.glob("*.py")]
    return {name for text in texts for name in re.findall(r"(?<=[.\s])_[a-z]\w+", text)}


@pytest.mark.parametrize(("owner", "members"), MEMBERS)
def test_it_has_the_members_that_are_used(owner, members):
    own = {name for name in dir(owner) if name.startswith("_") and not name.endswith("__")}
    assert own & mentioned() == members


def test_one_module_imports_private_names():
    pattern = r"^ *(?:from|import) keras_tuner\.(?:src|engine)"
    importing = [
        path.stem
        for path in ROOMS[0].parent.rglob("*.py")
        if re.search(pattern, path.read_text(), re.MULTILINE)
    ]
    assert importing == ["kerastuner_names"]
